"""Partial corrections add up, over-correction is refused, and what is open counts."""

import multiprocessing
import threading
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

import rml

EUR = {"currency": "EUR"}


def booked(ledger: rml.Ledger, amount: Any = 100, **facts: Any) -> str:
    """Append an original; return its id."""
    facts = {"amount": amount, **facts}
    return ledger.append("payment.booked", world="RML3", facts=facts).id


def corrected(ledger: rml.Ledger, original: str, amount: Any = None, **facts: Any) -> str:
    """Correct it by an entry; return its id."""
    facts = facts if amount is None else {"amount": amount, **facts}
    return ledger.correct(
        original, "payment.reversed", world="RML3", by="ada", reason="wrong", facts=facts
    ).id


def left(ledger: rml.Ledger, original: str) -> tuple[int, int, int | None]:
    """Return what is corrected, what is pending, and what is left."""
    found = ledger.correctable(original)
    return found.corrected, found.pending, found.left


class Refunds:
    """A charge of 100, refunds whose ends are written down, and how often they ran."""

    def __init__(self, **options: Any) -> None:
        self.count = 0
        facts = ("amount", "currency")

        @rml.idempotent("payment.charge", key="key", facts=facts)
        def charge(key: str, amount: int, currency: str) -> str:
            return key

        options |= {"facts": facts, "corrects": "original", "exclude": ["end"]}

        @rml.idempotent("payment.refund", key="key", **options)
        def refund(key: str, amount: int, currency: str, original: str, end: Any = None) -> str:
            self.count += 1
            if isinstance(end, BaseException):
                raise end
            return end() if callable(end) else "refunded"

        charge("charge", 100, "EUR")
        self.charge = rml.current_ledger().effects(operation="payment.charge")[0].id
        self.refund = refund

    def __call__(self, key: str, amount: int, end: Any = None, currency: str = "EUR") -> str:
        """Refund a part of the charge."""
        return self.refund(key, amount, currency, self.charge, end)


# ----------------------------------------------------------------------------- entries that correct


def test_a_correction_names_the_original_its_author_and_the_reason(ledger: rml.Ledger) -> None:
    """And the original shows what corrected it."""
    original = booked(ledger)
    entry = ledger.entry(corrected(ledger, original, 40))

    assert (original, "ada") == (entry.corrects, entry.actor)
    assert {"amount": 40, "reason": "wrong"} == dict(entry.facts)
    assert [entry] == list(ledger.corrections(original))


def test_partial_corrections_add_up(ledger: rml.Ledger) -> None:
    """To the last cent, and no further."""
    original = booked(ledger)
    corrected(ledger, original, 60)
    size = ledger.size

    with pytest.raises(rml.OverCorrectionError) as caught:
        corrected(ledger, original, 41)
    assert (size, False, "OVER_CORRECTION") == (
        ledger.size,
        caught.value.happened,
        caught.value.code,
    )
    assert "by 41: of its 100, 60 are corrected, 0 pending" in caught.value.message
    assert {
        "original": original,
        "amount": 100,
        "currency": None,
        "corrected": 60,
        "pending": 0,
        "asked": 41,
    } == dict(caught.value.details)
    corrected(ledger, original, 40)
    corrected(ledger, original, 0)
    assert (100, 0, 0) == left(ledger, original)


def test_append_and_write_are_bound_by_the_same_sums(ledger: rml.Ledger) -> None:
    """Within one commit, too, and whoever catches the error has recorded nothing."""
    original = booked(ledger)
    ledger.append("a.b", world="RML3", corrects=original, facts={"amount": 60})

    def work(draft: rml.Draft) -> int:
        refused = 0
        for amount in (50, 30, 20, 10):
            try:
                draft.append("a.b", world="RML3", corrects=original, facts={"amount": amount})
            except rml.OverCorrectionError:
                refused += 1
        return refused

    assert 2 == ledger.write(work)
    assert (100, 0, 0) == left(ledger, original)


@pytest.mark.parametrize("spelling", ["19.99", 19.99, -5, True, [5]], ids=repr)
def test_an_amount_that_cannot_be_added_up_is_refused(ledger: rml.Ledger, spelling: Any) -> None:
    """Where the original counts in whole units, so must its corrections."""
    original = booked(ledger)

    with pytest.raises(rml.InvalidInputError, match="amount"):
        corrected(ledger, original, spelling)
    assert 1 == ledger.size


