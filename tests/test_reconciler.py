"""Reconciling without a person: races, hangs, a time of grace, the background thread."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from protected import Charges, doubtful, kinds, the_effect

import rml
from rml.cause import type_name
from rml.effect.reconcile import _not_back

SECONDS = 60


@pytest.fixture(autouse=True)
def _nobody_is_left_behind() -> Iterator[None]:
    """Wait for the reconcilers that a test has let hang."""
    yield
    for answer in _not_back.values():
        answer.exception(SECONDS)
    _not_back.clear()


def lost(ask: Callable[[rml.Effect], Any], *ends: Any) -> Charges:
    """Return a handler whose first attempt is in doubt."""
    charges = Charges(TimeoutError("lost"), *ends, reconcile=ask)
    charges.fail(TimeoutError)
    return charges


# A finding counts for what was asked about ------------------------------------------------------


def test_a_finding_about_an_earlier_attempt_decides_nothing(ledger: rml.Ledger) -> None:
    """While one asked, somebody decided and the next attempt was lost too."""

    def ask(effect: rml.Effect) -> rml.Finding:
        if effect.attempt == 1:
            ledger.resolve(effect.id, happened=False, by="ada", reason="seen")
            charges.fail(TimeoutError)
        return rml.Finding(True, "of the first attempt")

    charges = lost(ask, TimeoutError("lost again"))

    (reconciliation,) = rml.reconcile()

    assert (None, "something was recorded of it meanwhile; ask again") == (
        reconciliation.happened,
        reconciliation.why,
    )
    assert (2, rml.EffectState.IN_DOUBT) == (the_effect(ledger).attempt, the_effect(ledger).state)


def test_a_late_report_is_looked_at_before_anything_is_decided(
    ledger: rml.Ledger, clock: rml.FrozenClock
) -> None:
    """The worker reports while its effect is asked about: what was asked is not all there is."""
    asked, go_on = threading.Event(), threading.Event()

    def ask(effect: rml.Effect) -> rml.Finding:
        if not asked.is_set():
            asked.set()
            assert go_on.wait(SECONDS)
        return rml.Finding(False)

    def slow() -> str:
        clock.advance(61)
        thread.start()
        assert asked.wait(SECONDS)
        return "charged"

    found: list[rml.Reconciliation] = []
    charges = Charges(slow, reconcile=ask)
    thread = threading.Thread(target=lambda: found.extend(rml.reconcile()))
    charges.fail(rml.InDoubtError)
    go_on.set()
    thread.join(SECONDS)

    assert "meanwhile" in found[0].why
    assert ["effect.in_doubt", "effect.late"] == kinds(ledger)[-2:]
    assert ["pay-1"] == doubtful(ledger)


def test_two_that_reconcile_at_once_take_one_decision(ledger: rml.Ledger) -> None:
    """Both ask; the findings contradict each other; the first one that is recorded counts."""
    both = threading.Barrier(2)
    answers = iter([rml.Finding(True, "there"), rml.Finding(False)])
    lock = threading.Lock()

    def ask(effect: rml.Effect) -> rml.Finding:
        both.wait(SECONDS)
        with lock:
            return next(answers)

    lost(ask)
    found: list[rml.Reconciliation] = []
    threads = [
        threading.Thread(target=lambda: found.extend(rml.reconcile(ledger=ledger)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)

    assert 1 == len(ledger.entries(kind="effect.resolved"))
    assert 1 == len([one for one in found if one.happened is not None])
    assert ["somebody else decided at the same time"] == [
        one.why for one in found if one.happened is None
    ]


def test_a_decision_names_the_version_that_was_looked_at(ledger: rml.Ledger) -> None:
    """Another one is refused, and nothing is recorded; the right one decides."""
    lost(lambda effect: None)
    effect = the_effect(ledger)
    assert 2 == effect.version
    size = ledger.size
    decision: dict[str, Any] = {"happened": False, "by": "ada", "reason": "seen"}

    for version in (1, 3):
        with pytest.raises(rml.EffectChangedError, match="version 2 now") as caught:
            ledger.resolve(effect.id, version=version, **decision)
        assert {"effect": effect.id, "version": 2} == caught.value.details
    for wrong in (0, True, "2", 2.0):
        with pytest.raises(rml.InvalidInputError, match="version"):
            ledger.resolve(effect.id, version=wrong, **decision)  # type: ignore[arg-type]
    assert size == ledger.size

    decided = ledger.resolve(effect.id, version=2, **decision)
    assert (3, rml.EffectState.NOT_DONE) == (decided.version, decided.state)
    with pytest.raises(rml.NotInDoubtError):
        ledger.resolve(effect.id, version=2, **decision)


# Grace and time-outs ----------------------------------------------------------------------------


def test_a_lost_worker_is_given_some_grace(ledger: rml.Ledger, clock: rml.FrozenClock) -> None:
    """It is not asked about and not doubted; what it reports meanwhile counts."""
    whys: list[str] = []

    def slow() -> str:
        clock.advance(65)
        whys.extend(one.why for one in rml.reconcile(grace=10))
        return "charged"

    charges = Charges(slow, reconcile=lambda effect: rml.Finding(False))

    assert "charged" == charges()
    assert ["its lease ended less than 10 s ago"] == whys
    assert ["effect.intent", "effect.done"] == kinds(ledger)


def test_after_its_grace_a_lost_worker_is_given_up(
    ledger: rml.Ledger, clock: rml.FrozenClock
) -> None:
    """As is, at once, what is in doubt by its own report."""

    def slow() -> str:
        clock.advance(70)
        assert [False] == [one.happened for one in rml.reconcile(grace=timedelta(seconds=10))]
        return "charged"

    charges = Charges(slow, TimeoutError(), reconcile=lambda effect: rml.Finding(False))
    charges.fail(rml.InDoubtError)
    charges.fail(TimeoutError)

    assert [False] == [one.happened for one in rml.reconcile(grace=3600)]


def test_a_reconciler_that_hangs_is_left_alone(ledger: rml.Ledger) -> None:
    """It decides nothing, holds up nothing for long, and is not called a second time meanwhile."""
    inside, go_on = threading.Event(), threading.Event()
    asked: list[str] = []

    def ask(effect: rml.Effect) -> rml.Finding:
        asked.append(effect.key)
        if effect.key == "pay-1":
            inside.set()
            assert go_on.wait(SECONDS)
        return rml.Finding(True, "there")

    charges = lost(ask, TimeoutError("lost"))
    charges.fail(TimeoutError, "pay-2")

    try:
        found = {one.effect.key: one for one in rml.reconcile(timeout=0.01)}
        assert "the reconciler took more than 0.01 s" == found["pay-1"].why
        assert inside.wait(SECONDS)
        again = {one.effect.key: one for one in rml.reconcile(timeout=0.01)}
        assert "the reconciler has not come back yet" == again["pay-1"].why
        assert 1 == asked.count("pay-1")
    finally:
        go_on.set()
    for answer in list(_not_back.values()):
        answer.exception(SECONDS)
    rml.reconcile(timeout=SECONDS)
    assert [] == doubtful(ledger)


@pytest.mark.parametrize(
    ("end", "why"),
    [
        (TimeoutError("secret"), "the reconciler raised TimeoutError"),
        (None, "the reconciler returned NoneType, not an rml.Finding"),
    ],
    ids=["raises", "nonsense"],
)
def test_with_a_timeout_a_reconciler_fails_as_without(
    ledger: rml.Ledger, end: Any, why: str
) -> None:
    """What it raises or returns is told; the doubt stands."""

    async def ask(effect: rml.Effect) -> Any:
        await asyncio.sleep(0)
        if isinstance(end, Exception):
            raise end
        return end

    lost(ask)

    assert [why] == [one.why for one in rml.reconcile(timeout=SECONDS)]
    assert {} == _not_back


@pytest.mark.parametrize("timeout", [None, SECONDS], ids=["without", "with a timeout"])
def test_where_a_reconciler_failed_is_in_the_log(
    ledger: rml.Ledger, caplog: pytest.LogCaptureFixture, timeout: float | None
) -> None:
    """What is told of it names its class alone, and that is too little to mend it."""

    def ask(_: rml.Effect) -> rml.Finding:
        raise KeyError("secret")

    lost(ask)
    with caplog.at_level("INFO", "rml"):
        (found,) = rml.reconcile(timeout=timeout)

    assert "the reconciler raised KeyError" == found.why
    assert [KeyError] == [line.exc_info[0] for line in caplog.records if line.exc_info]


@pytest.mark.parametrize(
    "end", [SystemExit(0), asyncio.CancelledError()], ids=["exits", "is cancelled"]
)
def test_with_a_timeout_a_reconciler_that_ends_itself_ends_nothing_else(
    ledger: rml.Ledger, end: BaseException
) -> None:
    """Neither the program, which would end with status 0, nor the questions after it."""

    def ask(effect: rml.Effect) -> rml.Finding:
        if effect.key == "pay-1":
            raise end
        return rml.Finding(True, "there")

    charges = lost(ask, TimeoutError("lost"))
    charges.fail(TimeoutError, "pay-2")

    found = {one.effect.key: one for one in rml.reconcile(timeout=SECONDS)}

    assert (None, True) == (found["pay-1"].happened, found["pay-2"].happened)
    assert f"the reconciler raised {type_name(type(end))}" == found["pay-1"].why


def test_with_a_timeout_an_interrupt_is_not_swallowed(ledger: rml.Ledger) -> None:
    """Wherever it is raised."""

    def ask(effect: rml.Effect) -> rml.Finding:
        raise KeyboardInterrupt

    lost(ask)

    with pytest.raises(KeyboardInterrupt):
        rml.reconcile(timeout=SECONDS)


@pytest.mark.parametrize("name", ["grace", "timeout"])
def test_a_length_of_time_is_one(ledger: rml.Ledger, name: str) -> None:
    """A clear error before anything is asked."""
    with pytest.raises(rml.InvalidInputError, match=name):
        rml.reconcile(**{name: -1})  # type: ignore[arg-type]


# In the background ------------------------------------------------------------------------------


def test_a_reconciler_in_the_background(ledger: rml.Ledger) -> None:
    """It asks at once, tells what it found, asks again, and stops when the block ends."""
    told: list[rml.Reconciliation] = []
    enough = threading.Event()

    def listen(reconciliation: rml.Reconciliation) -> None:
        told.append(reconciliation)
        if len(told) == 2:
            enough.set()
        raise ValueError("what a listener raises harms nobody")

    def ask(effect: rml.Effect) -> rml.Finding:
        return rml.Finding(None if not told else True, *([] if not told else ["there"]))

    charges = lost(ask)
    with rml.Reconciler(ledger, every=0.001, told=listen) as reconciler:
        assert enough.wait(SECONDS)
    thread = reconciler._thread
    assert thread is not None
    assert not thread.is_alive()

    assert [None, True] == [one.happened for one in told]
    assert "there" == charges()


def test_a_round_that_fails_is_followed_by_another(
    ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy ledger, a reconciler that is interrupted: the next round tries again."""
    decided = threading.Event()
    tries: list[int] = []

    def ask(effect: rml.Effect) -> rml.Finding:
        tries.append(len(tries))
        if len(tries) == 1:
            raise KeyboardInterrupt
        return rml.Finding(True, "there")

    write = ledger.write

    refused: list[int] = []

    def busy(*args: Any, **kwargs: Any) -> Any:
        if len(tries) == 2 and not refused:
            refused.append(1)
            raise rml.LedgerBusyError
        return write(*args, **kwargs)

    lost(ask)
    monkeypatch.setattr(ledger, "write", busy)
    with rml.Reconciler(every=0.001, told=lambda _: decided.set()):
        assert decided.wait(SECONDS)

    assert [0, 1, 2] == tries
    assert [] == doubtful(ledger)


