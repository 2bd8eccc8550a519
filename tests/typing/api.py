"""What a type checker must see in the decorator, the ledger and the casebook. Never executed."""

import sqlite3
import threading
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any, assert_type

import psycopg

import rml

# ------------------------------------------------------------------------------------ decorator


class Charged:
    """What a handler returns."""

    charge_id: str


@rml.idempotent("payment.charge", key="payment_id", facts=("amount",), personal=("email",))
def charge(payment_id: str, amount: int, *, email: str | None = None) -> Charged:
    assert_type(rml.current_effect(), rml.Attempt)
    assert_type(rml.current_effect().provider_key, str)
    return Charged()


@rml.idempotent(
    "payment.refund",
    key=lambda charge_id: charge_id,
    scope="tenant",
    world=rml.World.RML3,
    provider_idempotent=True,
    wait=timedelta(seconds=5),
    lease=30,
    exclude=("note",),
    corrects="original",
)
async def refund(tenant: str, charge_id: str, original: str, note: str = "") -> int:
    return len(tenant + charge_id + original + note)


def handlers_keep_their_signatures() -> None:
    assert_type(charge("pay-1", 1999), Charged)
    assert_type(charge("pay-1", amount=1999, email="ada@example.com"), Charged)
    as_it_was: Callable[[str, int], Charged] = charge
    as_it_was("pay-1", 1999)


def what_does_not_fit_the_handler_is_refused() -> None:
    charge("pay-1")  # type: ignore[call-arg]
    charge("pay-1", "1999")  # type: ignore[arg-type]
    charge("pay-1", 1999, "ada@example.com")  # type: ignore[call-arg]
    rml.idempotent("payment.charge")  # type: ignore[call-arg]
    rml.idempotent("payment.charge", "payment_id")  # type: ignore[call-arg]


async def coroutines_stay_coroutines() -> None:
    promised: Coroutine[Any, Any, int] = refund("shop", "ch-1", "ef_1")
    assert_type(await promised, int)
    assert_type(await refund("shop", "ch-1", "ef_1", note="late"), int)


class Shop:
    """Methods are protected like functions."""

    @rml.idempotent("payment.charge", key="payment_id")
    def charge(self, payment_id: str, amount: int) -> Charged | None:
        """Charge nobody."""
        return None


def methods_keep_their_receiver(shop: Shop) -> None:
    assert_type(shop.charge("pay-1", 1999), Charged | None)


# ---------------------------------------------------------------- an application's own transaction


async def what_is_joined_is_awaited_if_its_commit_is(
    ledger: rml.Ledger, plain: sqlite3.Connection, awaited: psycopg.AsyncConnection
) -> None:
    assert_type(ledger.on(plain), rml.Enlisted)
    assert_type(ledger.on(plain).append("order.noted", world="RML2"), rml.Receipt)
    assert_type(ledger.on(awaited), rml.AsyncEnlisted)
    assert_type(await ledger.on(awaited).append("order.noted", world="RML2"), rml.Receipt)
    assert_type(await ledger.on(awaited).write(lambda draft: len(draft.leases())), int)


# ------------------------------------------------------------------------- reconciling, deciding


def ask_gateway(effect: rml.Effect) -> rml.Finding:
    assert_type(effect.provider_key, str)
    assert_type(effect.state, rml.EffectState)
    assert_type(effect.incident, str | None)
    return rml.Finding(happened=True, result="ch-1", evidence="ch-1 in its books")


async def ask_gateway_later(effect: rml.Effect) -> rml.Finding:
    return rml.Finding(None)


@rml.idempotent("payment.charge", key="payment_id", reconcile=ask_gateway)
def reconciled(payment_id: str) -> str:
    return payment_id


@rml.idempotent("payment.charge", key="payment_id", reconcile=ask_gateway_later)
def reconciled_later(payment_id: str) -> str:
    return payment_id


def doubts_end(finding: rml.Finding, ledger: rml.Ledger) -> None:
    assert_type(finding.happened, bool | None)
    assert_type(finding.evidence, str)
    settled = rml.reconcile(ledger=ledger, operation="payment.charge")
    assert_type(settled, list[rml.Reconciliation])
    assert_type(settled[0].effect, rml.Effect)
    assert_type(settled[0].happened, bool | None)
    decided = ledger.resolve("ef_1", happened=True, by="Ada", reason="seen", result={"id": 1})
    assert_type(decided, rml.Effect)
    ledger.resolve("ef_1", happened=True, by="Ada")  # type: ignore[call-arg]


# --------------------------------------------------------------------------------- ledger, rows


def ledgers_are_opened() -> None:
    with rml.Ledger("payments.db", service="shop", timeout=5, create=False) as ledger:
        assert_type(ledger, rml.Ledger)
        rml.configure(ledger=ledger, service="shop", hooks=[])
    with rml.use(ledger=rml.Ledger("memory:", clock=rml.FrozenClock())) as used:
        assert_type(used, rml.Ledger)
    assert_type(rml.current_ledger(), rml.Ledger)


