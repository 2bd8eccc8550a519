"""What is held open: confirmed, voided or recorded as expired, once, by entries of their own."""

import threading
from datetime import timedelta
from typing import Any

import pytest

import rml
from rml.ledger.corrections import holding


def held(ledger: rml.Ledger, amount: Any = 100, **options: Any) -> str:
    """Hold an amount open; return the pending's id."""
    facts = {"amount": amount, "currency": "EUR"}
    return ledger.pend("payment.charge", world="RML3", facts=facts, **options).id


def test_a_pending_is_an_entry_that_says_what_is_open(
    ledger: rml.Ledger, clock: rml.FrozenClock
) -> None:
    """With its facts, its interval by the ledger's clock, and who opened it."""
    pending = ledger.pend(
        "payment.charge",
        world="RML3",
        facts={"amount": 100},
        personal={"email": "ada@example.com"},
        expires_in=timedelta(minutes=1),
        actor="shop",
        correlation="req-1",
    )
    entry = ledger.entry(pending.id)

    assert ("pending.opened", "payment.charge", "shop") == (
        entry.kind,
        entry.operation,
        entry.actor,
    )
    assert {"amount": 100, "rml.expires_at": "2026-11-20T19:01:00.000000Z"} == dict(entry.facts)
    (one,) = ledger.pending()
    assert (pending.id, "payment.charge", {"amount": 100}) == (one.id, one.operation, one.facts)
    assert (clock.now() + timedelta(minutes=1), False) == (one.expires_at, one.overdue)
    (row,) = ledger.pending().to_dicts()
    assert (100, "RML3", False) == (row["amount"], row["world"], row["overdue"])


def test_a_confirmation_is_an_entry_that_names_it(ledger: rml.Ledger) -> None:
    """All of it, with further facts; then it is pending no more."""
    pending = held(ledger, incident="INC-2026-0001")
    facts = {"capture": "cap-1"}
    receipt = ledger.confirm(pending, by="shop", facts=facts, personal={"name": "Ada"})
    entry = ledger.entry(receipt.id)

    assert ("pending.confirmed", pending, "shop") == (entry.kind, entry.corrects, entry.actor)
    assert {"capture": "cap-1", "amount": 100, "currency": "EUR"} == dict(entry.facts)
    assert ("payment.charge", rml.World.RML3, "INC-2026-0001", {"name": "Ada"}) == (
        entry.operation,
        entry.world,
        entry.incident,
        dict(entry.personal),
    )
    assert [] == list(ledger.pending())


@pytest.mark.parametrize("amount", [1, 99, 100])
def test_a_part_can_be_confirmed(ledger: rml.Ledger, amount: int) -> None:
    """At most what was pending."""
    confirmed = ledger.confirm(held(ledger), by="shop", amount=amount)

    assert amount == ledger.entry(confirmed.id).facts["amount"]


@pytest.mark.parametrize("amount", [0, -1, 101, True, "50", 5.0], ids=repr)
def test_no_other_amount_can_be_confirmed(ledger: rml.Ledger, amount: Any) -> None:
    """The pending stays as it is."""
    pending = held(ledger)

    with pytest.raises(rml.InvalidInputError, match="from 1 to 100"):
        ledger.confirm(pending, by="shop", amount=amount)
    assert 1 == len(ledger.pending())


@pytest.mark.parametrize("of", [None, "100", 5.5])
def test_what_has_no_amount_is_confirmed_whole(ledger: rml.Ledger, of: Any) -> None:
    """There is nothing to take a part of."""
    facts = {} if of is None else {"amount": str(of)}
    pending = ledger.pend("room.booking", world="RML2", facts=facts).id

    with pytest.raises(rml.InvalidInputError, match="no amount in whole units"):
        ledger.confirm(pending, by="shop", amount=1)
    ledger.confirm(pending, by="shop")


@pytest.mark.parametrize("of", [0, -5])
def test_of_nothing_no_part_can_be_confirmed(ledger: rml.Ledger, of: int) -> None:
    """The message offers no range in which there is no number."""
    pending = ledger.pend("room.booking", world="RML2", facts={"amount": of}).id

    with pytest.raises(rml.InvalidInputError, match="no amount in whole units; leave amount= out"):
        ledger.confirm(pending, by="shop", amount=1)
    ledger.confirm(pending, by="shop")


