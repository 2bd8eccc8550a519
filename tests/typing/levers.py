"""What a type checker must see in levers and guards. Never executed."""

from collections.abc import Callable, Coroutine
from decimal import Decimal
from typing import Any, assert_type

import rml


@rml.guard("mail.send", tenant="shop")
def send(to: str, shop: str) -> int:
    return 1


@rml.guard("mail.send")
async def send_later(to: str) -> int:
    return 1


def keeps_signatures() -> Callable[[str], Coroutine[Any, Any, int]]:
    assert_type(send("a@example.com", shop="a"), int)
    return send_later


def levers(ledger: rml.Ledger) -> None:
    found = rml.Levers(ledger)
    assert_type(found.pull("mail.send", by="Ada", reason="spam"), rml.Lever)
    assert_type(found.release("mail.send", by="Ada", reason="mended"), rml.Lever | None)
    assert_type(list(found), list[rml.Lever])


def evidence(case: rml.Case) -> None:
    assert_type(case.containment, rml.Containment)
    assert_type(case.containment.proven, bool)
    impact = case.count_impact(operation="payment.charge", key="order", by="Ada")
    assert_type(impact, rml.Impact)
    assert_type(impact.amounts["EUR"], Decimal)
    assert_type(case.timeline_from(logs="app.jsonl"), rml.JoinedTimeline)
