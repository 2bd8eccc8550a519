"""RML105 to RML107: history that is retried, dropped, or raised as something smaller."""

import logging
from contextlib import suppress

import backoff
import rml
import stamina
import tenacity
from rml import ClosedError, HistoryError

log = logging.getLogger(__name__)


class Settled(HistoryError):
    """It is settled."""


class Grave(rml.RmlError):
    """Nobody knows."""

    world = rml.World.RML3


class Busy(rml.DialogError):
    """It is busy."""


@stamina.retry(on=HistoryError)  # expect: RML105
def one() -> None: ...


@stamina.retry(on=(Busy, Settled))  # expect: RML105
def two() -> None: ...


@backoff.on_exception(backoff.expo, rml.RmlError)  # expect: RML105
def three() -> None: ...


@tenacity.retry(retry=tenacity.retry_if_exception_type(Grave))  # expect: RML105
def four() -> None: ...


@tenacity.retry
def five() -> None:
    raise Settled  # expect: RML105


@stamina.retry(on=Exception)
def six() -> None:
    raise Settled  # expect: RML105


@stamina.retry(on=Busy)
def retries_dialogs() -> None:
    if one():
        raise Settled
    raise Busy


def seven() -> None:
    while True:
        try:
            if one():
                raise Settled  # expect: RML105
            return
        except Exception:
            log.info("again")


def dropped() -> None:
    try:
        raise HistoryError("settled")
    except Exception:  # expect: RML106
        log.exception("never mind")
    try:
        raise Settled
    except:  # expect: RML106
        pass
    try:
        one()
    except (ValueError, Settled):  # expect: RML106
        pass
    with suppress(rml.RmlError):  # expect: RML106
        raise rml.RmlError("gray", world="RML3")


def smaller() -> None:
    try:
        one()
    except HistoryError as error:
        raise ClosedError("never mind") from error  # expect: RML107
    try:
        one()
    except Settled:
        raise rml.RmlError("again", world="RML2")  # expect: RML107


def goes_on() -> object:
    try:
        raise HistoryError("settled")
    except ValueError:
        pass
    try:
        raise Settled
    except HistoryError as error:
        rml.escalate(error)
    try:
        raise Settled
    except Exception as error:
        return error
    try:
        one()
    except HistoryError:
        raise
    try:
        one()
    except Settled as error:
        raise Grave("worse") from error
    try:
        one()
    except rml.InDoubtError:
        return "we will tell you"
    try:
        raise Busy
    except Exception:
        log.info("a dialog")


@rml.boundary("nightly")
def recorded() -> None:
    raise Settled


def after_a_boundary() -> None:
    try:
        recorded()
    except Settled:
        log.info("it has its incident")
    try:
        with rml.boundary("here"):
            raise Settled
    except Settled:
        log.info("it has its incident")
