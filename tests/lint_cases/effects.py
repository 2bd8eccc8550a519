"""RML101: effects outside a protected handler, however the client is spelled."""

import functools
import smtplib
from functools import partial
from typing import Annotated

import boto3
import httpx
import requests
import requests as http
import rml
import rml as r
import stripe
from requests import Session, post as send_it
from rml import idempotent as once
from stripe import PaymentIntent

session = requests.Session()
topics = boto3.client("sns")
protect = rml.idempotent("payment.plain", key="payment_id")
protects = partial(rml.idempotent, key="payment_id")


def spelled(client: httpx.Client, other: "httpx.AsyncClient | None") -> None:
    requests.post("https://gateway.example")  # expect: RML101
    http.put("https://gateway.example")  # expect: RML101
    send_it("https://gateway.example")  # expect: RML101
    session.post("https://gateway.example")  # expect: RML101
    Session().delete("https://gateway.example")  # expect: RML101
    requests.request("POST", "https://gateway.example")  # expect: RML101
    client.post("https://gateway.example")  # expect: RML101
    other.post("https://gateway.example")  # expect: RML101
    PaymentIntent.create(amount=1)  # expect: RML101
    stripe.StripeClient("sk").payment_intents.create({})  # expect: RML101
    topics.publish(Message="paid")  # expect: RML101
    boto3.resource("dynamodb").Table("t").put_item(Item={})  # expect: RML101
    with smtplib.SMTP("localhost") as mail:
        mail.sendmail("a", "b", "c")  # expect: RML101
    made = None
    made = made or httpx.Client()
    made.patch("https://gateway.example")  # expect: RML101
    (lambda: requests.post("https://gateway.example"))()  # expect: RML101


async def spelled_async(client: Annotated[httpx.AsyncClient, "of the app"]) -> None:
    await client.post("https://gateway.example")  # expect: RML101
    async with httpx.AsyncClient() as own:
        await own.post("https://gateway.example")  # expect: RML101


requests.post("https://gateway.example")  # expect: RML101


class Gateway:
    client: httpx.Client

    def __init__(self) -> None:
        self.session = None
        self.session = requests.Session()

    def plain(self) -> None:
        self.session.post("https://gateway.example")  # expect: RML101
        self.client.post("https://gateway.example")  # expect: RML101

    @r.idempotent("payment.charge", key="payment_id")
    def charge(self, payment_id: str) -> None:
        self.session.post("https://gateway.example")
        self._send()

    def _send(self) -> None:
        self.client.post("https://gateway.example")
        self._deeper()

    def _deeper(self) -> None:
        self.client.put("https://gateway.example")


class Special(Gateway):
    def plain(self) -> None:
        self.session.post("https://gateway.example")  # expect: RML101


def reads_and_unknown(client, requests_made: dict) -> None:
    requests.get("https://gateway.example")
    requests.request("GET", "https://gateway.example")
    httpx.Client().cookies.delete("a")
    stripe.PaymentIntent.retrieve("pi")
    client.post("https://gateway.example")  # nobody knows what it is
    requests_made.pop("post")


def texts() -> None:
    name = "requests"
    name.post("https://gateway.example")


def shadowed(session, stripe) -> None:
    session.post("https://gateway.example")
    stripe.PaymentIntent.create()


@once("payment.once", key="payment_id")
def charge_once(payment_id: str) -> None:
    PaymentIntent.create(amount=1)
    helper()

    def inner() -> None:
        requests.post("https://gateway.example")

    inner()
    functools.partial(by_reference, 1)


@protect
def charge_protect(payment_id: str) -> None:
    requests.post("https://gateway.example")


@protects("payment.protects")
def charge_protects(payment_id: str) -> None:
    requests.post("https://gateway.example")


@rml.compensator("payment.undo")
def undo(effect: rml.Effect) -> None:
    requests.delete("https://gateway.example")


def helper() -> None:
    requests.post("https://gateway.example")
    ping()


def ping() -> None:
    requests.post("https://gateway.example")
    pong()


def pong() -> None:
    requests.post("https://gateway.example")
    ping()


def by_reference(number: int) -> None:
    requests.post("https://gateway.example")


def shared() -> None:
    requests.post("https://gateway.example")  # expect: RML101
    under_shared()


def under_shared() -> None:
    requests.post("https://gateway.example")  # expect: RML101


@rml.idempotent("payment.shared", key="payment_id")
def uses_shared(payment_id: str) -> None:
    shared()


def exposes_shared() -> None:
    shared()


def recursive() -> None:
    requests.post("https://gateway.example")  # expect: RML101
    recursive()


@rml.saga("trip.book", key="trip", steps={})
def book(trip: str) -> None:
    requests.post("https://gateway.example")  # expect: RML101
