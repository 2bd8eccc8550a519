"""From a problem to an incident: what crosses a boundary, what people report, and who is told."""

import asyncio
import functools
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import rml
from rml.incident import opening
from rml.incident.casebook import Casebook
from rml.incident.casefile import DetectedBy


class Charged(rml.HistoryError):
    """A customer was charged twice."""

    code = "DOUBLE_CHARGE"


class Slow(rml.DialogError):
    """The gateway did not answer in time."""

    code = "GATEWAY_SLOW"


@pytest.fixture
def clock() -> rml.FrozenClock:
    """Return a clock that stands still."""
    return rml.FrozenClock("2026-11-20T19:00:00.000000Z")


@pytest.fixture
def ledger(clock: rml.FrozenClock) -> rml.Ledger:
    """Return a ledger in memory that is configured for this process."""
    ledger = rml.Ledger("memory:", clock=clock)
    rml.configure(ledger=ledger, service="payments")
    return ledger


@pytest.fixture
def told(ledger: rml.Ledger) -> list[rml.Escalation]:
    """Return the list to which a configured hook adds what it is told."""
    heard: list[rml.Escalation] = []
    rml.configure(hooks=[heard.append])
    return heard


def kinds(ledger: rml.Ledger) -> list[str]:
    """Return what the ledger holds, in short."""
    return [entry.kind for entry in ledger.entries()]


def incidents(ledger: rml.Ledger) -> list[str | None]:
    """Return the ids of the incidents in a ledger."""
    return [entry.incident for entry in ledger.entries(kind="incident.opened")]


# ---------------------------------------------------------------------------- what crosses


def test_history_that_crosses_a_boundary_opens_one_incident(ledger: rml.Ledger) -> None:
    """An RML3 error opens an incident, and goes on its way unchanged, with a note of where."""
    error = Charged("pay-42 was charged twice")

    with pytest.raises(Charged) as caught, rml.boundary("checkout"):
        raise error

    assert caught.value is error
    assert ["rml: opened INC-2026-0001"] == error.__notes__
    assert ["incident.opened", "error.crossed"] == kinds(ledger)
    opened, crossed = ledger.entries()
    assert opened.world is rml.World.RML3
    assert "DOUBLE_CHARGE" == opened.facts["code"]
    assert "checkout" == crossed.operation
    assert opened.incident == crossed.incident == "INC-2026-0001"
    assert crossed.facts["bug"] is False


@pytest.mark.parametrize("name", ["wrapped", "context", "hidden", "grouped"])
def test_history_behind_another_error_counts(ledger: rml.Ledger, name: str) -> None:
    """An error that wraps, follows, hides or groups an RML3 error is history too."""

    def wrapped() -> None:
        raise Slow from Charged()

    def context() -> None:
        try:
            raise Charged
        except Charged:
            raise ValueError("while cleaning up")  # noqa: B904 - the context is the point

    def hidden() -> None:
        try:
            raise Charged
        except Charged:
            raise Slow from None

    def grouped() -> None:
        raise ExceptionGroup("both", [ValueError("a"), ExceptionGroup("inner", [Charged()])])

    failing = {"wrapped": wrapped, "context": context, "hidden": hidden, "grouped": grouped}
    with pytest.raises((Slow, ValueError, ExceptionGroup)), rml.boundary("checkout"):
        failing[name]()

    assert ["INC-2026-0001"] == incidents(ledger)


def test_a_group_that_is_no_exception_counts(ledger: rml.Ledger) -> None:
    """An interrupt that arrives together with history does not hide it."""
    group = BaseExceptionGroup("both", [KeyboardInterrupt(), Charged()])

    with pytest.raises(BaseExceptionGroup), rml.boundary("checkout"):
        raise group

    assert ["INC-2026-0001"] == incidents(ledger)


def test_leaving_a_program_on_history_counts(ledger: rml.Ledger) -> None:
    """A program that ends because of an RML3 error has met history."""

    @rml.boundary("nightly")
    def nightly() -> None:
        try:
            raise Charged
        except Charged as error:
            raise SystemExit(1) from error

    with pytest.raises(SystemExit):
        nightly()

    assert ["INC-2026-0001"] == incidents(ledger)


