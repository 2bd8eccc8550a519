"""The pytest plugin: a ledger and a clock for each test, and every call delivered twice on request.

pytest loads this module before any test is collected, so it imports nothing else of `rml` until a
test asks for it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from rml.clock import FrozenClock
    from rml.ledger.ledger import Ledger

_MARKER: Final = "duplicate_delivery"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the command line's options."""
    parser.getgroup("rml").addoption(
        "--rml-duplicates",
        action="store_true",
        help="deliver every call of an @rml.idempotent handler twice, in every test",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers",
        f"{_MARKER}(wanted=True): deliver every call of an @rml.idempotent handler twice; the test "
        "fails if the handler runs twice. With False, --rml-duplicates leaves the test alone.",
    )


def _is_wanted(item: pytest.Item) -> bool:
    """Whether a test's calls are delivered twice: its closest marker says so, or the option."""
    marker = item.get_closest_marker(_MARKER)
    if marker is None:
        return bool(item.config.getoption("--rml-duplicates"))
    return bool(marker.kwargs.get("wanted", marker.args[0] if marker.args else True))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Run a test, under duplicate delivery if that is wanted."""
    if not _is_wanted(item):
        return (yield)
    from rml.testing.duplicates import delivered_twice

    with delivered_twice() as ran_twice:
        result = yield
    if ran_twice:
        pytest.fail("\n".join(ran_twice), pytrace=False)
    return result


@pytest.fixture
def rml_clock() -> FrozenClock:
    """Return the clock of `rml_ledger`: 2026-01-01T00:00:00Z, until the test moves it."""
    from rml.clock import FrozenClock

    return FrozenClock()


@pytest.fixture
def rml_ledger(rml_clock: FrozenClock) -> Iterator[Ledger]:
    """Yield an empty ledger in memory, in use for this test, and verified at its end."""
    from rml.config import use
    from rml.ledger.ledger import Ledger

    with Ledger("memory:", clock=rml_clock, service="tests") as ledger:
        with use(ledger=ledger):
            yield ledger
        problems = ledger.verify().problems
    if problems:
        told = "\n".join(map(str, problems))
        pytest.fail(f"the test left its ledger inconsistent:\n{told}", pytrace=False)