def test_a_void_says_why(ledger: rml.Ledger) -> None:
    """And by whom."""
    pending = held(ledger)
    entry = ledger.entry(ledger.void(pending, by="shop", reason="out of stock").id)

    assert ("pending.voided", pending, "shop", {"reason": "out of stock"}) == (
        entry.kind,
        entry.corrects,
        entry.actor,
        dict(entry.facts),
    )
    assert [] == list(ledger.pending())


def end(ledger: rml.Ledger, how: str, pending: str) -> str:
    """End a pending in one of three ways; return the entry's id."""
    if how == "confirmed":
        return ledger.confirm(pending, by="shop").id
    if how == "voided":
        return ledger.void(pending, by="shop", reason="r").id
    assert pending in [one.id for one in ledger.expire()]
    return ledger.entries(corrects=pending)[0].id


@pytest.mark.parametrize("first", ["confirmed", "voided", "expired"])
@pytest.mark.parametrize("second", ["confirmed", "voided"])
def test_it_ends_once(ledger: rml.Ledger, clock: rml.FrozenClock, first: str, second: str) -> None:
    """The second end is refused, and told what ended it."""
    pending = held(ledger, expires_in=60)
    clock.advance(60)
    ended_by = end(ledger, first, pending)
    size = ledger.size

    with pytest.raises(rml.PendingEndedError, match=f"{first} at .* by the entry {ended_by}") as e:
        end(ledger, second, pending)
    assert {"pending": pending, "ended_by": ended_by, "kind": f"pending.{first}"} == dict(
        e.value.details
    )
    assert ([], size, False) == (ledger.expire(), ledger.size, e.value.happened)


@pytest.mark.parametrize("name", ["entry", "end", "019aa2be-8f00-7000-8000-00000000abcd", ""])
def test_only_a_pending_is_ended(ledger: rml.Ledger, name: str) -> None:
    """By the id of the entry that opened it."""
    pending = held(ledger)
    names = {
        "entry": ledger.append("a.b", world="RML1").id,
        "end": ledger.void(pending, by="shop", reason="r").id,
    }
    error = rml.UnknownIdError if name else rml.InvalidInputError

    with pytest.raises(error, match="pending"):
        ledger.confirm(names.get(name, name), by="shop")
    with pytest.raises(error, match="pending"):
        ledger.void(names.get(name, name), by="shop", reason="r")


def test_nothing_expires_by_itself(ledger: rml.Ledger, clock: rml.FrozenClock) -> None:
    """It is overdue, and open, until its expiry is recorded."""
    pending = held(ledger, expires_in=60)
    held(ledger, expires_in=61)
    held(ledger)
    clock.advance(59)
    assert [] == ledger.expire()
    clock.advance(1)
    assert [True, False, False] == [one.overdue for one in ledger.pending()]

    assert [pending] == [one.id for one in ledger.expire(by="nightly")]
    (entry,) = ledger.entries(kind="pending.expired")
    assert (pending, "nightly") == (entry.corrects, entry.actor)
    assert (2, []) == (len(ledger.pending()), ledger.expire())


def test_what_is_overdue_can_be_confirmed_and_says_so(
    ledger: rml.Ledger, clock: rml.FrozenClock
) -> None:
    """If the other side took it after all, the history must be able to say it."""
    pending = held(ledger, expires_in=60)
    clock.advance(60)
    entry = ledger.entry(ledger.confirm(pending, by="shop").id)

    assert (True, []) == (entry.facts["rml.overdue"], ledger.expire())


