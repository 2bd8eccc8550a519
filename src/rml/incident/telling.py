"""How hooks are told of an escalation: once it is durable, within a time budget, without harm."""

from __future__ import annotations

import logging
import threading
import time
from typing import Final

from rml.cause import type_name
from rml.config import current_hooks
from rml.context import carried
from rml.incident.hook import Escalation, Hook
from rml.ledger.ledger import Ledger
from rml.world import World

# What a caller at a payment's end can be made to wait for somebody else's pager, in seconds, all
# hooks together.
HOOK_SECONDS_MAX: Final = 2.0

_log = logging.getLogger("rml")


def tell(ledger: Ledger, escalation: Escalation) -> None:
    """Run every configured hook; one that raises or takes too long is itself recorded."""
    deadline = time.monotonic() + HOOK_SECONDS_MAX  # real time, whatever the ledger's clock says
    running = [(hook, *_start(hook, escalation)) for hook in current_hooks()]
    for hook, thread, trouble in running:
        thread.join(max(deadline - time.monotonic(), 0.0))
        if thread.is_alive():
            late = f"it did not end within {HOOK_SECONDS_MAX:g} s (HOOK_SECONDS_MAX)"
            _record(ledger, hook, escalation, late)
        elif trouble:
            _record(ledger, hook, escalation, trouble[0])


def _start(hook: Hook, escalation: Escalation) -> tuple[threading.Thread, list[str]]:
    """Run a hook in a thread of its own; return it, and the list that will hold what went wrong."""
    trouble: list[str] = []

    def run() -> None:
        try:
            hook(escalation)
        except BaseException as error:  # noqa: BLE001 - whatever a hook does, the caller is not harmed
            trouble.append(f"it raised {type_name(type(error))}")

    thread = threading.Thread(target=carried(run), name="rml-hook", daemon=True)
    thread.start()
    return thread, trouble


def _record(ledger: Ledger, hook: Hook, escalation: Escalation, trouble: str) -> None:
    name = str(getattr(hook, "__qualname__", type(hook).__name__))[:200]
    _log.warning("hook %s was told of %s: %s", name, escalation.incident, trouble)
    facts = {"hook": name, "trouble": trouble, "escalation": escalation.entry}
    try:
        ledger.write(
            lambda draft: draft.append(
                "incident.hook_failed", world=World.RML2, facts=facts, incident=escalation.incident
            )
        )
    except Exception:  # noqa: BLE001 - the caller is not harmed
        _log.exception("the failure of hook %s could not be recorded", name)
