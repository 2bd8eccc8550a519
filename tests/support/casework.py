"""What several tests do to a case: make it ready for a decision, take it to its end."""

import rml

TRIANGLE = {"legal": "Ada", "business": "Grace", "sre": "Barbara"}
# What is said of each harm that nothing has corrected.
UNCORRECTED = "has no correction that names it: correct it with ledger.correct(...)"
CHANGE = {"what": "a key per charge", "kind": "code", "owner": "Barbara", "due": "2026-12-01"}


def ready(case: rml.Case) -> rml.Case:
    """Take a case to where something can be decided about it."""
    case.contain("flag off", by="sre-1", lever="flag_off")
    case.understand(
        "two users",
        by="sre-1",
        severity="SEV-2",
        asset=["money"],
        exposure=["money_moved"],
        users=2,
    )
    return case


def confirmed(case: rml.Case, *lists: str) -> rml.Case:
    """Confirm all that ends a case, or some lists."""
    wanted = lists or ("resolution", "recovery", "stand_down")
    case.confirm(*wanted, by="sre-1", evidence="looked")
    return case


def through(case: rml.Case) -> rml.Case:
    """Take a case through every step but the last."""
    ready(case)
    case.decide("refund both", decided_by=TRIANGLE)
    case.act("voucher", by="sre-1", count=2)
    case.learn(
        by="sre-1",
        technical=["keys"],
        process=["handover"],
        governance=["none - fine"],
        changes=[CHANGE],
    )
    confirmed(case).all_clear("all is well again, thank you", by="sre-1")
    return case
