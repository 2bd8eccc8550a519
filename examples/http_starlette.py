r"""Charges over HTTP with Starlette: a request that is sent twice charges once.

    RML_LEDGER=charges.db uvicorn --app-dir examples http_starlette:app

    curl -i localhost:8000/charges --json '{"amount": 1999}' \
        -H 'Authorization: Bearer acme-key' -H 'Idempotency-Key: "order-7"'

Send it again: the response is the same, with `Idempotent-Replayed: true`. An amount of 13 shows
what happens when the gateway's answer is lost.
"""

import http_shop
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from rml.integrations.asgi import IdempotencyKeyMiddleware


async def charge(request: Request) -> JSONResponse:
    """Charge a card."""
    order = await request.json()
    return JSONResponse(http_shop.charge(order["amount"]), status_code=201)


async def refund(request: Request) -> JSONResponse:
    """Refund a charge."""
    return JSONResponse(http_shop.refund(request.path_params["charge_id"]), status_code=201)


keys = http_shop.keys_of(lambda scope: Headers(scope=scope).get("authorization"))
app = Starlette(
    routes=[
        Route("/charges", charge, methods=["POST"]),
        Route("/charges/{charge_id}/refunds", refund, methods=["POST"]),
    ],
    # What stands first runs first: authentication belongs before this one.
    middleware=[Middleware(IdempotencyKeyMiddleware, keys=keys)],
)