@pytest.mark.parametrize("spelling", ["100", -100, True, None], ids=repr)
def test_an_original_without_such_an_amount_has_no_limit(ledger: rml.Ledger, spelling: Any) -> None:
    """There is nothing to compare with."""
    original = booked(ledger, spelling)
    corrected(ledger, original, 500)
    corrected(ledger, original, "500")

    assert None is ledger.correctable(original).left


def test_a_correction_without_an_amount_takes_nothing(ledger: rml.Ledger) -> None:
    """It corrects something else."""
    original = booked(ledger)
    corrected(ledger, original, note="a typing mistake in the address")
    corrected(ledger, original, amount=None)

    assert (0, 0, 100) == left(ledger, original)
    assert 2 == len(ledger.corrections(original))


def test_another_currency_is_refused(ledger: rml.Ledger) -> None:
    """A missing one is the original's."""
    original = booked(ledger, currency="EUR")

    with pytest.raises(rml.OverCorrectionError, match="its amount is in EUR"):
        corrected(ledger, original, 1, currency="USD")
    corrected(ledger, original, 1, currency="EUR")
    corrected(ledger, original, 1)
    assert (2, 0, 98) == left(ledger, original)
    assert "EUR" == ledger.correctable(original).currency


@pytest.mark.parametrize("told", [{}, {"currency": "EUR"}], ids=["inherited", "told"])
def test_a_correction_is_in_the_currency_of_what_it_corrects(
    ledger: rml.Ledger, told: dict[str, str]
) -> None:
    """Also where it does not say so itself: yen free no euros, however long the line is."""
    original = booked(ledger, currency="EUR")
    first = corrected(ledger, original, 100, **told)

    for line in (first, corrected(ledger, first, 50)):
        with pytest.raises(rml.OverCorrectionError, match="its amount is in EUR"):
            corrected(ledger, line, 10, currency="JPY")
        assert "EUR" == ledger.correctable(line).currency
    assert (50, 0, 50) == left(ledger, original)


def test_a_correction_of_a_correction_gives_room_and_takes_it_again(ledger: rml.Ledger) -> None:
    """A refund that came back can be made again; but then it cannot come back a second way."""
    original = booked(ledger)
    refund = corrected(ledger, original, 100)
    came_back = corrected(ledger, refund, 70)
    assert ((30, 0, 70), (70, 0, 30)) == (left(ledger, original), left(ledger, refund))

    corrected(ledger, original, 50)
    assert (80, 0, 20) == left(ledger, original)
    assert (0, 0, 20) == left(ledger, came_back)
    with pytest.raises(rml.OverCorrectionError, match=f"{original} cannot be corrected by 21"):
        corrected(ledger, came_back, 21)
    corrected(ledger, came_back, 20)
    assert (100, 0, 0) == left(ledger, original)
    assert [refund] == [one.id for one in ledger.corrections(original)][:1]
    assert [came_back] == [one.id for one in ledger.corrections(refund)]


def test_a_long_chain_is_followed_to_its_end(ledger: rml.Ledger) -> None:
    """No depth of corrections of corrections is too deep."""
    original = name = booked(ledger, 1)
    for _ in range(24):
        name = corrected(ledger, name, 1)

    assert (0, 0, 1) == left(ledger, original)
    with pytest.raises(rml.OverCorrectionError, match="by 2"):
        corrected(ledger, name, 2)


def test_unknown_originals(ledger: rml.Ledger) -> None:
    """Every question and every correction says so."""
    unknown = "019aa2be-8f00-7000-8000-00000000abcd"
    for call in (ledger.corrections, ledger.correctable, lambda x: corrected(ledger, x, 1)):
        with pytest.raises(rml.UnknownIdError, match=unknown):
            call(unknown)
    with pytest.raises(rml.InvalidInputError, match="original_id"):
        ledger.corrections("")


def test_a_reason_is_given_once(ledger: rml.Ledger) -> None:
    """As a parameter."""
    original = booked(ledger)

    with pytest.raises(rml.InvalidInputError, match="said twice"):
        corrected(ledger, original, 1, reason="another")


# ----------------------------------------------------------------------------- effects that correct


