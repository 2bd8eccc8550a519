"""RML108: broad handlers that drop what an effect, a protected handler or rml raises."""

import logging
import sys
from contextlib import suppress

import requests
import rml

log = logging.getLogger(__name__)
ledger = rml.Ledger("payments.db")


@rml.idempotent("payment.charge", key="payment_id")
def charge(payment_id: str) -> None:
    try:
        requests.post("https://gateway.example")
    except Exception:  # expect: RML108
        log.exception("it is recorded as done")


def swallows() -> None:
    try:
        charge("pay-1")
    except:  # expect: RML108
        pass
    try:
        charge("pay-1")
    except Exception as error:  # expect: RML108
        log.warning("failed: %s", error)
    try:
        charge("pay-1")
    except rml.RmlError as error:  # expect: RML108
        print(f"failed: {error}")
    try:
        charge("pay-1")
    except (ValueError, BaseException):  # expect: RML108
        result = None
    try:
        ledger.append("shop.note", world="RML1")
    except Exception:  # expect: RML108
        result = None
    with suppress(Exception):  # expect: RML108
        rml.current_ledger().append("shop.note", world="RML1")
    try:
        charge("pay-1")
    except rml.DialogError:
        log.info("later")
    except Exception:  # expect: RML108
        log.info("whatever")
    try:
        charge("pay-1")
    except rml.ClosedError:
        log.info("no")
    except rml.RmlError:  # expect: RML108
        log.info("whatever")
    try:
        charge("pay-1")
    except rml.HistoryError as error:
        rml.escalate(error)
    except Exception:  # expect: RML108
        log.info("a lost answer, too")
    try:
        settle(1)
    except Exception:  # expect: RML108
        log.info("whatever")


def settle(amount: int) -> None:
    if amount:
        raise rml.HistoryError("settled")


def settles_quietly() -> None:
    try:
        raise rml.HistoryError("settled")
    except rml.HistoryError as error:
        rml.escalate(error)


def does_not(results: list, future) -> object:
    try:
        charge("pay-1")
    except Exception:
        log.exception("and up it goes")
        raise
    try:
        charge("pay-1")
    except Exception as error:
        rml.escalate(error)
    try:
        charge("pay-1")
    except Exception as error:
        future.set_exception(error)
    try:
        charge("pay-1")
    except Exception as error:
        return rml.to_problem(error)
    try:
        charge("pay-1")
    except Exception:
        sys.exit(1)
    try:
        charge("pay-1")
    except rml.DialogError:
        log.info("later")
    try:
        charge("pay-1")
    except rml.RmlError:
        raise
    except Exception:
        log.info("a bug of ours")
    try:
        charge("pay-1")
    except rml.HistoryError as error:
        rml.escalate(error)
    except rml.RmlError:
        log.info("no history, which went the other way")
    try:
        settles_quietly()
    except Exception:
        log.info("it does not come out of there")
    try:
        int("7")
    except Exception:
        log.info("nothing of rml in there")
    try:
        with rml.boundary("checkout"):
            charge("pay-1")
    except Exception:
        log.info("it is recorded")
    try:
        pass
    except Exception:
        charge("pay-1")

    def later() -> None:
        charge("pay-1")

    try:
        results.append(later)
    except Exception:
        log.info("it was not called here")
