"""Who is told of an escalation: once it is durable, for a limited time, and harming nobody."""

import asyncio
import threading
import types
from collections.abc import Awaitable, Callable, Generator, Iterator
from typing import Any, cast

import pytest
from escalated import kinds

import rml
from rml import threads
from rml.incident.casebook import Casebook
from rml.incident.signals import telling


def troubles(ledger: rml.Ledger) -> list[str]:
    """Return what the ledger knows of hooks that failed."""
    return [entry.facts["trouble"] for entry in ledger.entries(kind="incident.hook_failed")]


# ------------------------------------------------------------------------------- told, or failed


def test_the_record_exists_before_anybody_is_told(ledger: rml.Ledger) -> None:
    """A hook finds the entry it is told of, durable, and its case."""
    seen = []

    def hook(escalation: rml.Escalation) -> None:
        entry = ledger.entry(escalation.entry)
        seen.append((entry.incident, Casebook(ledger)[escalation.incident].title))

    rml.configure(hooks=[hook])
    rml.escalate("Possible double charge")

    assert [("INC-2026-0001", "Possible double charge")] == seen


def test_an_escalation_is_json_like(ledger: rml.Ledger, told: list[rml.Escalation]) -> None:
    """What a hook is told can be handed on."""
    rml.escalate("Possible double charge", details={"amount": 1})

    plain = told[0].to_dict()
    assert ("RML3", "2026-11-20T19:00:00+00:00") == (plain["world"], plain["at"])
    assert {"amount": 1} == plain["details"]


def test_a_hook_that_raises_is_recorded(ledger: rml.Ledger) -> None:
    """A failing hook harms neither the caller nor the next hook, and is itself on the timeline."""
    told: list[rml.Escalation] = []

    def broken(_: rml.Escalation) -> None:
        raise ConnectionError("pager at https://user:secret@pager is down")

    rml.configure(hooks=[broken, told.append])
    incident = rml.escalate("Possible double charge")

    assert 1 == len(told)
    entry = ledger.entries(kind="incident.hook_failed")[0]
    assert incident.id == entry.incident
    assert "it raised ConnectionError" == entry.facts["trouble"]
    assert "broken" in entry.facts["hook"]
    assert "secret" not in entry.to_bytes().decode()
    assert ["detection", "hook_failed"] == [
        event.type for event in Casebook(ledger)[incident.id].timeline
    ]


def test_a_hook_may_even_try_to_leave(ledger: rml.Ledger) -> None:
    """An exit inside a hook ends the hook and nothing else."""

    def leaving(_: rml.Escalation) -> None:
        raise SystemExit(3)

    rml.configure(hooks=[leaving])
    rml.escalate("Possible double charge")

    trouble = ledger.entries(kind="incident.hook_failed")[0].facts["trouble"]
    assert "it raised SystemExit" == trouble


class Hanging:
    """A hook that hangs until the test is over."""

    def __init__(self) -> None:
        self.called = threading.Semaphore(0)
        self.calls = 0
        self.over = threading.Event()
        self.threads: list[threading.Thread] = []

    def __call__(self, _: rml.Escalation) -> None:
        """Hang."""
        self.calls += 1
        self.threads.append(threading.current_thread())
        self.called.release()
        assert self.over.wait(60)

    def end(self) -> None:
        """Let every call end, and wait until they have."""
        self.over.set()
        for thread in self.threads:
            thread.join(60)


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hanging]:
    """Return a hook that hangs until the test is over, and make the budget small."""
    monkeypatch.setattr(telling, "HOOK_SECONDS_MAX", 0.05)
    hook = Hanging()
    yield hook
    hook.end()


def test_a_hook_that_hangs_is_left_behind(ledger: rml.Ledger, hanging: Hanging) -> None:
    """The caller waits no longer than the budget, and the ledger knows that the hook hung."""
    rml.configure(hooks=[hanging])
    incident = rml.escalate("Possible double charge")

    entry = ledger.entries(kind="incident.hook_failed")[0]
    assert incident.id == entry.incident
    assert "HOOK_SECONDS_MAX" in entry.facts["trouble"]