@pytest.mark.parametrize("leaving", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
def test_leaving_a_program_is_no_bug(ledger: rml.Ledger, leaving: type[BaseException]) -> None:
    """Interrupts, exits and cancellations are no news by themselves."""
    with pytest.raises(leaving), rml.boundary("checkout"):
        raise leaving

    assert [] == kinds(ledger)


def test_a_strangers_exception_is_a_bug(ledger: rml.Ledger, told: list[rml.Escalation]) -> None:
    """A bug is recorded, without an incident and without telling anybody; its text is erasable."""
    with pytest.raises(KeyError), rml.boundary("checkout"):
        raise KeyError("ada@example.com")

    (entry,) = ledger.entries()
    assert "error.crossed" == entry.kind
    assert {"boundary": "checkout", "type": "KeyError", "bug": True, "code": None} == entry.facts
    assert {"text": "'ada@example.com'"} == entry.personal["error"]
    assert entry.incident is None
    assert [] == told
    assert 0 == len(Casebook(ledger))


def test_an_error_of_the_dialog_is_no_incident(ledger: rml.Ledger) -> None:
    """RML2 stays in its world: recorded, no bug and no case file."""
    with pytest.raises(Slow), rml.boundary("checkout"):
        raise Slow

    (entry,) = ledger.entries()
    assert (rml.World.RML2, False) == (entry.world, entry.facts["bug"])
    assert [] == incidents(ledger)


def test_a_bug_while_an_effect_has_an_unknown_end_is_gray(ledger: rml.Ledger) -> None:
    """A stranger's exception is more than a bug when an effect began inside and nobody knows."""

    @rml.idempotent("payment.charge", key="key")
    def charge(key: str) -> None:
        raise TimeoutError("read timed out")

    @rml.boundary("checkout")
    def buy() -> None:
        with suppress(TimeoutError):
            charge("pay-42")
        raise ValueError("after the charge")

    with pytest.raises(ValueError, match="after"):
        buy()

    crossed = ledger.entries(kind="error.crossed")[0]
    case = Casebook(ledger)[str(crossed.incident)]
    assert ["in_doubt"] == [effect.state for effect in case.effects]
    assert all(entry.facts["gray"] for entry in ledger.entries(kind="incident.opened"))


@pytest.mark.parametrize("place", ["memory:", "sqlite://:memory:", "file"])
def test_a_boundary_looks_at_effects_in_every_store(place: str, tmp_path: Path) -> None:
    """Looking for effects of unknown end works while the crossing is being recorded."""
    ledger = rml.Ledger(tmp_path / "a.db" if place == "file" else place, timeout=2)

    @rml.idempotent("payment.charge", key="key", ledger=ledger)
    def charge(key: str) -> str:
        return key

    @rml.boundary("checkout", ledger=ledger)
    def buy() -> None:
        charge("pay-42")
        raise ValueError("after the charge")

    with pytest.raises(ValueError, match="after"):
        buy()

    assert 1 == len(ledger.entries(kind="error.crossed", operation="checkout"))
    assert [] == incidents(ledger)
    ledger.close()


def test_an_effect_inside_an_inner_boundary_is_inside_the_outer_one(ledger: rml.Ledger) -> None:
    """The outer boundary knows of effects that began within the inner one."""

    @rml.idempotent("payment.charge", key="key")
    def charge(key: str) -> None:
        raise TimeoutError("read timed out")

    @rml.boundary("outer")
    def buy() -> None:
        with rml.boundary("inner"), suppress(TimeoutError):
            charge("pay-42")
        raise ValueError("after the charge")

    with pytest.raises(ValueError, match="after"):
        buy()

    assert ledger.entries(kind="error.crossed", operation="outer")[0].incident is not None


def test_nothing_crosses_when_nothing_is_raised(ledger: rml.Ledger) -> None:
    """A quiet boundary leaves no trace."""
    with rml.boundary("checkout"):
        pass

    assert [] == kinds(ledger)


def test_one_exception_is_recorded_once(ledger: rml.Ledger, told: list[rml.Escalation]) -> None:
    """Nested boundaries see the same exception, and the innermost records it."""
    with pytest.raises(Charged), rml.boundary("outer"), rml.boundary("inner"):
        raise Charged

    assert ["incident.opened", "error.crossed"] == kinds(ledger)
    assert ["inner"] == [entry.operation for entry in ledger.entries(kind="error.crossed")]
    assert 1 == len(told)


def test_an_error_wrapped_on_its_way_out_stays_one_incident(ledger: rml.Ledger) -> None:
    """What an outer layer wraps is the same problem: it belongs to the same incident."""

    @rml.boundary("outer")
    def buy() -> None:
        try:
            with rml.boundary("inner"):
                raise Charged
        except Charged as error:
            raise Slow from error

    with pytest.raises(Slow):
        buy()

    assert ["INC-2026-0001"] == incidents(ledger)
    crossed = {entry.incident for entry in ledger.entries(kind="error.crossed")}
    assert {"INC-2026-0001"} == crossed


def test_a_group_of_known_errors_is_known(ledger: rml.Ledger) -> None:
    """A group of what is recorded belongs to the incident; a group with news opens its own."""
    known = []
    for _ in range(2):
        error = Charged()
        rml.escalate(error)
        known.append(error)
    for members in (known, [*known, Charged()]):
        with pytest.raises(ExceptionGroup), rml.boundary("checkout"):
            raise ExceptionGroup("all", members)

    assert ["INC-2026-0001", "INC-2026-0002"] == incidents(ledger)


def test_another_history_met_while_handling_one_is_news(ledger: rml.Ledger) -> None:
    """An RML3 error raised during the handling of another, not from it, is a problem of its own."""

    @rml.boundary("outer")
    def pay_out() -> None:
        try:
            with rml.boundary("inner"):
                raise Charged
        except Charged:
            raise rml.HistoryError("paid twice", code="DOUBLE_PAYOUT")  # noqa: B904 - not from it

    with pytest.raises(rml.HistoryError, match="paid twice"):
        pay_out()

    assert ["INC-2026-0001", "INC-2026-0002"] == incidents(ledger)


def test_a_decorated_function_keeps_its_face(ledger: rml.Ledger) -> None:
    """The decorator keeps name, signature and value, and every call has a border of its own."""

    @rml.boundary("checkout")
    def buy(amount: int) -> int:
        """Buy."""
        if amount == 0:
            raise Charged
        return amount if amount < 3 else buy(amount - 1)

    assert 2 == buy(5)
    assert ("buy", "Buy.") == (buy.__name__, buy.__doc__)
    with pytest.raises(Charged):
        buy(0)
    assert ["INC-2026-0001"] == incidents(ledger)


def test_async_code_has_boundaries(ledger: rml.Ledger, told: list[rml.Escalation]) -> None:
    """``async with`` and a decorated ``async def`` record like their plain kin."""

    @rml.boundary("decorated")
    async def buy() -> None:
        await asyncio.sleep(0)
        raise Charged

    async def main() -> None:
        with pytest.raises(Charged):
            await buy()
        with pytest.raises(Charged):
            async with rml.boundary("with"):
                raise Charged
        with pytest.raises(Charged), rml.boundary("plain"):
            raise Charged
        async with rml.boundary("quiet"):
            pass

    assert asyncio.iscoroutinefunction(buy)
    asyncio.run(main())

    assert ["decorated", "with", "plain"] == [entry.operation for entry in told]
    assert 3 == len(incidents(ledger))


def test_tasks_may_share_one_boundary(ledger: rml.Ledger) -> None:
    """A boundary entered by several tasks at once records each of their errors."""
    shared = rml.boundary("checkout")
    entered = [asyncio.Event() for _ in range(2)]

    async def buy(i: int) -> None:
        async with shared:
            entered[i].set()
            await entered[1 - i].wait()
            raise Charged(f"pay-{i}")

    async def main() -> list[Any]:
        return await asyncio.gather(buy(0), buy(1), return_exceptions=True)

    errors = asyncio.run(main())

    assert ["Charged", "Charged"] == [type(error).__name__ for error in errors]
    assert 2 == Casebook(ledger)["INC-2026-0001"].count


def test_threads_may_share_one_boundary(ledger: rml.Ledger) -> None:
    """A boundary entered by several threads at once lets each of their errors pass unchanged."""
    shared, barrier = rml.boundary("checkout"), threading.Barrier(4, timeout=30)

    def buy(i: int) -> str:
        try:
            with shared:
                barrier.wait()
                raise Charged(f"pay-{i}")
        except Exception as error:  # noqa: BLE001 - whatever comes out
            return type(error).__name__

    with ThreadPoolExecutor(4) as pool:
        assert ["Charged"] * 4 == list(pool.map(buy, range(4)))
    assert 4 == Casebook(ledger)["INC-2026-0001"].count


def test_a_boundary_needs_a_ledger_before_it_is_entered() -> None:
    """A missing configuration is found before anything happens inside."""
    inside = []
    with pytest.raises(rml.NoLedgerError), rml.boundary("checkout"):
        inside.append(1)

    assert [] == inside


@pytest.mark.parametrize("name", ["", None, 7, "a\nb", "x" * 256])
def test_a_boundary_needs_a_name(name: Any) -> None:
    """The name is recorded, so it is text that can be recorded."""
    with pytest.raises(rml.InvalidInputError, match="boundary"):
        rml.boundary(name)


def test_a_ledger_that_fails_does_not_replace_the_error(
    ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a crossing cannot be recorded, callers still see what went wrong, and a note."""

    def full(*_: Any, **__: Any) -> None:
        raise rml.LedgerUnavailableError("the disk is full")

    monkeypatch.setattr(ledger, "write", full)
    error = Charged()
    with pytest.raises(Charged) as caught, rml.boundary("checkout"):
        raise error

    assert caught.value is error
    assert ["rml: crossing the boundary 'checkout' could not be recorded"] == error.__notes__


def test_an_error_that_nobody_can_describe_is_recorded(ledger: rml.Ledger) -> None:
    """Broken ``__str__``, half characters and endless texts stop no escalation."""

    class Broken(Exception):  # noqa: N818
        def __str__(self) -> str:
            raise RuntimeError

    for error in (Broken(), Charged("\ud800 half"), Charged("x" * 100_000), ValueError("\ud800")):
        with pytest.raises(type(error)), rml.boundary("checkout"):
            raise error

    assert 4 == len(ledger.entries(kind="error.crossed"))
    assert ledger.verify().ok


class Guarded(rml.HistoryError):
    """Money moved twice."""

    def add_note(self, _: str) -> None:
        """Take no notes."""
        raise RuntimeError("no notes")


class Unreadable(rml.HistoryError):
    """Money moved twice."""

    def __getattr__(self, name: str) -> object:
        raise AttributeError if name.startswith("__") else RuntimeError("no reading")


class Unwritable(rml.HistoryError):
    """Money moved twice."""

    def __setattr__(self, name: str, value: object) -> None:
        if "_built" in vars(self):
            raise RuntimeError("no writing")
        super().__setattr__(name, value)

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self._built = True


class Agreeing(rml.HistoryError):
    """Money moved twice."""

    def __getattr__(self, name: str) -> str:
        if name.startswith("__"):
            raise AttributeError
        return "INC-1999-0001"


@pytest.mark.parametrize("kind", [Guarded, Unreadable, Unwritable, Agreeing])
def test_an_error_of_strange_make_is_not_replaced(
    ledger: rml.Ledger, told: list[rml.Escalation], kind: type[rml.HistoryError]
) -> None:
    """What raises on notes and attributes, or has them all, passes, is recorded once, and told."""
    error = kind("twice")
    with pytest.raises(kind) as caught, rml.boundary("outer"), rml.boundary("inner"):
        raise error

    assert caught.value is error
    assert ["incident.opened", "error.crossed"] == kinds(ledger)
    assert ["INC-2026-0001"] == [escalation.incident for escalation in told]


@pytest.mark.parametrize("kind", [Guarded, Unreadable, Unwritable, Agreeing])
def test_an_error_of_strange_make_behind_another(
    ledger: rml.Ledger, kind: type[rml.HistoryError]
) -> None:
    """What wraps such an error is looked through all the same."""

    @rml.boundary("outer")
    def buy() -> None:
        try:
            with rml.boundary("inner"):
                raise kind("twice")
        except kind as error:
            raise ValueError("wrapped") from error

    with pytest.raises(ValueError, match="wrapped"):
        buy()

    assert ["INC-2026-0001"] == incidents(ledger)
    assert 2 == len(ledger.entries(kind="error.crossed", incident="INC-2026-0001"))


@pytest.mark.parametrize("leaving", [Exception, BaseException])
def test_an_error_that_cannot_be_looked_at_passes(
    ledger: rml.Ledger, leaving: type[BaseException]
) -> None:
    """No reading of any attribute, nor notes: it still is what the caller sees."""

    class Closed(leaving):  # type: ignore[misc, valid-type]
        def __getattribute__(self, name: str) -> object:
            raise RuntimeError("no reading")

    error, unchanged = Closed(), False
    try:
        with rml.boundary("checkout"):
            raise error
    except BaseException as caught:  # noqa: BLE001 - whatever comes out
        unchanged = caught is error

    assert unchanged


def test_an_error_that_takes_no_notes_when_the_ledger_fails(
    ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two things fail at once, and the caller sees what crossed."""

    def full(*_: Any, **__: Any) -> None:
        raise rml.LedgerUnavailableError("the disk is full")

    monkeypatch.setattr(ledger, "write", full)
    with pytest.raises(Guarded), rml.boundary("checkout"):
        raise Guarded


# ------------------------------------------------------------------------- what may be decorated


def lines() -> Iterator[int]:
    """Be a generator function."""
    yield 1


async def lines_async() -> AsyncIterator[int]:
    """Be an asynchronous generator function."""
    yield 1


class Lines:
    """A callable whose body is a generator's."""

    def __call__(self) -> Iterator[int]:
        """Yield."""
        yield 1


@pytest.mark.parametrize(
    "wrong",
    [lines, lines_async, functools.partial(lines), Lines(), 7, None],
    ids=["generator", "async generator", "partial", "object", "number", "nothing"],
)
def test_what_a_boundary_cannot_surround_is_refused(wrong: Any) -> None:
    """A generator's body runs in its reader's hands; the mistake shows where it is written."""
    with pytest.raises(rml.InvalidInputError, match="boundary"):
        rml.boundary("checkout")(wrong)


def test_a_boundary_surrounds_the_coroutine_of_a_plain_function(
    ledger: rml.Ledger, told: list[rml.Escalation]
) -> None:
    """What another decorator made of an ``async def`` is awaited inside the border."""

    async def buy(amount: int) -> int:
        await asyncio.sleep(0)
        if amount == 0:
            raise Charged
        return amount

    @rml.boundary("checkout")
    def plain(amount: int) -> Any:
        return buy(amount)

    async def main() -> None:
        assert 5 == await plain(5)
        with pytest.raises(Charged):
            await asyncio.create_task(plain(0))

    asyncio.run(main())
    assert ["incident.opened", "error.crossed"] == kinds(ledger)
    assert 1 == len(told)


def test_an_async_callable_object_has_a_border(ledger: rml.Ledger) -> None:
    """An object whose call is ``async def`` is surrounded as well."""

    class Buy:
        async def __call__(self) -> None:
            raise Charged

    with pytest.raises(Charged):
        asyncio.run(rml.boundary("checkout")(Buy())())

    assert ["INC-2026-0001"] == incidents(ledger)


def test_what_runs_elsewhere_is_handed_on_with_a_warning(
    ledger: rml.Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    """Futures and generators stay what they are; the log says that nothing looks after them."""

    @rml.boundary("checkout")
    def plain(value: Any) -> Any:
        return value

    async def main() -> None:
        future = asyncio.get_running_loop().create_future()
        for value in (future, lines(), lines_async()):
            assert plain(value) is value
        future.cancel()

    asyncio.run(main())
    found = [record.getMessage() for record in caplog.records if record.name == "rml"]
    assert ["Future", "generator", "async_generator"] == [
        name
        for text in found
        for name in text.split()
        if name in {"Future", "generator", "async_generator"}
    ]
    assert [] == kinds(ledger)


# ------------------------------------------------------------------------- what is reported


def test_a_report_in_words_opens_an_incident(
    ledger: rml.Ledger, told: list[rml.Escalation]
) -> None:
    """Words are enough; they are the title, and the fingerprint besides."""
    incident = rml.escalate("Possible double charge", by="ada", operation="payment.charge")

    assert (incident.id, incident.opened, incident.count) == ("INC-2026-0001", True, 1)
    entry = ledger.entry(incident.entry)
    assert ("ada", "payment.charge", "payments") == (entry.actor, entry.operation, entry.service)
    assert "Possible double charge" == entry.facts["title"]
    assert entry.facts["gray"] is False
    assert [incident.id] == [escalation.incident for escalation in told]


def test_a_reported_exception_is_not_recorded_again(ledger: rml.Ledger) -> None:
    """An exception that was escalated by hand is known at the next boundary."""
    error = Charged()
    rml.escalate(error, operation="checkout")
    with pytest.raises(Charged), rml.boundary("checkout"):
        raise error

    assert ["incident.opened"] == kinds(ledger)


def test_a_suspicion_needs_no_proof(ledger: rml.Ledger) -> None:
    """Gray opens as RML3, with nothing but words, and is marked as gray."""
    incident = rml.suspect("customers report two charges")

    entry = ledger.entry(incident.entry)
    assert rml.World.RML3 is entry.world
    assert entry.facts["gray"] is True
    case = Casebook(ledger)[incident.id]
    assert rml.World.RML3 is case.world
    assert (DetectedBy(type="person", source="unknown"),) == case.file.detected_by


def test_details_are_erasable(ledger: rml.Ledger, told: list[rml.Escalation]) -> None:
    """Details reach the hooks and are kept beside the entry, where they can be erased."""
    incident = rml.escalate("Wrong payout", details={"customer": "ada", "amount": 1999})

    assert {"customer": "ada", "amount": 1999} == told[0].details
    assert {"customer": "ada", "amount": 1999} == ledger.entry(incident.entry).personal["details"]
    ledger.erase(incident.entry, ["details"], by="dpo", reason="request 7")
    assert {} == ledger.entry(incident.entry).personal
    assert ledger.verify().ok


def test_three_kinds_of_source_are_kept(ledger: rml.Ledger) -> None:
    """Code, a monitor and a person's ticket each open a case that says what noticed it."""
    with pytest.raises(Charged), rml.boundary("checkout"):
        raise Charged
    alert = {"type": "alert", "source": "payments.rml3_error_rate"}
    rml.escalate("RML3 errors above threshold", detected_by=alert)
    rml.suspect("charged twice", detected_by={"type": "cs_ticket", "id": "CS-1234"})

    found = [case.file.detected_by for case in Casebook(ledger)]
    assert [
        (DetectedBy(type="rml", source="checkout"),),
        (DetectedBy(type="alert", source="payments.rml3_error_rate"),),
        (DetectedBy(type="cs_ticket", id="CS-1234"),),
    ] == found


def test_three_kinds_of_source_join(ledger: rml.Ledger) -> None:
    """The same problem seen by an alert and told by a ticket is one case with both sources."""
    text = "Possible double charge"
    rml.escalate(text, detected_by={"type": "alert", "source": "rate"})
    rml.escalate(text, detected_by={"type": "cs_ticket", "id": "CS-1234"})

    (case,) = Casebook(ledger)
    assert ["alert", "cs_ticket"] == [source.type for source in case.file.detected_by]
    assert 2 == case.count


BAD_REPORTS: dict[str, Callable[[Any], object]] = {
    "no words": lambda _: rml.escalate(""),
    "blank words": lambda _: rml.escalate("  \n"),
    "no text": rml.escalate,
    "long words": lambda _: rml.escalate("x" * 2_001),
    "half a character": lambda _: rml.escalate("half \ud800"),
    "operation of two lines": lambda _: rml.escalate("x", operation="a\nb"),
    "empty effect": lambda _: rml.escalate("x", effect=""),
    "effect of no text": lambda wrong: rml.escalate("x", effect=wrong),
    "nobody": lambda wrong: rml.escalate("x", by=wrong),
    "float": lambda _: rml.escalate("x", details={"amount": 19.99}),
    "details without names": lambda wrong: rml.escalate("x", details=wrong),
    "source without type": lambda _: rml.escalate("x", detected_by={"source": "nobody"}),
    "source of no text": lambda wrong: rml.escalate("x", detected_by={"type": wrong}),
    "suspicion of no text": rml.suspect,
}


@pytest.mark.parametrize("name", BAD_REPORTS)
def test_a_report_that_cannot_be_recorded(
    ledger: rml.Ledger, told: list[rml.Escalation], name: str
) -> None:
    """Bad values are named; nothing is recorded and nobody is told."""
    with pytest.raises(rml.InvalidInputError):
        BAD_REPORTS[name](7)

    assert ([], []) == (kinds(ledger), told)


class Nameless:
    """An object that nobody can show."""

    def __repr__(self) -> str:
        raise RuntimeError("no showing")


UNSHOWN: dict[str, Callable[[rml.Ledger, Any], object]] = {
    "no text": lambda _, wrong: rml.escalate(wrong),
    "a key of the source": lambda _, wrong: rml.escalate(
        "x", detected_by={"type": "alert", wrong: "y"}
    ),
    "a severity": lambda _, wrong: rml.Casebook()[rml.suspect("x").id].understand(
        "x", by="ann", severity=wrong
    ),
    "an incident": lambda ledger, wrong: Casebook(ledger)[wrong],
    "an amended decision": lambda _, wrong: rml.Casebook()[rml.suspect("x").id].decide(
        "x", decided_by=dict.fromkeys(("legal", "business", "sre"), "ann"), amends=wrong
    ),
}


@pytest.mark.parametrize("name", UNSHOWN)
def test_a_value_that_nobody_can_show_is_refused(ledger: rml.Ledger, name: str) -> None:
    """The refusal names the type, whatever the value's own ``repr`` does."""
    with pytest.raises(rml.RmlError, match="Nameless"):
        UNSHOWN[name](ledger, Nameless())


@pytest.mark.parametrize("report", [rml.escalate, rml.suspect])
def test_a_report_of_an_unknown_effect_is_refused(
    ledger: rml.Ledger, told: list[rml.Escalation], report: Callable[..., rml.Incident]
) -> None:
    """An effect that this ledger never promised is a mistake; nothing is recorded."""
    with pytest.raises(rml.UnknownIdError, match="ef_elsewhere"):
        report("x", effect="ef_elsewhere")

    assert ([], []) == (kinds(ledger), told)


def test_a_report_names_an_effect(ledger: rml.Ledger) -> None:
    """A known effect is part of the case."""

    @rml.idempotent("payment.charge", key="key")
    def charge(key: str) -> str:
        return rml.current_effect().id

    effect = charge("pay-42")
    incident = rml.escalate("charged the wrong card", effect=effect)

    assert effect == ledger.entry(incident.entry).effect
    assert [effect] == [known.id for known in Casebook(ledger)[incident.id].effects]


# ------------------------------------------------------------------------ one problem, one case


def test_equal_signals_are_one_incident(ledger: rml.Ledger, told: list[rml.Escalation]) -> None:
    """Forty-one equal problems are one case that has counted to forty-one."""
    for i in range(41):
        with pytest.raises(Charged), rml.boundary("checkout"):
            raise Charged(f"pay-{i} was charged twice")

    (case,) = Casebook(ledger)
    assert 41 == case.count
    assert list(range(1, 42)) == [escalation.count for escalation in told]
    assert [True] + [False] * 40 == [escalation.opened for escalation in told]


OTHERS: dict[str, Callable[[], rml.Incident]] = {
    "words": lambda: rml.escalate("other words", operation="payment.charge"),
    "operation": lambda: rml.escalate("words", operation="payment.refund"),
    "suspicion": lambda: rml.suspect("words", operation="payment.charge"),
    "code": lambda: rml.escalate(Charged("words"), operation="payment.charge"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_problems_are_other_incidents(ledger: rml.Ledger, name: str) -> None:
    """Another operation, code or text is another problem."""
    first = rml.escalate("words", operation="payment.charge")

    assert OTHERS[name]().id != first.id


def test_another_service_is_another_problem(ledger: rml.Ledger) -> None:
    """The service is part of what makes a problem the same."""
    rml.escalate(Charged())
    rml.configure(service="payouts")
    rml.escalate(Charged())

    assert ["INC-2026-0001", "INC-2026-0002"] == incidents(ledger)


def test_ids_start_anew_each_year(ledger: rml.Ledger, clock: rml.FrozenClock) -> None:
    """The number belongs to the year; the year is that of the ledger's clock, in UTC."""
    clock.set("2026-12-31T23:59:59.999999Z")
    rml.escalate("one")
    rml.escalate("two")
    clock.advance(0.000001)
    rml.escalate("three")
    rml.escalate("four")

    wanted = ["INC-2026-0001", "INC-2026-0002", "INC-2027-0001", "INC-2027-0002"]
    assert wanted == incidents(ledger)


def test_the_ids_of_an_early_year(ledger: rml.Ledger, clock: rml.FrozenClock) -> None:
    """A clock that has lost its battery still gives ids of the usual form."""
    clock.set("0999-01-01T00:00:00.000000Z")
    rml.suspect("one")
    rml.suspect("two")

    assert ["INC-0999-0001", "INC-0999-0002"] == incidents(ledger)


def test_ids_are_not_used_again_when_the_clock_steps_back(
    ledger: rml.Ledger, clock: rml.FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many incidents another year had, a number that was given is never given again."""
    monkeypatch.setattr(opening, "LOOK_BACK_MAX", 2)
    rml.escalate("one")
    clock.set("2027-01-01T00:00:00.000000Z")
    for i in range(3):
        rml.escalate(f"next year {i}")
    clock.set("2026-12-31T00:00:00.000000Z")
    rml.escalate("two")

    found = incidents(ledger)
    assert len(set(found)) == len(found) == 5


def test_the_ten_thousandth_id_is_longer() -> None:
    """Four digits are the least, not the most."""
    assert "INC-2026-10000" == opening.next_number(["INC-2026-9999"], 2026)
    assert "INC-2026-0001" == opening.next_number(["INC-2025-0007", "other"], 2026)
    assert "INC-0999-0002" == opening.next_number(["INC-0999-0001"], 999)


def test_entry_and_incident_are_one_commit(
    ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the crossing cannot be written, no incident is left behind, and nobody is told."""
    told: list[rml.Escalation] = []
    rml.configure(hooks=[told.append])
    append = rml.Draft.append

    def failing(draft: rml.Draft, kind: str, **rest: Any) -> rml.Receipt:
        if kind == "error.crossed":
            raise rml.LedgerUnavailableError("the disk is full")
        return append(draft, kind, **rest)

    monkeypatch.setattr(rml.Draft, "append", failing)
    with pytest.raises(Charged), rml.boundary("checkout"):
        raise Charged

    assert ([], []) == (kinds(ledger), told)


def test_threads_open_one_incident(tmp_path: Path) -> None:
    """Threads that meet the same problem at once open one incident, which counts them."""
    barrier = threading.Barrier(8, timeout=30)

    def meet(i: int) -> rml.Incident:
        barrier.wait()
        return rml.escalate("Possible double charge", by=f"worker-{i}", ledger=ledger)

    with rml.Ledger(tmp_path / "a.db") as ledger, ThreadPoolExecutor(8) as pool:
        met = list(pool.map(meet, range(8)))
        assert 1 == len(incidents(ledger))
        assert 1 == sum(incident.opened for incident in met)
        assert list(range(1, 9)) == sorted(incident.count for incident in met)
        assert ledger.verify().ok


MEET = """
import sys, rml
path, name = sys.argv[1:]
with rml.Ledger(path) as ledger:
    for i in range(5):
        rml.escalate("the same" if name == "same" else f"{name} {i}", ledger=ledger)
"""


@pytest.mark.parametrize(
    ("names", "opened"), [(["same"] * 3, 1), (["a", "b", "c"], 15)], ids=["same", "different"]
)
def test_processes_open_one_incident_a_problem(
    tmp_path: Path, names: list[str], opened: int
) -> None:
    """Processes on one file agree about which incident a problem belongs to, and about ids."""
    path = str(tmp_path / "a.db")
    workers = [subprocess.Popen([sys.executable, "-c", MEET, path, name]) for name in names]

    assert [0, 0, 0] == [worker.wait(60) for worker in workers]
    with rml.Ledger(path) as ledger:
        found = incidents(ledger)
        assert opened == len(found) == len(set(found))
        assert 15 == sum(case.count for case in Casebook(ledger))
        assert ledger.verify().ok
