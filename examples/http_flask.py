r"""Charges over HTTP with Flask: a request that is sent twice charges once.

    RML_LEDGER=charges.db flask --app examples/http_flask.py run

    curl -i localhost:5000/charges --json '{"amount": 1999}' \
        -H 'Authorization: Bearer acme-key' -H 'Idempotency-Key: "order-7"'

Send it again: the response is the same, with `Idempotent-Replayed: true`. An amount of 13 shows
what happens when the gateway's answer is lost.
"""

import http_shop
from flask import Flask, Response, request

import rml
from rml.integrations.wsgi import IdempotencyKeyMiddleware

keys = http_shop.keys_of(lambda environ: environ.get("HTTP_AUTHORIZATION"))
app = Flask(__name__)
app.wsgi_app = IdempotencyKeyMiddleware(app.wsgi_app, keys)  # type: ignore[method-assign]


@app.errorhandler(rml.RmlError)
def problem(error: rml.RmlError) -> Response:
    """Answer with a problem; it says whether the request may run again, which a 500 would not."""
    answer = keys.answer(error)
    return Response(answer.content, answer.status, answer.headers)


@app.post("/charges")
def charge() -> tuple[dict[str, str], int]:
    """Charge a card."""
    return http_shop.charge(request.get_json()["amount"]), 201


@app.post("/charges/<charge_id>/refunds")
def refund(charge_id: str) -> tuple[dict[str, str], int]:
    """Refund a charge."""
    return http_shop.refund(charge_id), 201
