"""What every test may rely on: no settings of the developer's own, no stopwatch."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from protected import START

import rml

# A busy machine is slow at times, so a deadline per example, and one for making them, finds nothing
# but noise. In CI the examples are the same on every run: a red run can be repeated.
settings.register_profile(
    "rml",
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("rml")


# Published test vectors of other projects: read where they are kept, beside the repository.
VECTORS = Path(
    os.environ.get("RML_VECTORS") or Path(__file__).parents[2].joinpath("shared", "vectors")
)


def pytest_configure() -> None:
    """Hear Ctrl-C, also where a shell had the run ignore it as work in the background.

    What the tests start inherits that, and some of it is to be interrupted.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def vectors() -> Path:
    """The folder of published vectors; without it, the tests that read them are skipped."""
    return VECTORS


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what reads absent vectors by a mark: pytest then prints one line for each module."""
    if VECTORS.is_dir():
        return
    absent = pytest.mark.skip(reason="no published vectors; name their folder in RML_VECTORS")
    for item in items:
        if "vectors" in getattr(item, "fixturenames", ()):
            item.add_marker(absent)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how much was tried by the tests that say so."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name == "tried":
                terminalreporter.write_line(f"{report.nodeid}: {value}")


@pytest.fixture(scope="session", autouse=True)
def _own_environment() -> Iterator[None]:
    """Hide the developer's own `RML_*` variables, and the width of the terminal, from the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("RML_") or name == "COLUMNS"]:
            patch.delenv(name)
        yield


@pytest.fixture(autouse=True)
def _no_leftover_configuration() -> Iterator[None]:
    """Take away the process-wide ledger and hooks that a test has set."""
    yield
    if config := sys.modules.get("rml.config"):
        config.configure(ledger=None, hooks=None)


@pytest.fixture(autouse=True)
def _no_leftover_definitions() -> Iterator[None]:
    """Forget the operations and sagas that a test has defined: another may use their names."""
    before = {home: dict(known) for home, known in _definitions()}
    yield
    for home, known in _definitions():
        known.clear()
        known.update(before.get(home, {}))


def _definitions() -> Iterator[tuple[str, dict[str, object]]]:
    """Every register of definitions that is loaded, and its home."""
    for home, name in (("rml.effect.reconcile", "_operations"), ("rml.effect.saga", "_sagas")):
        if module := sys.modules.get(home):
            yield home, getattr(module, name)


@pytest.fixture
def clock() -> rml.FrozenClock:
    """A clock that moves only when told to; a module may have one of its own."""
    return rml.FrozenClock(START)


@pytest.fixture(params=["memory", "sqlite"])
def ledger(
    request: pytest.FixtureRequest, tmp_path: Path, clock: rml.FrozenClock
) -> Iterator[rml.Ledger]:
    """An empty ledger, configured, and verified when the test is over."""
    place = "memory:" if request.param == "memory" else tmp_path / "ledger.db"
    with rml.Ledger(place, clock=clock, service="tests") as made:
        rml.configure(ledger=made)
        yield made
        assert made.verify().problems == ()
