"""Act two: the case takes the five steps after its detection, and history is corrected forward."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from rml.demo.act_one import ActOne
from rml.demo.shop import (
    CHARGED,
    Order,
    PaymentsOffError,
    apologising_once,
    charged_twice,
    money,
    refunding_once,
)
from rml.demo.stage import Stage
from rml.incident.case import Case
from rml.incident.casebook import Casebook
from rml.incident.closing import missing_for_close
from rml.incident.pages.casefile import CaseFile, CaseStatus

SRE: Final = "Mina Sato"
BUSINESS: Final = "Tom Berg"
LEGAL: Final = "Rosa Klein"

LATE_ORDER: Final = Order("pay-109", "cus-hana", 2_700)
"""Comes while payments are off, and again in act three."""

TEMPLATE: Final = "refund_apology_v1"
QUERY: Final = "entries of kind payment.charged, payments with more than one"


def play(stage: Stage, first: ActOne) -> None:
    """Play the act."""
    stage.open_act("Act two: contain, understand, decide, act, learn")
    case = Casebook(stage.ledger)[first.incident]
    _contain(stage, case)
    _understand(stage, case)
    _decide(stage, case)
    _refund(stage, case, first)
    _apologise(stage, case, first)
    _learn(stage, case)


def _contain(stage: Stage, case: Case) -> None:
    """Throw the kill switch, and show that it stops a payment."""
    shop = stage.shop
    stage.clock.set("2026-06-02T03:04:00Z")
    shop.switch.throw()
    case.contain(
        f"kill switch: {shop.switch.path.name} stops every charge", by=SRE, lever="flag_off"
    )
    before = len(shop.gateway.charges())
    error = stage.expect(PaymentsOffError, lambda: LATE_ORDER.pay(shop.charge_without_key))
    after = len(shop.gateway.charges())
    code, world = (error.code, error.world) if error is not None else ("nothing", "no world")
    stage.tell(
        f"Contain. {SRE}, on call, throws the kill switch: the file {shop.switch.path.name}. "
        f"The next order, {LATE_ORDER.payment_id}, is refused with {code} ({world}); "
        f"the books still have {after} charges."
    )
    stage.claim(before == after, "nothing is charged while payments are off")


def _understand(stage: Stage, case: Case) -> None:
    """Count who was hit, by asking the ledger."""
    stage.clock.set("2026-06-02T03:25:00Z")
    twice = charged_twice(stage.ledger.entries(kind=CHARGED))
    surplus = [entry for entries in twice.values() for entry in entries[1:]]
    users = len({entry.facts["customer_id"] for entry in surplus})
    taken = money(sum(entry.facts["amount"] for entry in surplus))
    detail = f"{users} customers, {len(twice)} payments, {len(surplus)} charges too many, {taken}"
    case.understand(
        detail,
        by=SRE,
        severity="SEV-1",
        asset=("money",),
        exposure=("money_moved", "customer_affected"),
        users=users,
        transactions=len(twice),
        query=QUERY,
    )
    stage.tell(f"Understand. Counted from the ledger, not estimated: {detail}. SEV-1, money.")


def _decide(stage: Stage, case: Case) -> None:
    """Write down what legal, business and engineering decided."""
    stage.clock.set("2026-06-02T09:30:00Z")
    case.decide(
        "Refund every surplus charge in full and write to each customer. "
        "Payments stay off until a charge cannot be made twice.",
        decided_by={"legal": LEGAL, "business": BUSINESS, "sre": SRE},
    )
    stage.tell(
        f"Decide. {LEGAL} (legal), {BUSINESS} (business) and {SRE} (sre): refund in full, write to "
        "each customer, payments stay off until a charge cannot be made twice."
    )


def _refund(stage: Stage, case: Case, first: ActOne) -> None:
    """Refund each surplus charge as a new effect that corrects the entry of the old one."""
    stage.clock.set("2026-06-02T10:00:00Z")
    gateway, refund = stage.shop.gateway, refunding_once(stage.shop)
    asked = [(entry.facts["charge_id"], entry.facts["amount"], entry.id) for entry in first.surplus]
    refunds = [refund(*order) for order in asked]
    effects = {effect.key: effect for effect in stage.ledger.effects(operation="payment.refund")}
    case.act("refund", by=BUSINESS, corrections=[effects[charge].id for charge, _, _ in asked])
    stage.tell(
        "Act. Each surplus charge is refunded. A refund is new history that names the entry it "
        "corrects; the charge itself stays:"
    )
    for refund_id, entry in zip(refunds, first.surplus, strict=True):
        charge_id, amount = entry.facts["charge_id"], money(entry.facts["amount"])
        stage.table([f"{refund_id} {amount:>10}   corrects entry {entry.index}: {charge_id}"])
        linked = stage.ledger.entries(corrects=entry.id)
        stage.claim(len(linked) == 1, f"one refund corrects the entry of {charge_id}")
    again = [refund(*order) for order in asked]
    made = gateway.refunds()
    stage.tell(
        f"The job that refunds is started twice, as such jobs are: the second time it is given "
        f"the {len(again)} recorded refunds, and the books have {len(made)}."
    )
    stage.claim(again == refunds, "the second run is given what the first one did")
    stage.claim(
        [r["charge_id"] for r in made] == [charge for charge, _, _ in asked],
        "the books have one refund for each surplus charge",
    )
    _settle_up(stage, first)


def _settle_up(stage: Stage, first: ActOne) -> None:
    """Show, from the gateway's books, that everybody has paid what they owe."""
    gateway = stage.shop.gateway
    taken = sum(charge["amount"] for charge in gateway.charges())
    given_back = sum(refund["amount"] for refund in gateway.refunds())
    stage.tell(
        f"The gateway took {money(taken)} and gave back {money(given_back)}, "
        f"which leaves the {money(first.owed)} that were owed."
    )
    stage.claim(taken - given_back == first.owed, "customers have paid what they owed")


