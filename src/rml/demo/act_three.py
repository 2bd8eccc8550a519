"""Act three: the same handler under `@rml.idempotent`, the same faults, and a worker is killed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import attrs

import rml
from rml.clock import utc_text
from rml.demo.act_one import PAUSE_SECONDS, ActOne
from rml.demo.act_two import LATE_ORDER, SRE
from rml.demo.shop import Charge, Order, charging_once, evening, money, obey
from rml.demo.stage import Stage, some
from rml.incident.casebook import Casebook

SECOND_EVENING: Final = 200
WORKER: Final = "rml.demo.worker"


@attrs.frozen
class ActThree:
    """What the third act leaves behind.

    Attributes:
        asked: how many payments customers asked for.
        made: how many charges the gateway made.
        doubted: how many effects stood in doubt for a while.
        incident: the incident that the doubts opened.
    """

    asked: int
    made: int
    doubted: int
    incident: str


def play(stage: Stage, first: ActOne) -> ActThree:
    """Play the act."""
    stage.open_act(
        "Act three: the same evening, with a key",
        "The same handler, the same client, the same faults. New is one decorator: "
        '@rml.idempotent("payment.charge", key="payment_id").',
    )
    stage.clock.set("2026-06-02T18:00:00Z")
    _lift_switch(stage, first)
    charge = charging_once(stage.shop)
    orders = evening(SECOND_EVENING)
    for order in orders:
        _sell(stage, order, charge)
    stage.echo("")
    stage.tell(
        "The first call still says temporary, the client still obeys; but nobody knows whether "
        "the charge was made, so the second call is refused. Its error is RML3 and says "
        "escalate-history, and the client stops."
    )
    _kill_worker(stage, charge)
    doubted = len(stage.ledger.in_doubt())
    incident = _reconcile(stage)
    _decide_the_rest(stage)
    asked = (*orders, LATE_ORDER)
    made = _ask_again(stage, asked, charge)
    _close(stage, first, incident)
    return ActThree(len(asked), made, doubted, incident)


def _lift_switch(stage: Stage, first: ActOne) -> None:
    """Turn payments on again, on the record: what had to change has changed."""
    case = Casebook(stage.ledger)[first.incident]
    case.act("feature_fix", by=SRE, world=rml.World.RML2, detail="Charges have idempotency keys")
    stage.shop.switch.reset()
    case.act(
        "kill_switch_lifted",
        by=SRE,
        world=rml.World.RML2,
        detail=f"payments are on again: {stage.shop.switch.path.name} is gone",
    )
    stage.tell(f"{SRE} lifts the kill switch, and {case.id} says so: payments are on again.")


def _sell(stage: Stage, order: Order, charge: Charge) -> None:
    """Have one order charged, with the faults that wait for it."""
    stage.shop.gateway.arm(
        order.payment_id, lose_answer=order.lose_answer, refuse_before=order.refuse_before
    )
    failures: list[rml.RmlError] = []
    try:
        obey(lambda: order.pay(charge), stage.clock, failures)
        outcome = "paid"
    except rml.InDoubtError as error:
        outcome = f"temporary error, then {error.code}"
    went_wrong = bool(order.lose_answer or order.refuse_before)
    stage.claim(went_wrong == bool(failures), f"{order.payment_id} meets the faults it is to meet")
    stage.table(
        [f"{order.payment_id:<9}{order.customer_id:<10}{money(order.amount):>10}   {outcome}"]
    )
    stage.clock.advance(PAUSE_SECONDS)


def _kill_worker(stage: Stage, charge: Charge) -> None:
    """Kill a worker between charge and answer, and retry what it was doing."""
    gateway = stage.shop.gateway
    payment_id = LATE_ORDER.payment_id
    gateway.arm(payment_id, hang=1)
    with _worker(stage, LATE_ORDER) as worker:
        gateway.wait_until_held(payment_id)
        worker.kill()
        status = worker.wait()
    stage.tell(
        f"{payment_id}, refused last night, is charged by a worker in a process of its own. "
        f"After the charge and before the answer, the worker is killed with signal {-status}."
    )
    failures: list[rml.RmlError] = []
    refused = stage.expect(
        rml.InDoubtError, lambda: obey(lambda: LATE_ORDER.pay(charge), stage.clock, failures)
    )
    stage.claim(
        [type(error) for error in failures] == [rml.InFlightError],
        "the first retry finds the effect in flight",
    )
    lease = sum(error.retry_after or 0 for error in failures)
    stage.tell(
        f"A retry is told that {payment_id} is in flight, and to come back in {lease:.0f} s, when "
        "the worker's lease ends. It does (the story moves its clock, you need not wait) and is "
        f"refused: {refused.code if refused is not None else 'no error'}."
    )
    made = len(gateway.charges(payment_id=payment_id))
    stage.tell(f"The gateway's books have {some(made, 'charge')} for {payment_id}.")
    stage.claim(made == 1, "the killed worker's payment was charged once")


@contextmanager
def _worker(stage: Stage, order: Order) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker that charges an order; it does not outlive the block."""
    source = str(Path(rml.__file__).parents[1])
    path = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-P", "-m", WORKER]
    command += ["--folder", str(stage.folder), "--gateway", stage.shop.gateway.address]
    command += ["--now", utc_text(stage.clock.now())]
    command += [order.payment_id, order.customer_id, str(order.amount)]
    with subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for us, and we end the child
    ) as worker:
        try:
            assert worker.stdout is not None  # we asked for a pipe
            if not worker.stdout.readline():
                raise RuntimeError("The worker ended at its start; its error is above.")
            yield worker
        finally:
            worker.kill()