def test_a_hook_that_hangs_takes_nothing_from_the_next(
    ledger: rml.Ledger, hanging: Hanging
) -> None:
    """A hook that works is told in time, wherever it stands behind one that hangs."""
    told: list[rml.Escalation] = []
    rml.configure(hooks=[hanging, hanging, told.append])
    rml.escalate("Possible double charge")

    assert 1 == len(told)
    failed = [entry.facts["hook"] for entry in ledger.entries(kind="incident.hook_failed")]
    assert 2 == len(failed)


def test_a_failure_that_cannot_be_recorded_harms_nobody(
    ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hook fails and the ledger with it: the incident stands, and the caller has its answer."""
    record = rml.Draft.record

    def failing(draft: rml.Draft, kind: str, **rest: Any) -> rml.Receipt:
        if kind == "incident.hook_failed":
            raise rml.LedgerUnavailableError("the disk is full")
        return record(draft, kind, **rest)

    monkeypatch.setattr(rml.Draft, "record", failing)
    rml.configure(hooks=[lambda _: {}["pager"]])

    assert rml.escalate("Possible double charge").opened
    assert ["incident.opened"] == kinds(ledger)


def test_a_hook_may_escalate_to_another_ledger(ledger: rml.Ledger) -> None:
    """A hook runs outside the commit, so it may write, and in the context of the caller."""
    other = rml.Ledger("memory:")

    def copy(escalation: rml.Escalation) -> None:
        fact = {"incident": escalation.incident}
        other.append("pager.called", world=rml.World.RML2, facts=fact)
        ledger.append("pager.called", world=rml.World.RML2, incident=escalation.incident)

    rml.configure(hooks=[copy])
    with rml.surrounded(actor="ada"):
        rml.escalate("Possible double charge")

    assert "INC-2026-0001" == other.entries()[0].facts["incident"]
    assert "ada" == other.entries()[0].actor
    assert ["incident.opened", "pager.called"] == kinds(ledger)


def test_a_hook_that_still_hangs_is_not_called_again(ledger: rml.Ledger, hanging: Hanging) -> None:
    """Callers wait once for a hook that hangs; until it has ended it is left out, and noted."""
    rml.configure(hooks=[hanging])
    for _ in range(3):
        rml.escalate("Possible double charge")

    assert 1 == hanging.calls
    late, *left_out = troubles(ledger)
    assert "it did not end within 0.05 s (HOOK_SECONDS_MAX)" == late
    assert ["it was not told: an earlier call of it still hangs"] * 2 == left_out

    hanging.end()
    rml.escalate("Possible double charge")
    assert 2 == hanging.calls
    assert 3 == len(troubles(ledger))


def test_a_hook_has_so_many_calls_at_a_time(
    ledger: rml.Ledger, hanging: Hanging, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many escalate at once, threads are not started without end; the rest is noted."""
    monkeypatch.setattr(telling, "HOOK_CALLS_MAX", 2)
    monkeypatch.setattr(telling, "HOOK_SECONDS_MAX", 60.0)
    rml.configure(hooks=[hanging])
    callers = [
        threading.Thread(target=rml.escalate, args=["the same"], kwargs={"ledger": ledger})
        for _ in range(2)
    ]
    for caller in callers:
        caller.start()
        assert hanging.called.acquire(timeout=60)
    rml.escalate("the same")

    assert 2 == hanging.calls
    assert ["it was not told: 2 calls of it are running (HOOK_CALLS_MAX)"] == troubles(ledger)
    hanging.end()
    for caller in callers:
        caller.join(60)


# --------------------------------------------------------------------------- hooks that escalate


def test_what_a_hook_escalates_is_recorded_and_told_to_nobody(ledger: rml.Ledger) -> None:
    """A hook that escalates is not called for what it escalates, and so on for ever."""
    calls: list[str] = []

    def pager(escalation: rml.Escalation) -> None:
        calls.append(escalation.incident)
        assert len(calls) < 5, "it calls itself"
        rml.escalate("the pager is down")

    rml.configure(hooks=[pager])
    rml.escalate("Possible double charge")

    assert ["INC-2026-0001"] == calls
    assert ["incident.opened", "incident.opened", "incident.hook_failed"] == kinds(ledger)
    failed = ledger.entries(kind="incident.hook_failed")[0]
    assert "INC-2026-0002" == failed.incident
    assert "pager" in failed.facts["hook"]
    assert "it escalated this itself; hooks are not told" == failed.facts["trouble"]


def test_an_effect_in_doubt_inside_a_hook_is_told_to_nobody(ledger: rml.Ledger) -> None:
    """Nor are hooks told of what a protected handler escalates inside a hook."""
    calls: list[str] = []

    @rml.idempotent("pager.call", key="incident")
    def page(incident: str) -> None:
        raise TimeoutError

    def pager(escalation: rml.Escalation) -> None:
        calls.append(escalation.incident)
        with rml.boundary("pager"):
            page(escalation.incident)

    rml.configure(hooks=[pager])
    rml.escalate("Possible double charge")

    assert ["INC-2026-0001"] == calls
    assert 2 == len(ledger.entries(kind="incident.opened"))
    wanted = ["it escalated this itself; hooks are not told", "it raised TimeoutError"]
    assert wanted == troubles(ledger)


# ------------------------------------------------------------------------------- strange hooks


def test_an_async_hook_is_named_as_such(ledger: rml.Ledger) -> None:
    """Nobody awaits a hook, so one that is ``async def`` tells nobody; the ledger says so."""

    async def page(_: rml.Escalation) -> None:
        """Page somebody."""

    rml.configure(hooks=[page])
    rml.escalate("Possible double charge")

    assert ["it is async def, which nobody awaits; make it a plain def"] == troubles(ledger)


def test_a_hook_without_a_readable_name(ledger: rml.Ledger) -> None:
    """A failing hook whose attributes cannot be read harms nobody either."""

    class Pager:
        def __call__(self, _: rml.Escalation) -> None:
            raise ConnectionError

        def __getattr__(self, name: str) -> object:
            raise RuntimeError(name)

    rml.configure(hooks=[Pager()])

    assert rml.escalate("Possible double charge").opened
    (failed,) = ledger.entries(kind="incident.hook_failed")
    assert ("Pager", "it raised ConnectionError") == (failed.facts["hook"], failed.facts["trouble"])


def test_a_hook_that_cannot_be_started(ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is out of threads harms the hook, not the caller."""

    def full(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    rml.configure(hooks=[print])
    monkeypatch.setattr(threading.Thread, "start", full)

    assert rml.escalate("Possible double charge").opened
    assert ["no thread could be started for it"] == troubles(ledger)


# ------------------------------------------------------------------------------- async callers


def escalating(clock: rml.FrozenClock, name: str) -> Callable[[str], Awaitable[None]]:
    """Return an ``async def`` that escalates when it fails, crosses, or meets a lost worker."""

    @rml.idempotent("payment.charge", key="key")
    async def charge(key: str) -> None:
        raise TimeoutError

    @rml.boundary("checkout")
    async def cross(_: str) -> None:
        raise rml.HistoryError

    async def lose(key: str) -> None:
        inside, over = asyncio.Event(), asyncio.Event()

        @rml.idempotent("payment.lost", key="key", lease=60)
        async def lost(key: str) -> None:
            inside.set()
            await over.wait()

        first = asyncio.create_task(lost(key))
        await inside.wait()
        clock.advance(61)
        try:
            await lost(key)
        finally:
            over.set()
            await asyncio.gather(first, return_exceptions=True)

    return {"failure": charge, "crossing": cross, "doubt": lose}[name]


@pytest.mark.parametrize("name", ["failure", "crossing", "doubt"])
def test_hooks_that_hang_take_no_thread_from_others(
    ledger: rml.Ledger,
    clock: rml.FrozenClock,
    hanging: Hanging,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    """However many calls hang in a hook, the ledger is there for all the others."""
    monkeypatch.setattr(telling, "HOOK_SECONDS_MAX", 60.0)
    rml.configure(hooks=[hanging])
    escalate = escalating(clock, name)

    @rml.idempotent("payment.refund", key="key")
    async def refund(key: str) -> str:
        return key

    async def main() -> None:
        failing = [asyncio.create_task(cast("Any", escalate(f"pay-{i}"))) for i in range(20)]
        for _ in range(16):
            assert await asyncio.to_thread(hanging.called.acquire, timeout=60)
        try:
            assert "pay-42" == await asyncio.wait_for(refund("pay-42"), 60)
        finally:
            hanging.over.set()
            await asyncio.gather(*failing, return_exceptions=True)

    asyncio.run(main())
    assert ["pay-42"] == [effect.key for effect in ledger.effects(operation="payment.refund")]


@pytest.mark.parametrize("name", ["failure", "crossing", "doubt"])
def test_async_callers_go_on_once_hooks_were_told(
    ledger: rml.Ledger, clock: rml.FrozenClock, told: list[rml.Escalation], name: str
) -> None:
    """The caller has its exception after the hooks, as in plain code."""

    async def main() -> None:
        with pytest.raises((TimeoutError, rml.HistoryError)):
            await escalating(clock, name)("pay-42")
        assert ["INC-2026-0001"] == [escalation.incident for escalation in told]

    asyncio.run(main())


@pytest.mark.parametrize("name", ["failure", "crossing", "doubt"])
def test_hooks_are_told_when_the_caller_is_cancelled(
    ledger: rml.Ledger,
    clock: rml.FrozenClock,
    told: list[rml.Escalation],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    """What is durable is told, although nobody waits for the answer any more."""
    held, opened = threading.Event(), threading.Event()
    write = ledger.write

    def slow(work: Callable[[rml.Draft], Any], **options: Any) -> Any:
        written = write(work, **options)
        if ledger.entries(kind="incident.opened", limit=1):
            held.set()
            assert opened.wait(60)
        return written

    monkeypatch.setattr(ledger, "write", slow)

    async def main() -> None:
        task = asyncio.create_task(cast("Any", escalating(clock, name)("pay-42")))
        assert await asyncio.to_thread(held.wait, 60)
        task.cancel()
        await asyncio.wait([asyncio.ensure_future(asyncio.to_thread(opened.set))])
        await asyncio.wait([task])

    asyncio.run(main())
    assert ["INC-2026-0001"] == [escalation.incident for escalation in told]


@types.coroutine
def suspended() -> Generator[None, None, None]:
    """Suspend a coroutine, without any loop."""
    yield


def test_hooks_are_told_when_nothing_can_be_awaited(ledger: rml.Ledger) -> None:
    """A coroutine that is thrown away while it deals with history still records and tells."""
    told = threading.Event()
    rml.configure(hooks=[lambda _: told.set()])

    async def buy() -> None:
        async with rml.boundary("checkout"):
            try:
                raise rml.HistoryError
            except rml.HistoryError:
                await suspended()

    thrown_away = buy()
    thrown_away.send(None)
    thrown_away.close()

    assert ["incident.opened", "error.crossed"] == kinds(ledger)
    assert told.wait(60)


def test_hooks_are_told_when_a_handler_is_given_up(ledger: rml.Ledger) -> None:
    """So does a handler that is given up."""
    told = threading.Event()
    rml.configure(hooks=[lambda _: told.set()])

    @rml.idempotent("payment.charge", key="key")
    async def charge(key: str) -> None:
        raise GeneratorExit

    async def main() -> None:
        with pytest.raises(GeneratorExit):
            await charge("pay-42")

    asyncio.run(main())
    assert ["effect.intent", "incident.opened", "effect.in_doubt"] == kinds(ledger)
    assert told.wait(60)


def test_a_machine_out_of_threads_harms_no_async_caller(
    ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger says that the hooks were not told, and the caller has its own exception."""
    rml.configure(hooks=[print])

    def full(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    @rml.idempotent("payment.charge", key="key")
    async def charge(key: str) -> None:
        raise TimeoutError

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await charge("pay-42")

    asyncio.run(threads.run(int))  # the store has a thread; there will be no more
    monkeypatch.setattr(threading.Thread, "start", full)
    asyncio.run(main())
    assert ["no thread could be started for it"] == troubles(ledger)
