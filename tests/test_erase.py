"""What is recorded of an erasure, where values are gone already or nobody erased them."""

from pathlib import Path

import pytest
from tampered import tamper

from rml import Ledger, UnknownIdError, idempotent


def test_what_was_pruned_is_not_erased_again(ledger: Ledger) -> None:
    """The receipt is that of the entry by which it went."""
    made = ledger.append("a.b", world="RML3", personal={"email": "a", "name": "b"})
    ledger.erase(made.id, ["name"], by="dpo", reason="law")
    ledger.prune(1, by="dpo", reason="ten years")
    (pruned,) = ledger.entries(kind="payload.pruned")

    assert pruned.id == ledger.erase(made.id, ["email"], by="dpo", reason="law").id
    assert 3 == ledger.size


def test_what_is_lost_and_not_accounted_for_can_be_erased(tmp_path: Path) -> None:
    """Then the record says so; without one, a verification asks where it has gone."""
    path = tmp_path / "ledger.db"
    with Ledger(path) as ledger:
        made = ledger.append("a.b", world="RML3", personal={"email": "a"})
    tamper(path, "UPDATE entries SET personal = NULL")
    with Ledger(path) as ledger:
        assert not ledger.verify().ok

        receipt = ledger.erase(made.id, ["email"], by="dpo", reason="lost")

        assert (1, True) == (receipt.index, ledger.verify().ok)


def test_erasures_of_an_effect_are_asked_for_by_entry(ledger: Ledger) -> None:
    """It has several entries, and each its own values."""

    @idempotent("payment.charge", key="key", ledger=ledger)
    def charge(key: str) -> None: ...

    charge("pay-1")
    (effect,) = ledger.effects()

    with pytest.raises(UnknownIdError, match=r"is an effect.*entries\(effect='ef_"):
        ledger.erasures(effect.id)
