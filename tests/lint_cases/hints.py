"""RML104: errors that ask for a retry of an effect without a key."""

import requests
import rml
from rml import Action, DialogError

URL = "https://gateway.example"


class Timeout(rml.DialogError):
    """It took too long."""


class Slow(Timeout):
    """It took longer."""


class Refused(rml.DialogError):
    """It will not do it."""

    action = rml.Action.START_COMPENSATION


class Unreachable(rml.DialogError):
    """It was not reached."""

    happened = False


def unprotected(error_class) -> None:
    try:
        requests.post(URL)  # expect: RML101
    except requests.Timeout as error:
        raise Timeout from error  # expect: RML104
    except requests.TooManyRedirects:
        raise Slow("too far")  # expect: RML104
    except requests.HTTPError:
        raise rml.ClosedError("x", action=Action.RETRY_WITH_BACKOFF)  # expect: RML104
    except requests.URLRequired:
        raise DialogError("x", action="retry-with-backoff")  # expect: RML104
    except requests.ConnectTimeout as error:
        raise Unreachable from error
    except requests.ConnectionError as error:
        raise Timeout(happened=False) from error
    except KeyError:
        raise Refused
    except ValueError:
        raise DialogError("x", action=rml.Action.START_COMPENSATION)
    except TypeError:
        raise error_class("x")


@rml.idempotent("payment.charge", key="payment_id")
def protected(payment_id: str) -> None:
    try:
        requests.post(URL)
    except requests.Timeout as error:
        raise Timeout from error


def reads() -> object:
    try:
        return requests.get(URL)
    except requests.Timeout as error:
        raise Timeout from error
