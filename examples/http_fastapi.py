r"""Charges over HTTP with FastAPI: a request that is sent twice charges once.

    RML_LEDGER=charges.db uvicorn --app-dir examples http_fastapi:app

    curl -i localhost:8000/charges --json '{"amount": 1999}' \
        -H 'Authorization: Bearer acme-key' -H 'Idempotency-Key: "order-7"'

Send it again: the response is the same, with `Idempotent-Replayed: true`. An amount of 13 shows
what happens when the gateway's answer is lost.
"""

import http_shop
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.datastructures import Headers

from rml.integrations.asgi import IdempotencyKeyMiddleware

keys = http_shop.keys_of(lambda scope: Headers(scope=scope).get("authorization"))
app = FastAPI()
# What is added last runs first: authentication belongs after this line, so that it runs before.
app.add_middleware(IdempotencyKeyMiddleware, keys=keys)


class Order(BaseModel):
    """What is asked for."""

    amount: int


@app.post("/charges", status_code=201)
def charge(order: Order) -> dict[str, str]:
    """Charge a card."""
    return http_shop.charge(order.amount)


@app.post("/charges/{charge_id}/refunds", status_code=201)
def refund(charge_id: str) -> dict[str, str]:
    """Refund a charge."""
    return http_shop.refund(charge_id)
