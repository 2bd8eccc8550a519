"""RML105, RML106 and RML108: a finally that leaves, and history after which a loop goes on."""

import requests
import rml


@rml.idempotent("leaving.a", key="payment_id")
def charge(payment_id: str) -> None:
    requests.post("https://gateway.example")


def returns() -> object:
    try:
        charge("pay-1")
    finally:
        return "whatever"  # expect: RML108


def returns_from_a_handler() -> object:
    try:
        look()
    except ValueError:
        charge("pay-1")
    finally:
        if look():
            return "whatever"  # expect: RML108


def breaks() -> None:
    for payment_id in ("pay-1", "pay-2"):
        try:
            charge(payment_id)
        finally:
            break  # expect: RML108


def drops_history() -> None:
    try:
        raise rml.HistoryError("settled")
    finally:
        return  # expect: RML106


def leaves_nothing() -> object:
    try:
        charge("pay-1")
    finally:
        for part in look():
            if part:
                break
        later = lambda: look()  # noqa: E731

        def never() -> object:
            return later

    return never


def look() -> list[object]:
    return []


def escalates_and_tries_again() -> None:
    for _ in range(3):
        try:
            charge("pay-1")
            break
        except rml.HistoryError as error:  # expect: RML105
            rml.escalate(error)


def escalates_everything_and_tries_again() -> None:
    while True:
        try:
            return charge("pay-1")
        except Exception as error:  # expect: RML105
            rml.escalate(error)
            continue


def notes_and_tries_again() -> list[Exception]:
    errors: list[Exception] = []
    for _ in range(3):
        try:
            charge("pay-1")
        except rml.HistoryError as error:  # expect: RML105
            errors.append(error)
        else:
            break
    return errors


def escalates_and_leaves() -> None:
    for _ in range(3):
        try:
            return charge("pay-1")
        except rml.HistoryError as error:
            rml.escalate(error)
            return None
        except rml.DialogError:
            continue


def escalates_each() -> None:
    for payment_id in ("pay-1", "pay-2"):
        try:
            charge(payment_id)
        except rml.HistoryError as error:
            rml.escalate(error)