def _apologise(stage: Stage, case: Case, first: ActOne) -> None:
    """Write to each customer once, however many of their payments were hit."""
    apologise = apologising_once(stage.shop)
    for entry in first.surplus:
        apologise(case.id, entry.facts["customer_id"], TEMPLATE)
    customers = {entry.facts["customer_id"] for entry in first.surplus}
    case.act("user_email", by=BUSINESS, template_id=TEMPLATE, channel="email", count=len(customers))
    sent = stage.shop.outbox.read_text(encoding="utf-8").splitlines()
    stage.tell(f"{len(sent)} customers get the e-mail {TEMPLATE}, each of them one.")
    stage.claim(len(sent) == len(customers), "each customer gets one e-mail")


def _learn(stage: Stage, case: Case) -> None:
    """Write down what was learned, and see what closing the case still asks for."""
    stage.clock.set("2026-06-02T15:00:00Z")
    case.learn(
        by=SRE,
        technical=["Charge under @rml.idempotent, with the payment's id as the key"],
        process=["A lost answer is not a temporary error: ask the gateway before charging again"],
        governance=["Legal and business are called when money was taken, not when it is explained"],
        changes=[
            {
                "what": "Charge under @rml.idempotent",
                "kind": "code",
                "owner": SRE,
                "due": "2026-06-02",
            }
        ],
    )
    case.move(CaseStatus.MONITORING, by=SRE, reason="refunded; payments are still off")
    stage.tell(
        f"Learn. A technical lesson, one of process, one of governance. The status is now "
        f"{case.status}: the case stays open until the change has been seen to work."
    )
    stage.claim(not missing_for_close(case.file), "nothing is missing on the page")


def write_case_file(stage: Stage, incident: str) -> Path:
    """Write the case file beside the ledger, and check that it reads back as it was."""
    case = Casebook(stage.ledger)[incident]
    path = stage.folder / f"{incident}.yaml"
    path.write_text(case.to_yaml(), encoding="utf-8")
    again = CaseFile.from_yaml(path.read_text(encoding="utf-8"))
    stage.claim(again == case.file, "the case file reads back as it was written")
    return path