def test_many_expire_in_several_commits(
    ledger: rml.Ledger, clock: rml.FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as there are."""
    monkeypatch.setattr(holding, "EXPIRED_AT_ONCE", 3)
    for number in range(10):
        ledger.pend("a.b", world="RML2", expires_in=number % 2)
    clock.advance(1)

    assert (10, 0) == (len(ledger.expire()), len(ledger.pending()))


def test_the_old_and_those_of_an_operation(ledger: rml.Ledger, clock: rml.FrozenClock) -> None:
    """By the ledger's clock."""
    first = held(ledger)
    clock.advance(60)
    second = ledger.pend("room.booking", world="RML2").id

    def found(**asked: Any) -> list[str]:
        return [one.id for one in ledger.pending(**asked)]

    assert [first, second] == found() == found(older_than=0)
    assert [first] == found(older_than=60) == found(operation="payment.charge")
    assert [] == found(older_than=timedelta(seconds=61))
    assert [second] == found(operation="room.booking")


def test_one_of_many_threads_ends_it(ledger: rml.Ledger) -> None:
    """Decided inside the commit."""
    pending = held(ledger)
    at_once = threading.Barrier(8)
    ended: list[str] = []

    def run(number: int) -> None:
        at_once.wait(60)
        try:
            ended.append(end(ledger, ("confirmed", "voided")[number % 2], pending))
        except rml.PendingEndedError:
            ended.append("too late")

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    (entry,) = ledger.entries(corrects=pending)
    assert sorted([entry.id, *["too late"] * 7]) == sorted(ended)


@pytest.mark.parametrize(
    ("reason", "call"),
    [
        ("operation|kind", lambda ledger: ledger.pend("Charge", world="RML3")),
        ("expires_in", lambda ledger: ledger.pend("a.b", world="RML3", expires_in=-1)),
        ("expires_in must", lambda ledger: ledger.pend("a.b", world="RML3", expires_in="soon")),
        ("rml.expires_at", lambda ledger: held_with(ledger, {"rml.expires_at": "never"})),
        ("amount is no further", lambda ledger: confirmed_with(ledger, {"amount": 5})),
        ("currency is no further", lambda ledger: confirmed_with(ledger, {"currency": "USD"})),
        ("rml.overdue", lambda ledger: confirmed_with(ledger, {"rml.overdue": False})),
        ("by ", lambda ledger: ledger.confirm(held(ledger), by="")),
        ("reason", lambda ledger: ledger.void(held(ledger), by="shop", reason="")),
        ("older_than", lambda ledger: ledger.pending(older_than="x")),
        ("older_than must", lambda ledger: ledger.pending(older_than="")),
        ("older_than .*False", lambda ledger: ledger.pending(older_than=False)),
        ("by must", lambda ledger: ledger.expire(by=5)),
        ("kind", lambda ledger: ledger.append("pending.confirmed", world="RML3")),
    ],
)
def test_what_cannot_be_recorded_is_refused(ledger: rml.Ledger, reason: str, call: Any) -> None:
    """With the name of what is wrong."""
    with pytest.raises(rml.InvalidInputError, match=reason):
        call(ledger)
    assert {"pending.opened"} >= {entry.kind for entry in ledger.entries()}


def held_with(ledger: rml.Ledger, facts: dict[str, Any]) -> None:
    """Hold something with these facts."""
    ledger.pend("a.b", world="RML3", facts=facts)


def confirmed_with(ledger: rml.Ledger, facts: dict[str, Any]) -> None:
    """Confirm something with these facts."""
    ledger.confirm(held(ledger), by="shop", facts=facts)


# ------------------------------------------------------------------------------------- corrections


def test_what_is_pending_cannot_be_corrected_and_what_is_confirmed_can(ledger: rml.Ledger) -> None:
    """By its own id or its confirmation's; the confirmed amount counts."""
    pending, voided = held(ledger), held(ledger)
    ledger.void(voided, by="shop", reason="r")
    for name, word in ((pending, "is pending"), (voided, "is voided")):
        with pytest.raises(rml.CorrectionTargetError, match=word):
            ledger.append("a.b", world="RML3", corrects=name)
    confirmed = ledger.confirm(pending, by="shop", amount=80).id
    ledger.append("a.b", world="RML3", corrects=pending, facts={"amount": 50})

    for name in (pending, confirmed):
        assert (50, 30) == (ledger.correctable(name).corrected, ledger.correctable(name).left)
        with pytest.raises(rml.OverCorrectionError, match="of its 80 EUR"):
            ledger.append("a.b", world="RML3", corrects=name, facts={"amount": 31})


def test_a_pending_correction_counts_until_it_is_void(
    ledger: rml.Ledger, clock: rml.FrozenClock
) -> None:
    """And with the confirmed amount when it is confirmed."""
    booked = ledger.append("payment.booked", world="RML3", facts={"amount": 100}).id
    first = held(ledger, 60, corrects=booked)
    second = held(ledger, 40, corrects=booked, expires_in=1)
    with pytest.raises(rml.OverCorrectionError, match="0 are corrected, 100 pending"):
        held(ledger, 1, corrects=booked)
    assert [] == list(ledger.corrections(booked))

    confirmed = ledger.confirm(first, by="shop", amount=10).id
    assert [confirmed] == [entry.id for entry in ledger.corrections(booked)]
    assert 50 == ledger.correctable(booked).left
    clock.advance(1)
    assert 50 == ledger.correctable(booked).left
    assert [second] == [one.id for one in ledger.expire()]
    assert 90 == ledger.correctable(booked).left
