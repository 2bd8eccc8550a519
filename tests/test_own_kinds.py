"""What the library records itself cannot be forged: by no entry, and in no commit of several."""

import pytest

import rml
from rml.ledger.entry import RESERVED_KINDS


@pytest.mark.parametrize("word", sorted(RESERVED_KINDS))
def test_a_program_records_its_own_kinds(ledger: rml.Ledger, word: str) -> None:
    """The first word decides; nothing of the commit is recorded."""
    kind = f"{word}.acted"

    def work(draft: rml.Draft) -> None:
        draft.append("shop.noted", world="RML1")
        draft.append(kind, world="RML3", facts={"type": "refund"}, incident="INC-2026-0001")

    for forge in (lambda: ledger.append(kind, world="RML3"), lambda: ledger.write(work)):
        with pytest.raises(rml.InvalidInputError, match="recorded by the library alone"):
            forge()
    assert 0 == ledger.size


def test_what_begins_alike_is_ones_own(ledger: rml.Ledger) -> None:
    """Words are compared whole."""
    ledger.write(lambda draft: draft.append("incidental.noted", world="RML1", actor="Ada"))

    assert ["Ada"] == [entry.actor for entry in ledger.entries()]


def test_no_case_closes_by_a_forged_entry(ledger: rml.Ledger) -> None:
    """Rules are kept by whoever records, and only the casebook records for cases."""
    case = rml.Casebook(ledger)[rml.escalate("charged twice").id]

    with pytest.raises(rml.InvalidInputError, match="another first word"):
        ledger.write(
            lambda draft: draft.append("incident.closed", world="RML3", incident=case.id, actor="x")
        )
    assert case.read().closed is None
