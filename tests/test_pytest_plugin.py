"""The pytest plugin in pytest runs of its own, as a project that builds on rml has them."""

import importlib.util
import subprocess
import sys
from collections.abc import Callable

import pytest

pytest_plugins = ["pytester"]

# A module of a user's: its handlers are bound when it is imported.
SHOP = """
    import itertools
    import rml

    charged, numbers = [], itertools.count()

    @rml.idempotent("payment.charge", key="payment_id")
    def charge(payment_id):
        charged.append(payment_id)

    @rml.idempotent("payment.charge_anew", key=lambda payment_id: f"{payment_id}-{next(numbers)}")
    def charge_anew(payment_id):
        charged.append(payment_id)

    @rml.idempotent("payment.send_anew", key=lambda payment_id: f"{payment_id}-{next(numbers)}")
    async def send_anew(payment_id):
        charged.append(payment_id)
"""

Run = Callable[..., pytest.RunResult]


@pytest.fixture
def run(pytester: pytest.Pytester) -> Run:
    """Return what writes a project of a user's with one test file, and runs it."""

    def run(tests: str, *options: str) -> pytest.RunResult:
        pytester.makeini("[pytest]\nfilterwarnings = error\nstrict = true\n")
        pytester.makepyfile(shop=SHOP)
        pytester.makepyfile(test_shop=tests)
        return pytester.runpytest_subprocess("--import-mode=prepend", *options)

    return run


def test_each_test_has_a_ledger_and_a_clock_of_its_own(run: Run) -> None:
    """The ledger is the current one, empty for every test, and verified when the test is over."""
    tests = """
        import pytest, rml, shop

        @pytest.mark.parametrize("number", [1, 2])
        def test_charge(number, rml_ledger, rml_clock):
            shop.charge("pay-1")
            assert rml_ledger is rml.current_ledger()
            assert ["payment.charge"] == [effect.operation for effect in rml_ledger.effects()]
            rml_clock.advance(60)
            rml_ledger.append("shop.closed", world="RML3")
            assert [rml_clock.now()] == [e.at for e in rml_ledger.entries(kind="shop.closed")]

        def test_none():
            with pytest.raises(rml.NoLedgerError):
                rml.current_ledger()

        def test_tampering(rml_ledger):
            rml_ledger.append("shop.opened", world="RML1")
            rml_ledger._store._contents.rows.clear()
    """
    result = run(tests)

    result.assert_outcomes(passed=4, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_tampering*"])
    result.stdout.fnmatch_lines(["*the test left its ledger inconsistent:*"])


DUPLICATES = """
    import asyncio
    import pytest
    import shop

    pytestmark = pytest.mark.usefixtures("rml_ledger")

    def test_same_key():
        shop.charged.clear()
        shop.charge("pay-1")
        assert ["pay-1"] == shop.charged

    def test_new_key():
        shop.charge_anew("pay-2")

    def test_new_key_in_async_def():
        asyncio.run(shop.send_anew("pay-3"))

    @pytest.mark.duplicate_delivery(False)
    def test_left_alone():
        shop.charge_anew("pay-4")
"""


def test_option_delivers_every_call_twice(run: Run) -> None:
    """A handler that ran twice fails its test, which names the operation and the keys."""
    result = run(DUPLICATES, "--rml-duplicates")

    result.assert_outcomes(passed=2, failed=2)
    result.stdout.fnmatch_lines_random(
        [
            "*'payment.charge_anew' ran twice*: for key 'pay-2-*', then for key 'pay-2-*'",
            "*'payment.send_anew' ran twice*: for key 'pay-3-*', then for key 'pay-3-*'",
        ]
    )


def test_marker_delivers_twice_in_one_test(run: Run) -> None:
    """Only the marked test is run that way, and a failing test keeps its own reason."""
    tests = """
        import pytest, shop

        def test_plain(rml_ledger):
            shop.charge_anew("pay-1")

        @pytest.mark.duplicate_delivery
        def test_marked(rml_ledger):
            shop.charge_anew("pay-1")

        @pytest.mark.duplicate_delivery
        def test_wrong(rml_ledger):
            assert [] == shop.charged + ["its own reason"]
    """
    result = run(tests)

    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(["*its own reason*"])


@pytest.mark.skipif(importlib.util.find_spec("xdist") is None, reason="pytest-xdist is not here")
def test_option_reaches_the_workers_of_xdist(run: Run) -> None:
    """Tests that run in other processes are run the same way."""
    run(DUPLICATES, "--rml-duplicates", "-n", "1").assert_outcomes(passed=2, failed=2)


def test_plugin_imports_nothing_else() -> None:
    """Every start of pytest pays for it, and coverage must see the rest being imported."""
    code = (
        "import rml.testing.plugin, sys; print(*sorted(m for m in sys.modules if m[:3] == 'rml'))"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert ["rml", "rml.testing", "rml.testing.plugin"] == finished.stdout.split()
