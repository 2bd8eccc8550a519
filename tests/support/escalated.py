"""Errors that become incidents, and what a ledger holds of them."""

import rml


class Charged(rml.HistoryError):
    """A customer was charged twice."""

    code = "DOUBLE_CHARGE"


class Slow(rml.DialogError):
    """The gateway did not answer in time."""

    code = "GATEWAY_SLOW"


def kinds(ledger: rml.Ledger) -> list[str]:
    """Return what the ledger holds, in short."""
    return [entry.kind for entry in ledger.entries()]


def incidents(ledger: rml.Ledger) -> list[str | None]:
    """Return the ids of the incidents in a ledger."""
    return [entry.incident for entry in ledger.entries(kind="incident.opened")]