def _reconcile(stage: Stage) -> str:
    """Have the reconciler ask the gateway about every doubt; return the doubts' incident."""
    doubts = stage.ledger.in_doubt()
    incidents = {effect.incident for effect in doubts}
    stage.claim(len(incidents) == 1, "the doubts are gathered in one incident")
    incident = max(filter(None, incidents))
    stage.tell(
        f"{len(doubts)} charges stand in doubt, gathered in {incident}. Nobody guesses: "
        "rml.reconcile() asks the gateway for each provider key."
    )
    for settled in sorted(rml.reconcile(), key=lambda settled: settled.effect.started_at):
        charge = settled.effect.facts
        said = {True: "happened", False: "did not happen", None: "in doubt"}[settled.happened]
        stage.table([f"{settled.effect.key:<9}{charge['customer_id']:<10}{said}: {settled.why}"])
    return incident


def _decide_the_rest(stage: Stage) -> None:
    """Let a person decide what the reconciler could not tell."""
    for effect in list(stage.ledger.in_doubt()):
        stage.clock.advance(PAUSE_SECONDS)
        reason = "the gateway's operator: the request never got that far"
        stage.ledger.resolve(effect.id, happened=False, by=SRE, reason=reason)
        stage.tell(
            f"{effect.key} is for a person. {SRE} calls the gateway's operator, and decides with "
            "ledger.resolve(..., happened=False). It may be charged now."
        )
    stage.claim(not stage.ledger.in_doubt(), "nothing stands in doubt")


def _ask_again(stage: Stage, orders: tuple[Order, ...], charge: Charge) -> int:
    """Ask for every payment once more; return how many charges the gateway made for them."""
    gateway = stage.shop.gateway
    before = len(gateway.charges())
    given = {order.payment_id: order.pay(charge) for order in orders}
    new = len(gateway.charges()) - before
    made = [c for c in gateway.charges() if c["payment_id"] in given]
    stage.tell(
        f"Every client asks for its payment once more. {len(given) - new} are given the charge "
        f"that was recorded, {new} is charged now: {len(given)} payments, {len(made)} charges."
    )
    stage.claim(
        given == {c["payment_id"]: c["charge_id"] for c in made} and len(made) == len(given),
        "each payment has one charge, and its customer is given that one",
    )
    return len(made)


def _close(stage: Stage, first: ActOne, doubts: str) -> None:
    """Close the case of act one, and scope the doubts down to what they were."""
    stage.clock.set("2026-06-02T19:00:00Z")
    book = Casebook(stage.ledger)
    case = book[first.incident]
    case.act("feature_fix", by=SRE, world=rml.World.RML2, detail="Charges have idempotency keys")
    seen = "the gateway's books and this ledger agree, and nothing new came for two hours"
    case.confirm("resolution", "recovery", "stand_down", by=SRE, evidence=seen)
    case.all_clear("Payments are on and every charge is right. Thank you all.", by=SRE)
    case.close(by=SRE)
    book[doubts].downscope(
        to=rml.World.RML2,
        by=SRE,
        reason="every doubt is settled, and nobody was charged twice",
        evidence="the gateway's books: one charge for each payment",
    )
    stage.tell(
        f"{case.id} is closed. {doubts} was RML3 while nobody knew; it is scoped down to "
        f"{book[doubts].world}, and left open for you to finish."
    )
    stage.claim(case.phase == "closed", f"{case.id} is closed")
