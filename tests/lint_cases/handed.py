"""RML102, RML103 and RML105: what is handed, as a function, to what repeats it."""

import functools

import requests
import retry.api
import rml
import stamina
import tenacity
from retry import retry_call
from retrying import Retrying
from tenacity import AsyncRetrying

URL = "https://gateway.example"
three_times = tenacity.Retrying(stop=tenacity.stop_after_attempt(3))
caller = stamina.RetryingCaller(attempts=3)
on_timeouts = caller.on(requests.Timeout)


def send() -> None:
    requests.post(URL)  # expect: RML102


def send_again() -> None:
    requests.post(URL)  # expect: RML102


async def send_async() -> None:
    requests.post(URL)  # expect: RML102


def send_wrapped() -> None:
    requests.post(URL)  # expect: RML102


def look() -> object:
    return requests.get(URL)


def hand_over() -> None:
    tenacity.Retrying(stop=tenacity.stop_after_attempt(3))(send)
    retry_call(send_again, tries=3)
    retry.api.retry_call(requests.post, fargs=[URL])  # expect: RML102
    three_times(requests.post, URL)  # expect: RML102
    three_times(lambda: requests.post(URL))  # expect: RML102
    three_times(functools.partial(requests.post, URL))  # expect: RML102
    caller(requests.Timeout, requests.post, URL)  # expect: RML102
    on_timeouts(requests.post, URL)  # expect: RML102
    Retrying(stop_max_attempt_number=3).call(requests.post, URL)  # expect: RML102
    tenacity.retry(stop=tenacity.stop_after_attempt(3))(send_wrapped)()
    three_times(look)
    three_times(protected, "pay-1")
    retry_call(requests.get, fargs=[URL])


async def hand_over_async() -> None:
    await AsyncRetrying()(send_async)


@rml.idempotent("handed.a", key="payment_id")
def protected(payment_id: str) -> None:
    three_times(requests.post, URL)  # expect: RML103


def settle() -> None:
    raise rml.HistoryError("settled")  # expect: RML105


def settle_on() -> None:
    raise rml.HistoryError("settled")


tenacity.Retrying()(settle)
tenacity.Retrying(retry=tenacity.retry_if_exception_type(requests.Timeout))(settle_on)
stamina.RetryingCaller().on(rml.HistoryError)(look)  # expect: RML105
