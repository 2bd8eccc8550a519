r"""Charges over HTTP with Django, in one file: a request that is sent twice charges once.

    RML_LEDGER=charges.db python examples/http_django.py

    curl -i localhost:8000/charges --json '{"amount": 1999}' \
        -H 'Authorization: Bearer acme-key' -H 'Idempotency-Key: "order-7"'

Send it again: the response is the same, with `Idempotent-Replayed: true`. An amount of 13 shows
what happens when the gateway's answer is lost.
"""

import json
from collections.abc import Callable
from wsgiref.simple_server import make_server

import http_shop
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

import rml
from rml.integrations.wsgi import IdempotencyKeyMiddleware

keys = http_shop.keys_of(lambda environ: environ.get("HTTP_AUTHORIZATION"))


class ProblemMiddleware:
    """Answer with a problem; it says whether the request may run again, which a 500 would not."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Hand the request on."""
        return self.get_response(request)

    def process_exception(self, _: HttpRequest, error: Exception) -> HttpResponse | None:
        """Answer an error of the `rml` family; others are Django's."""
        if not isinstance(error, rml.RmlError):
            return None
        answer = keys.answer(error)
        return HttpResponse(answer.content, status=answer.status, headers=dict(answer.headers))


def charge(request: HttpRequest) -> HttpResponse:
    """Charge a card."""
    order = json.loads(request.body)
    return JsonResponse(http_shop.charge(order["amount"]), status=201)


def refund(_: HttpRequest, charge_id: str) -> HttpResponse:
    """Refund a charge."""
    return JsonResponse(http_shop.refund(charge_id), status=201)


urlpatterns = [path("charges", charge), path("charges/<charge_id>/refunds", refund)]
if not settings.configured:
    settings.configure(
        ALLOWED_HOSTS=["*"],
        MIDDLEWARE=[f"{__name__}.ProblemMiddleware"],
        ROOT_URLCONF=__name__,
    )
application = IdempotencyKeyMiddleware(WSGIHandler(), keys)

if __name__ == "__main__":
    with make_server("127.0.0.1", 8000, application) as server:
        server.serve_forever()
