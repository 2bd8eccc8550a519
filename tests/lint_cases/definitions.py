"""RML109: definitions that are refused at import."""

import functools

import rml

OPTIONS = {"key": "payment_id"}


@rml.idempotent("payment.a")  # expect: RML109
def no_key(payment_id: str) -> None: ...


@rml.idempotent  # expect: RML109
def not_called(payment_id: str) -> None: ...


@rml.idempotent("payment.b", key="payment_id", retries=3)  # expect: RML109
def unknown_option(payment_id: str) -> None: ...


@rml.idempotent("payment.c", key="order.id")  # expect: RML109
def unknown_parameter(payment_id: str) -> None: ...


@rml.idempotent("payment.d", key="payment_id", facts=("amount", "currency"))  # expect: RML109
def unknown_fact(payment_id: str, amount: int) -> None: ...


@rml.idempotent("payment.e", key="payment_id")  # expect: RML109
def generator(payment_id: str):
    yield payment_id


@rml.idempotent("payment.f", key="order.id", scope="tenant", facts=["amount"], personal=OPTIONS)
def fine(order, *, tenant: str, amount: int) -> None:
    def inner():
        yield order

    list(inner())


@rml.idempotent("payment.g", key=lambda order: order.id)
def key_by_function(order) -> None: ...


@rml.idempotent("payment.h", **OPTIONS)
def unpacked(payment_id: str) -> None: ...


@functools.partial(rml.idempotent, key="payment_id")("payment.i")
def by_partial(payment_id: str) -> None: ...