def test_stopping_asks_about_nothing_more(ledger: rml.Ledger) -> None:
    """The question under way ends; the effect after it stays as it is."""
    charges = lost(lambda effect: rml.Finding(False), TimeoutError("lost"))
    charges.fail(TimeoutError, "pay-2")
    told: list[str] = []

    def stop(reconciliation: rml.Reconciliation) -> None:
        told.append(reconciliation.effect.key)
        reconciler.stop()

    reconciler = rml.Reconciler(every=3600, told=stop)  # named before its thread asks for it
    reconciler.start()
    assert reconciler._thread is not None
    reconciler._thread.join(SECONDS)

    assert 1 == len(told) == len(doubtful(ledger))


def test_a_reconciler_is_checked_before_it_starts(ledger: rml.Ledger) -> None:
    """It is started once, for a ledger, at an interval."""
    for wrong in (0, -1, "30s", None):
        with pytest.raises(rml.InvalidInputError, match="every"):
            rml.Reconciler(ledger, every=wrong)  # type: ignore[arg-type]
    with pytest.raises(rml.InvalidInputError, match="told"):
        rml.Reconciler(ledger, told=5)  # type: ignore[arg-type]
    with (
        rml.Reconciler(ledger) as reconciler,
        pytest.raises(rml.InvalidInputError, match="started already"),
    ):
        reconciler.start()
    rml.configure(ledger=None)
    with pytest.raises(rml.NoLedgerError):
        rml.Reconciler().start()
    rml.Reconciler().stop()
