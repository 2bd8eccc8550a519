"""What the four HTTP examples share: who may call, and a gateway that can lose its answer."""

from collections.abc import Callable

import rml
from rml.integrations.idempotency_key import IdempotencyKeys

TENANTS = {"Bearer acme-key": "acme", "Bearer globex-key": "globex"}
LOST = 13  # of a charge of this amount, the gateway's answer is lost
DECLINED = 51

charged: dict[str, int] = {}  # the gateway's books: what was charged, by provider key


class CardDeclinedError(rml.DialogError):
    """The card was declined; nothing was charged."""

    code = "CARD_DECLINED"
    happened = False
    http_status = 402


def charge(amount: int) -> dict[str, str]:
    """Charge a card, under the provider key of the request that is being carried out."""
    if amount == DECLINED:
        raise CardDeclinedError
    charged[rml.current_effect().provider_key] = amount
    if amount == LOST:
        raise TimeoutError("the gateway's answer was lost")
    return {"charge_id": f"ch-{len(charged)}"}


def refund(charge_id: str) -> dict[str, str]:
    """Refund a charge."""
    charged[rml.current_effect().provider_key] = 0
    return {"refund_id": f"re-{len(charged)}", "of": charge_id}


def keys_of(authorization: Callable[..., str | None]) -> IdempotencyKeys:
    """Return which requests need a key; ``authorization`` reads the header of one."""
    return IdempotencyKeys(
        tenant=lambda request: TENANTS.get(authorization(request) or ""),
        operations={
            "POST /charges": "http.charge",
            "POST /charges/{charge_id}/refunds": "http.refund",
        },
        type_base="https://pay.example/problems/",
    )