def ledgers_are_written(ledger: rml.Ledger, moment: datetime) -> None:
    receipt = ledger.append(
        "stock.counted", world="RML3", facts={"item": "tea", "count": 12}, at=moment, actor="Ada"
    )
    assert_type(receipt, rml.Receipt)
    assert_type(receipt.id, str)
    assert_type(receipt.index, int | None)
    assert_type(receipt.recorded_at, datetime)
    assert_type(ledger.erase(receipt.id, ["email"], by="Ada", reason="asked"), rml.Receipt)

    def work(draft: rml.Draft) -> int:
        draft.append("stock.counted", world=rml.World.RML1)
        return len(draft.entries(kind="stock.counted"))

    assert_type(ledger.write(work), int)


def ledgers_are_corrected(ledger: rml.Ledger) -> None:
    receipt = ledger.correct("ef_1", "a.b", world="RML3", by="Ada", reason="wrong")
    assert_type(receipt, rml.Receipt)
    assert_type(ledger.corrections(receipt.id), rml.Rows[rml.Entry])
    assert_type(ledger.correctable(receipt.id), rml.Correctable)
    ledger.correct("ef_1", "a.b", world="RML3", by="Ada")  # type: ignore[call-arg]


def ledgers_hold(ledger: rml.Ledger) -> None:
    held = ledger.pend("a.b", world="RML3", expires_in=timedelta(days=7))
    assert_type(ledger.confirm(held.id, by="Ada", amount=5), rml.Receipt)
    assert_type(ledger.void(held.id, by="Ada", reason="not wanted"), rml.Receipt)
    assert_type(ledger.expire(), list[rml.Pending])
    assert_type(ledger.pending(older_than=60), rml.Rows[rml.Pending])


def ledgers_forget(ledger: rml.Ledger, moment: datetime) -> None:
    removed = ledger.erase_subject("customer_id", "c-7", by="Ada", reason="asked")
    assert_type(removed, rml.Removal)
    assert_type(ledger.prune(moment, by="Ada", reason="old").below, int | None)
    assert_type(ledger.erasures("id"), dict[str, rml.Erased])


def ledgers_are_asked(ledger: rml.Ledger, moment: datetime) -> None:
    assert_type(ledger.entries(kind="effect.done", since=moment, limit=5), rml.Rows[rml.Entry])
    assert_type(ledger.effects(state="done", operation="payment.charge"), rml.Rows[rml.Effect])
    assert_type(ledger.effects(state=rml.EffectState.IN_DOUBT), rml.Rows[rml.Effect])
    assert_type(ledger.in_doubt(), rml.Rows[rml.Effect])
    assert_type(ledger.effect("ef_1"), rml.Effect)
    assert_type(ledger.entry("01a1"), rml.Entry)
    assert_type(ledger.size, int)
    assert_type(ledger.origin, str)


def ledgers_are_looked_back_at(ledger: rml.Ledger, moment: datetime) -> None:
    view = ledger.as_of(moment)
    assert_type(view, rml.LedgerView)
    assert_type(ledger.as_of(5).size, int)
    assert_type(view.entries(after=3), rml.Rows[rml.Entry])
    assert_type(view.in_doubt(), rml.Rows[rml.Effect])
    view.append("stock.counted", world="RML1")  # type: ignore[attr-defined]


async def ledgers_are_followed(ledger: rml.Ledger) -> None:
    cursor: rml.Cursor = rml.FileCursor("mailer.cursor")
    feed = ledger.follow(cursor=cursor, kind="stock.counted", poll=timedelta(seconds=5))
    assert_type(feed, rml.Follower)
    assert_type([entry for entry in feed], list[rml.Entry])  # noqa: C416 - the type of iterating
    assert_type([entry async for entry in feed], list[rml.Entry])
    assert_type(feed.position, rml.Checkpoint)
    assert_type(cursor.load(), rml.Checkpoint | None)
    ledger.follow(after=feed.position, poll=None, wait=threading.Event().wait)


def entries_are_upcast() -> None:
    def today(entry: rml.Entry) -> dict[str, Any]:
        return {**entry.facts, "currency": "EUR"}

    rml.Ledger("payments.db", upcasters={"payment.charged": today})
    rml.Ledger("payments.db", upcasters={"payment.charged": len})  # type: ignore[dict-item]


def rows_are_a_sequence(rows: rml.Rows[rml.Entry]) -> None:
    assert_type(len(rows), int)
    assert_type(rows[0], rml.Entry)
    assert_type(list(rows), list[rml.Entry])
    assert_type([entry.world for entry in rows], list[rml.World])
    assert_type(rows.to_dicts(), list[dict[str, Any]])
    assert_type(rows[0].incident, str | None)
    assert_type(rows.to_parquet("entries.parquet", facts="json", progress=progress), int)
    rows.to_arrow(facts="both")  # type: ignore[arg-type]


def progress(checked: int, total: int) -> None:
    assert checked <= total


def ledgers_are_verified(ledger: rml.Ledger) -> None:
    found = ledger.verify(progress)
    assert_type(found, rml.Verification)
    assert_type(found.ok, bool)
    assert_type(found.level, rml.Level)
    assert_type(found.problems, tuple[rml.Problem, ...])
    assert_type(ledger.checkpoint(), str)
    assert_type(found.assurances, tuple[rml.Assurance, ...])
    ledger.verify(keys="acme+3cc396f7+A", checkpoints=["acme", rml.FileAnchor("kept")], since="")


