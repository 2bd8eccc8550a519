"""How hooks are told of an escalation: once it is durable, within a time budget, without harm."""

from __future__ import annotations

import inspect
import logging
import threading
import time
from contextvars import ContextVar
from typing import Final

import attrs

from rml.cause import type_name
from rml.config import current_hooks
from rml.context import carried
from rml.incident.signals.hook import Escalation, Hook
from rml.ledger.ledger import Ledger
from rml.world import World

# What a caller at a payment's end can be made to wait for somebody else's pager, in seconds, all
# hooks together.
HOOK_SECONDS_MAX: Final = 2.0
# Of one hook at the same time, each in a thread: a pager so far behind is not helped by more.
HOOK_CALLS_MAX: Final = 100
_NAME_CHARACTERS_MAX: Final = 200

_log = logging.getLogger("rml")
# The name of the hook that this code runs in: what it escalates would call it again, for ever.
_inside: ContextVar[str | None] = ContextVar("rml_hook", default=None)


@attrs.define(eq=False)
class _Call:
    """One call of a hook, in a thread of its own."""

    hook: Hook
    name: str
    thread: threading.Thread | None = None
    is_late: bool = False
    trouble: str | None = None

    @property
    def is_running(self) -> bool:
        """Whether its thread is there; a forked child has none of its parent's."""
        return self.thread is not None and self.thread.is_alive()


# Lists are added to, removed from and copied in one step each, so they need no lock that a fork
# could leave locked.
_running: list[_Call] = []


def tell(ledger: Ledger, escalation: Escalation) -> None:
    """Run every configured hook; one that raises or takes too long is itself recorded.

    Nobody is told of what is escalated inside a hook. A hook is not called while an earlier call of
    it hangs. Both are recorded.
    """
    hook = _inside.get()
    if hook is not None:
        _record(ledger, hook, escalation, "it escalated this itself; hooks are not told")
        return
    deadline = time.monotonic() + HOOK_SECONDS_MAX  # real time, whatever the ledger's clock says
    for call in [_started(hook, escalation) for hook in current_hooks()]:
        trouble = _end_of(call, deadline)
        if trouble is not None:
            _record(ledger, call.name, escalation, trouble)


def _started(hook: Hook, escalation: Escalation) -> _Call:
    """Call a hook in a thread of its own, unless it has hung or has too many calls already."""
    call = _Call(hook, _name_of(hook))
    others = [other for other in list(_running) if other.hook is hook and other.is_running]
    if any(other.is_late for other in others):
        call.trouble = "it was not told: an earlier call of it still hangs"
    elif len(others) >= HOOK_CALLS_MAX:
        call.trouble = f"it was not told: {HOOK_CALLS_MAX} calls of it are running (HOOK_CALLS_MAX)"
    else:
        _start(call, escalation)
    return call


def _start(call: _Call, escalation: Escalation) -> None:
    def run() -> None:
        _inside.set(call.name)  # in the thread's own copy of the context
        try:
            answer: object = call.hook(escalation)  # type: ignore[func-returns-value]
            if inspect.iscoroutine(answer):
                answer.close()
                call.trouble = "it is async def, which nobody awaits; make it a plain def"
        except BaseException as error:  # noqa: BLE001 - whatever a hook does, the caller is not harmed
            call.trouble = f"it raised {type_name(type(error))}"
        finally:
            _running.remove(call)

    call.thread = threading.Thread(target=carried(run), name="rml-hook", daemon=True)
    _running.append(call)
    try:
        call.thread.start()
    except RuntimeError:
        _running.remove(call)
        call.thread, call.trouble = None, "no thread could be started for it"


def _end_of(call: _Call, deadline: float) -> str | None:
    """Wait for a call; return what went wrong, if anything did."""
    if call.thread is not None:
        call.thread.join(max(deadline - time.monotonic(), 0.0))
        if call.thread.is_alive():
            call.is_late = True
            return f"it did not end within {HOOK_SECONDS_MAX:g} s (HOOK_SECONDS_MAX)"
    return call.trouble


def _name_of(hook: Hook) -> str:
    """Return a hook's name for the record, or its class's where it has none that can be read."""
    try:
        name = getattr(hook, "__qualname__", None)
    except Exception:  # noqa: BLE001 - whatever a hook does, the caller is not harmed
        name = None
    return (name if isinstance(name, str) else type(hook).__name__)[:_NAME_CHARACTERS_MAX]


def _record(ledger: Ledger, hook: str, escalation: Escalation, trouble: str) -> None:
    _log.warning("%s and hook %s: %s", escalation.incident, hook, trouble)
    facts = {"hook": hook, "trouble": trouble, "escalation": escalation.entry}
    try:
        ledger.write(
            lambda draft: draft.record(
                "incident.hook_failed", world=World.RML2, facts=facts, incident=escalation.incident
            )
        )
    except Exception:  # noqa: BLE001 - the caller is not harmed
        _log.exception("the failure of hook %s could not be recorded", hook)
