"""A case about charges, the lever that stops them, and a charge that does not ask it."""

from typing import Any

from protected import Charges

import rml

CHARGE = "payment.charge"
LEVER: dict[str, Any] = {"by": "Ada", "reason": "charges twice"}


def charged_twice(ledger: rml.Ledger) -> rml.Case:
    """Open a case about charges, of which there was one."""
    Charges("one")("pay-0")
    return rml.Casebook(ledger)[rml.escalate("charged twice", operation=CHARGE).id]


def charge_again(ledger: rml.Ledger, key: str) -> str:
    """Charge as a process does that knows no lever, or one that was mended; return the effect."""
    Charges("fine", lever=False)(key)
    return ledger.effects(operation=CHARGE, key=key)[0].id
