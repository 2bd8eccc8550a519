"""RML102 and RML103: effects that are repeated, without a key and under one intent."""

import asyncio
import itertools
import time
from contextlib import suppress

import aiohttp
import backoff
import requests
import rml
import stamina
import tenacity
from requests.adapters import HTTPAdapter
from tenacity import retry as again
from urllib3.util.retry import Retry

URL = "https://gateway.example"


@stamina.retry(on=requests.ConnectionError)
def by_stamina() -> None:
    requests.post(URL)  # expect: RML102


@again
def by_tenacity() -> None:
    helper()  # expect: RML102


@backoff.on_exception(backoff.expo, requests.ConnectionError)
async def by_backoff() -> None:
    requests.post(URL)  # expect: RML102


@rml.retry(effect=False)
def by_rml() -> None:
    requests.post(URL)  # expect: RML102


def helper() -> None:
    requests.post(URL)  # expect: RML101


def by_while() -> None:
    while True:
        try:
            requests.post(URL)  # expect: RML102
            break
        except requests.ConnectionError:
            time.sleep(1)


def by_while_test() -> None:
    done = False
    while not done:
        try:
            requests.post(URL)  # expect: RML102
            done = True
        except requests.ConnectionError:
            time.sleep(1)


def by_for() -> object:
    for number in range(3):
        try:
            answer = requests.post(URL)  # expect: RML102
        except requests.ConnectionError:
            if number == 2:
                raise
            continue
        return answer


def by_for_status() -> object:
    for _ in itertools.count():
        try:
            answer = requests.post(URL)  # expect: RML102
        except requests.ConnectionError:
            continue
        if answer.ok:
            return answer


def by_suppress() -> object:
    for _ in range(3):
        with suppress(requests.ConnectionError):
            return helper()  # expect: RML102


def by_contexts() -> None:
    for attempt in stamina.retry_context(on=requests.ConnectionError):
        with attempt:
            requests.post(URL)  # expect: RML102
    for attempt in tenacity.Retrying():
        with attempt:
            helper()  # expect: RML102


HTTPAdapter(max_retries=Retry(3, allowed_methods=None))  # expect: RML102
HTTPAdapter(max_retries=Retry(3, allowed_methods=["GET", "POST"]))  # expect: RML102
HTTPAdapter(max_retries=Retry(3, allowed_methods=["GET"]))
HTTPAdapter(max_retries=Retry(3))


@rml.idempotent("payment.a", key="payment_id")
def loop_inside(payment_id: str) -> None:
    for _ in range(3):
        try:
            requests.post(URL)  # expect: RML103
            return
        except requests.ConnectionError:
            continue


@rml.idempotent("payment.b", key="payment_id")
@stamina.retry(on=requests.ConnectionError)  # expect: RML103
def order_wrong(payment_id: str) -> None:
    requests.post(URL)


@rml.idempotent("payment.c", key="payment_id")
def through_helper(payment_id: str) -> None:
    retried_helper()


@stamina.retry(on=requests.ConnectionError)
def retried_helper() -> None:
    requests.post(URL)  # expect: RML103


@rml.retry()
@rml.idempotent("payment.d", key="payment_id")
def order_right(payment_id: str) -> None:
    requests.post(URL)


@stamina.retry(on=rml.InFlightError)
@rml.idempotent("payment.e", key="payment_id")
def order_right_too(payment_id: str) -> None:
    requests.post(URL)


def repeats_what_is_protected() -> None:
    for _ in range(3):
        try:
            return order_right("pay-1")
        except rml.DialogError:
            time.sleep(1)
    for attempt in rml.retry(effect=False):
        with attempt:
            order_right("pay-1")


@stamina.retry(on=requests.ConnectionError)
def reads() -> object:
    return requests.get(URL)


def works_off(queue, orders) -> None:
    while True:
        order = queue.get()
        if order is None:
            break
        try:
            requests.post(URL, json=order)  # expect: RML101
        except requests.ConnectionError:
            print("later")
    for order in orders:
        try:
            requests.post(URL, json=order)  # expect: RML101
            if order == "last":
                return
        except requests.ConnectionError:
            continue
    for number in range(3):
        try:
            requests.post(URL, json=number)  # expect: RML101
        except requests.ConnectionError:
            print("the next one")
    while True:
        try:
            order = queue.get()
            if order is None:
                break
            requests.post(URL, json=order)  # expect: RML101
            if order.is_last:
                return
        except requests.ConnectionError:
            print("later")
    while True:
        try:
            requests.post(URL)  # expect: RML101
        except requests.ConnectionError:
            print("whatever")
        break
    while True:
        try:
            return requests.post(URL)  # expect: RML101
        except requests.ConnectionError:
            raise SystemExit(1) from None


async def by_async(session: aiohttp.ClientSession) -> object:
    while True:
        try:
            async with session.post(URL) as answer:  # expect: RML102
                if answer.ok:
                    return answer
        except aiohttp.ClientError:
            await asyncio.sleep(1)


def by_batch(orders) -> None:
    while True:
        try:
            for order in orders:
                requests.post(URL, json=order)  # expect: RML102
            return
        except requests.ConnectionError:
            time.sleep(1)


def by_else() -> None:
    for _ in range(3):
        try:
            requests.post(URL)  # expect: RML102
        except requests.ConnectionError:
            time.sleep(1)
        else:
            break