class Vault:
    """Keeps checkpoints in a place of one's own."""

    def last(self, origin: str) -> str | None:
        """Return the last one."""
        return None

    def keep(self, checkpoint: str, prove_from: Callable[[int], rml.ConsistencyProof]) -> None:
        """Keep one."""
        assert_type(prove_from(3), rml.ConsistencyProof)


class Drawer:
    """Is no anchor."""


def ledgers_are_anchored(other: rml.Ledger) -> None:
    witness = rml.WitnessAnchor("https://witness.example", "w+7e136b5c+B", timeout=5)
    assert_type(witness.key, rml.WitnessKey)
    rml.Ledger(
        "payments.db",
        anchors=[rml.FileAnchor("kept"), rml.LedgerAnchor(other), witness, Vault()],
    )
    rml.Ledger("payments.db", anchors=[Drawer()])  # type: ignore[list-item]


# ----------------------------------------------------------------------------------- escalation


def page(escalation: rml.Escalation) -> None:
    assert_type(escalation.incident, str)
    assert_type(escalation.opened, bool)
    assert_type(escalation.world, rml.World)


def hooks_are_callables() -> list[rml.Hook]:
    return [page]


@rml.boundary("checkout")
def checkout(cart: list[str]) -> int:
    with rml.boundary("payment") as inner:
        assert_type(inner, rml.boundary)
    return len(cart)


@rml.boundary("checkout")
async def checkout_later(cart: list[str]) -> int:
    async with rml.boundary("payment"):
        return len(cart)


async def boundaries_keep_signatures() -> None:
    assert_type(checkout(["tea"]), int)
    assert_type(await checkout_later(["tea"]), int)
    checkout("tea")  # type: ignore[arg-type]


def problems_are_reported(error: ValueError) -> None:
    assert_type(rml.escalate(error, operation="payment.charge"), rml.Incident)
    assert_type(rml.suspect("two charges", detected_by={"type": "cs_ticket"}), rml.Incident)
    assert_type(rml.suspect("two charges").id, str)
    rml.suspect(error)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------- casebook


def cases_are_worked(ledger: rml.Ledger) -> None:
    book = rml.Casebook(ledger)
    case = book["INC-2026-0001"]
    assert_type(case, rml.Case)
    assert_type(book.cases(open=True, status="ongoing"), rml.Rows[rml.Case])
    assert_type([one for one in book], list[rml.Case])  # noqa: C416 - the type of iterating
    assert_type(len(book), int)
    assert_type(case.detect("more", by="Ada"), rml.Receipt)
    assert_type(case.contain("off", by="Ada", lever="flag_off"), rml.Receipt)
    assert_type(case.understand("what", by="Ada", severity="SEV-1", users=2), rml.Receipt)
    assert_type(case.decide("refund", decided_by={"sre": "Ada"}), rml.Receipt)
    assert_type(case.act("refund", by="Ada", corrections=["ef_1"]), rml.Receipt)
    assert_type(case.learn(by="Ada", technical=["a key"]), rml.Receipt)
    assert_type(case.move(rml.CaseStatus.MONITORING, by="Ada", reason="quiet"), rml.Receipt)
    assert_type(case.downscope("RML2", by="Ada", reason="less", evidence="Q-7"), rml.Receipt)
    assert_type(case.take("commander", by="Ada"), rml.Receipt)
    assert_type(case.take(rml.Role.SCRIBE, by="Ada"), rml.Receipt)
    assert_type(case.confirm("resolution", by="Ada", evidence="Q-7"), rml.Receipt)
    assert_type(case.close(by="Ada", override="the book ends here"), rml.Receipt)
    assert_type(case.remarks, list[rml.Remark])
    assert_type(case.metrics, rml.CaseMetrics)
    assert_type(book.metrics(), rml.BookMetrics)
    case.contain("off", "Ada", "flag_off")  # type: ignore[call-arg]


def cases_are_read(case: rml.Case) -> None:
    assert_type(case.status, rml.CaseStatus)
    assert_type(case.world, rml.World)
    assert_type(case.opened_at, datetime)
    assert_type(case.missing(), list[str])
    assert_type(case.effects, rml.Rows[rml.Effect])
    assert_type(case.entries, rml.Rows[rml.Entry])
    assert_type(case.file, rml.CaseFile)
    assert_type(case.to_yaml(), str)
    assert_type(rml.CaseFile.from_yaml(case.to_yaml()), rml.CaseFile)
    assert_type(case.file.classification.severity, rml.Sev | str | None)


# --------------------------------------------------------------------------------------- values


def secrets_keep_their_type(token: rml.Secret[str]) -> None:
    assert_type(token.reveal(), str)
    assert_type(rml.Secret(4242).reveal(), int)


def problems_travel(error: rml.RmlError) -> None:
    assert_type(rml.to_problem(error, status=409), dict[str, Any])
    assert_type(rml.from_problem(b"{}"), rml.RmlError)