def test_refunds_add_up_against_the_charge(ledger: rml.Ledger) -> None:
    """By the facts of the intents; a repetition is no second refund."""
    refunds = Refunds()
    refunds("r1", 60)
    refunds("r1", 60)

    with pytest.raises(rml.OverCorrectionError, match="by 41 EUR: of its 100 EUR, 60 are"):
        refunds("r2", 41)
    with pytest.raises(rml.OverCorrectionError, match="in EUR"):
        refunds("r3", 1, currency="USD")
    assert refunds("r2", 40) == "refunded"
    assert (2, (100, 0, 0)) == (refunds.count, left(ledger, refunds.charge))
    kinds = [(entry.kind, entry.operation) for entry in ledger.corrections(refunds.charge)]
    assert [("effect.done", "payment.refund")] * 2 == kinds


def test_whatever_names_the_charge_counts_for_the_charge(ledger: rml.Ledger) -> None:
    """The effect's id, its intent's or its outcome's."""
    refunds = Refunds()
    intent, done = (entry.id for entry in ledger.entries(effect=refunds.charge))
    for original in (refunds.charge, intent, done):
        corrected(ledger, original, 30)

    for original in (refunds.charge, intent, done):
        with pytest.raises(rml.OverCorrectionError):
            corrected(ledger, original, 11)
        assert ((90, 0, 10), 3) == (left(ledger, original), len(ledger.corrections(original)))


@pytest.mark.parametrize(
    ("end", "options", "expected"),
    [
        (TimeoutError(), {}, (0, 60, 40)),
        (rml.DialogError("lost"), {"provider_idempotent": True}, (0, 60, 40)),
        (rml.HistoryError("moved twice"), {}, (60, 0, 40)),
        (rml.DialogError("printed nothing", happened=True), {}, (60, 0, 40)),
        (rml.ClosedError("no"), {}, (0, 0, 100)),
        (rml.DialogError("no", action=rml.Action.START_COMPENSATION), {}, (0, 0, 100)),
    ],
    ids=["in_doubt", "retrying", "history", "done", "not_done", "failed"],
)
def test_what_may_have_happened_counts(
    ledger: rml.Ledger, end: BaseException, options: dict[str, Any], expected: tuple[int, int, int]
) -> None:
    """And what certainly did not, does not."""
    refunds = Refunds(**options)
    with pytest.raises(type(end)):
        refunds("r1", 60, end)

    assert expected == left(ledger, refunds.charge)
    if expected[2] < 100:
        with pytest.raises(rml.OverCorrectionError):
            refunds("r2", 41)
    assert refunds("r3", expected[2]) == "refunded"


@pytest.mark.parametrize(("happened", "expected"), [(True, (60, 0, 40)), (False, (0, 0, 100))])
def test_a_decision_settles_what_counts(
    ledger: rml.Ledger, happened: bool, expected: tuple[int, int, int]
) -> None:
    """A refund that did not happen frees its amount, and can be called again as far as it goes."""
    refunds = Refunds()
    with pytest.raises(TimeoutError):
        refunds("r1", 60, TimeoutError())
    ledger.resolve(ledger.in_doubt()[0].id, happened=happened, by="ada", reason="seen")
    assert expected == left(ledger, refunds.charge)

    refunds("r2", expected[2])
    if not happened:
        with pytest.raises(rml.OverCorrectionError):
            refunds("r1", 60, TimeoutError())


def test_what_may_have_happened_is_tried_again_with_its_own_amount(ledger: rml.Ledger) -> None:
    """It does not stand in its own way."""
    refunds = Refunds(provider_idempotent=True)
    with pytest.raises(rml.DialogError):
        refunds("r1", 60, rml.DialogError("lost"))
    refunds("r2", 40)

    with pytest.raises(rml.DialogError):
        refunds.refund("r1", 60, "EUR", refunds.charge, rml.DialogError("lost"))
    assert (40, 60, 0) == left(ledger, refunds.charge)


