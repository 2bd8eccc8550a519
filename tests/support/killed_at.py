"""A fork server whose children make one protected call each, and are killed at one line of it.

It imports ``rml`` once and opens no ledger itself. Run as a script it reads one JSON request a line
and answers each by one: ``record`` returns every line of ``rml`` that a call runs, in order;
``kill`` runs calls in children that end by signal 9 at one of them each, then restarts: another
child checks what each has left, and settles it.
"""

import asyncio
import gc
import importlib
import json
import os
import signal
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import attrs
from counting_gateway import ask

import rml

LEASE_SECONDS = 3_600  # no machine is so slow that a restart comes after its end
HOME = str(Path(rml.__file__).parent)
Line = tuple[str, int]


@attrs.frozen
class Case:
    """One protected call: where its ledger is, whom it asks for what, and how it is protected."""

    path: str
    port: int
    payment: str
    face: str
    protection: str

    @property
    def effects(self) -> int:
        """How often the gateway carried it out."""
        return len(ask(self.port, "GET", {"payment": self.payment}))

    def send(self, payment: str) -> str:
        """Carry the effect out: the inside of the handler."""
        body = {
            "payment": payment,
            "key": rml.current_effect().provider_key,
            "deduplicate": self.protection == "provider",
        }
        return str(ask(self.port, "POST", body))

    def answer(self, effect: rml.Effect) -> rml.Finding:
        """Reconcile, as the protection can."""
        if self.protection == "unknowing":
            return rml.Finding(None, evidence="it does not say")
        if self.protection == "provider":  # to send the same key again is safe, whatever happened
            return rml.Finding(False, evidence="the provider knows the key")
        if ask(self.port, "GET", {"payment": effect.key}):
            return rml.Finding(True, "charged", "the gateway has it")
        return rml.Finding(False, evidence="the gateway has not got it")

    def handler(self) -> Callable[[str], Any]:
        """Return the protected handler; the one that is asynchronous is run to its end."""
        protect = rml.idempotent(
            "payment.charge",
            key="payment",
            lease=LEASE_SECONDS,
            provider_idempotent=self.protection == "provider",
            reconcile=None if self.protection == "none" else self.answer,
        )
        if self.face == "def":

            @protect
            def charge(payment: str) -> str:
                return self.send(payment)

            return charge

        @protect
        async def charge_async(payment: str) -> str:
            return self.send(payment)

        return lambda payment: asyncio.run(charge_async(payment))

    def modules(self) -> list[str]:
        """Return everything that a call, and a restart after it, import."""
        self.record()
        restart(self)
        return list(sys.modules)

    def record(self) -> list[Line]:
        """Return the lines that one call runs."""
        lines: list[Line] = []
        self._call(lines.append)
        return lines

    def die_at(self, place: Line, nth: int) -> str:
        """Run a call, and die at the nth time that a line is reached; say so if it is not."""
        met: Counter[Line] = Counter()

        def look(line: Line) -> None:
            met[line] += 1
            if line == place and met[line] == nth:
                os.kill(os.getpid(), signal.SIGKILL)

        self._call(look, only=place[0])
        return f"only {met[place]} times"

    def _call(self, look: Callable[[Line], None], only: str | None = None) -> None:
        """Open the ledger, call, and close it, and show every line on the way."""
        charge = self.handler()
        watch(look, only)
        with rml.Ledger(self.path) as ledger, rml.use(ledger=ledger):
            charge(self.payment)
        sys.settrace(None)