def test_a_history_that_went_wrong_frees_nothing_it_corrects(ledger: rml.Ledger) -> None:
    """It may not have happened; so to correct it takes no room away either."""
    refunds = Refunds()
    refunds("r1", 100)
    refund = ledger.effects(operation="payment.refund")[0].id

    @rml.idempotent("payment.reverse", key="key", facts=("amount",), corrects="original")
    def reverse(key: str, amount: int, original: str) -> None:
        raise rml.HistoryError("half of it moved")

    with pytest.raises(rml.HistoryError):
        reverse("b1", 100, refund)
    assert ((100, 0, 0), (100, 0, 0)) == (left(ledger, refunds.charge), left(ledger, refund))

    wrong = ledger.effects(operation="payment.reverse")[0].id
    corrected(ledger, wrong, 100)
    assert ((100, 0, 0), (0, 0, 100)) == (left(ledger, refunds.charge), left(ledger, refund))


def test_a_refund_in_flight_counts(ledger: rml.Ledger, clock: rml.FrozenClock) -> None:
    """For others, while it runs and when its worker is lost; and it ends as it would have."""
    refunds = Refunds()

    def inside() -> str:
        assert (0, 60, 40) == left(ledger, refunds.charge)
        with pytest.raises(rml.OverCorrectionError, match="0 are corrected, 60 pending"):
            refunds("r2", 41)
        clock.advance(61)
        with pytest.raises(rml.OverCorrectionError):
            corrected(ledger, refunds.charge, 41)
        corrected(ledger, refunds.charge, 40)
        return "refunded"

    assert refunds("r1", 60, inside) == "refunded"
    assert (100, 0, 0) == left(ledger, refunds.charge)


def test_calls_that_correct_nothing_read_nothing_more(ledger: rml.Ledger) -> None:
    """Neither leases nor corrections are looked at."""
    with mock.patch.object(rml.Draft, "check_correction") as looked:
        Refunds()
        booked(ledger)

    assert not looked.called


def test_two_threads_refund_once(ledger: rml.Ledger) -> None:
    """Of many that begin at the same moment, as many run as there is money for."""
    refunds = Refunds()
    ended: list[str] = []
    at_once = threading.Barrier(8)

    def refund(number: int) -> None:
        rml.configure(ledger=ledger)
        at_once.wait(60)
        try:
            ended.append(refunds(f"r{number}", 30))
        except rml.OverCorrectionError:
            ended.append("refused")

    threads = [threading.Thread(target=refund, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert {"refunded": 3, "refused": 5} == {word: ended.count(word) for word in set(ended)}
    assert (90, 0, 10) == left(ledger, refunds.charge)


def refund_in_a_process(path: Path, go: Any, number: int, said: Any) -> None:
    """Refund 60 of the charge, from a process of its own."""
    with rml.Ledger(path) as ledger, rml.use(ledger=ledger):
        (charge,) = ledger.effects(operation="payment.charge")

        @rml.idempotent("payment.refund", key="key", facts=("amount",), corrects="original")
        def refund(key: str, amount: int, original: str) -> str:
            return "refunded"

        go.wait(60)
        try:
            said.put(refund(f"r{number}", 60, charge.id))
        except rml.OverCorrectionError:
            said.put("refused")


def test_two_processes_refund_once(tmp_path: Path) -> None:
    """Two refunds of 60 against a charge of 100 never both run."""
    path = tmp_path / "ledger.db"
    with rml.Ledger(path) as ledger, rml.use(ledger=ledger):
        charge = Refunds().charge
    spawned = multiprocessing.get_context("spawn")
    go, said = spawned.Barrier(2), spawned.Queue()
    workers = [
        spawned.Process(target=refund_in_a_process, args=(path, go, number, said))
        for number in range(2)
    ]
    for worker in workers:
        worker.start()
    words = sorted(said.get(timeout=60) for _ in workers)
    for worker in workers:
        worker.join(60)

    assert ["refunded", "refused"] == words
    with rml.Ledger(path) as ledger:
        assert (60, 0, 40) == left(ledger, charge)


@pytest.mark.parametrize("by", ["effect", "entry"])
def test_an_entry_corrects_no_effect_that_did_not_happen(ledger: rml.Ledger, by: str) -> None:
    """As for effects that correct, by the effect's id or an entry's."""
    refunds = Refunds()
    with pytest.raises(TimeoutError):
        refunds("r1", 60, TimeoutError())
    doubt = ledger.in_doubt()[0].id
    (intent, *_) = ledger.entries(effect=doubt)
    target = doubt if by == "effect" else intent.id

    with pytest.raises(rml.CorrectionTargetError, match="is in_doubt for key 'r1'"):
        corrected(ledger, target, 1)
    assert 0 == ledger.correctable(target).left