def watch(look: Callable[[Line], None], only: str | None) -> None:
    """Show every line of the library's own source that is about to run, in any thread."""

    def enter(frame: FrameType, _: str, __: Any) -> Any:
        name = frame.f_code.co_filename
        watched = name == only if only is not None else name.startswith(HOME)
        return line if watched else None

    def line(frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            look((frame.f_code.co_filename, frame.f_lineno))
        return line

    threading.settrace(enter)
    sys.settrace(enter)


def restart(case: Case) -> dict[str, Any]:
    """Check what a killed call has left, as a restarted program finds it; settle it, and check.

    Return what was recorded, and whether it had taken effect.
    """
    clock = rml.FrozenClock(datetime.now(UTC))
    had = case.effects
    assert had in (0, 1), "a single call took effect more than once"
    with rml.Ledger(case.path, clock=clock) as ledger, rml.use(ledger=ledger):
        recorded = [entry.kind for entry in ledger.entries()]
        assert recorded in ([], ["effect.intent"], ["effect.intent", "effect.done"])
        assert recorded or not had, "it took effect before its intent was durable"
        unknown = recorded == ["effect.intent"]
        charge = case.handler()
        if not unknown:
            assert [] == in_doubt(ledger)
        else:
            fails(rml.InFlightError, lambda: charge(case.payment))
            assert [] == in_doubt(ledger), "it was doubted while its lease was running"
            assert ledger.verify().problems == ()
            clock.advance(LEASE_SECONDS + 1)
            settle(case, ledger, charge)
        assert ["charged"] * 2 == [charge(case.payment) for _ in range(2)]
        assert [] == in_doubt(ledger)
        assert ledger.verify().problems == ()
    assert case.effects == 1, f"it took effect {case.effects} times"
    return {"recorded": recorded, "effects": had}


def settle(case: Case, ledger: rml.Ledger, charge: Callable[[str], Any]) -> None:
    """End a doubt as the protection allows: by its reconciler, else by a person who counted."""
    had = case.effects
    for _ in range(2):
        assert [case.payment] == in_doubt(ledger)
        fails(rml.InDoubtError, lambda: charge(case.payment))
    assert 1 == len(ledger.entries(kind="incident.opened"))
    (found,) = rml.reconcile()
    if case.protection in ("reconciler", "provider"):
        assert found.happened is (bool(had) and case.protection == "reconciler")
    else:
        assert found.happened is None
        assert [case.payment] == in_doubt(ledger), "nobody knew, and it is listed no more"
        fails(rml.InDoubtError, lambda: charge(case.payment))
        typed_in = {"result": "charged"} if had else {}
        ledger.resolve(found.effect.id, happened=bool(had), by="ada", reason="counted", **typed_in)
    assert had == case.effects, "asking about it made it happen"


def in_doubt(ledger: rml.Ledger) -> list[str]:
    """Return the keys in doubt."""
    return [effect.key for effect in ledger.in_doubt()]


def fails(kind: type[BaseException], call: Callable[[], Any]) -> None:
    """Check that a call raises an error."""
    try:
        value = call()
    except kind:
        return
    raise AssertionError(f"not {kind.__name__}, but {value!r}")


def attempted(work: Callable[[], Any]) -> tuple[Any, str | None]:
    """Return what a work returned, and why it failed."""
    try:
        return work(), None
    except BaseException:  # noqa: BLE001 - told to the test
        return None, traceback.format_exc()


def forked(work: Callable[[], Any]) -> tuple[Any, str | None]:
    """Run a work in a child; return what it returned, and why it failed.

    A child that was killed returned nothing, and did not fail.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            told = json.dumps(attempted(work))
            with os.fdopen(writing, "w") as file:
                file.write(told)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as file:
        told = file.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return None, None if os.WTERMSIG(status) == signal.SIGKILL else f"signal {status}"
    value, trouble = json.loads(told)
    return value, trouble


def warm(case: Case) -> None:
    """Import, before any ledger is opened here, what a call and a restart import."""
    modules, trouble = forked(case.modules)
    assert trouble is None, trouble
    for name in modules:
        importlib.import_module(name)
    gc.freeze()


def killed(deaths: list[tuple[Case, Line, int]]) -> list[dict[str, Any]]:
    """Kill one call after the other, then restart them all; tell what came of each."""
    ends = [forked(partial(case.die_at, line, nth)) for case, line, nth in deaths]
    checked, trouble = forked(lambda: [attempted(partial(restart, case)) for case, _, _ in deaths])
    assert trouble is None, trouble
    return [
        {"reached": end is None, "left": left, "trouble": trouble_before or trouble}
        for (end, trouble_before), (left, trouble) in zip(ends, checked, strict=True)
    ]


def answer(request: dict[str, Any]) -> Any:
    """Carry out one request of the test: record the lines of calls, or kill calls at lines."""
    if "record" in request:
        cases = [Case(**case) for case in request["record"]]
        for case in cases:
            warm(case)
        return [forked(attrs.evolve(case, path=f"{case.path}.recorded").record) for case in cases]
    return killed([(Case(**case), tuple(line), nth) for case, line, nth in request["kill"]])


def main() -> None:
    """Answer requests until there are no more."""
    for request in sys.stdin:
        sys.stdout.write(json.dumps(answer(json.loads(request))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
