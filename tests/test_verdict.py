"""How a verdict is found: rules, chains, retries. What clients raise is met in `tests/verdicts`."""

import asyncio
import pickle
import socket
import ssl
import subprocess
import sys
import types
from asyncio import CancelledError
from collections.abc import Callable
from typing import Any, ClassVar

import aiohttp
import httpx
import pytest
import requests
import urllib3
from hostile import failure

from rml.cause import CHAIN_MAX
from rml.error import ClosedError, DialogError, HistoryError, InvalidInputError, RmlError
from rml.verdict import happened_of, register_verdict

# ------------------------------------------------------------------------------ other rules


@pytest.mark.parametrize(
    ("error", "happened"),
    [
        (ConnectionRefusedError(), False),
        (socket.gaierror(), False),
        (ssl.SSLCertVerificationError(), False),
        (ssl.SSLError(), None),
        (TimeoutError(), None),
        (ConnectionResetError(), None),
        (BrokenPipeError(), None),
        (OSError(), None),
        (ValueError(), None),
        (asyncio.CancelledError(), None),
        (KeyboardInterrupt(), None),
        (httpx.PoolTimeout("x"), False),
        (httpx.ConnectTimeout("x"), False),
        (httpx.WriteTimeout("x"), None),
        (httpx.ReadError("x"), None),
        (requests.ConnectTimeout("x"), False),
        (requests.ConnectionError("x"), None),
        (requests.exceptions.ProxyError("x"), None),
        (aiohttp.ConnectionTimeoutError(), False),
        (aiohttp.SocketTimeoutError(), None),
        (urllib3.exceptions.ProxyError("x", ConnectionRefusedError()), False),
        (urllib3.exceptions.SSLError(ssl.SSLCertVerificationError()), False),
        (ClosedError(), False),
        (ClosedError(happened=None), None),
        (DialogError(happened=True), True),
        (InvalidInputError(), None),
    ],
    ids=lambda value: repr(type(value)) if isinstance(value, BaseException) else None,
)
def test_single_exceptions(error: BaseException, happened: object) -> None:
    """Without a traceback, as a test or another process has them."""
    assert happened_of(error) is happened


def test_a_group_proves_nothing() -> None:
    """It names who failed; a sibling may have succeeded."""
    assert happened_of(ExceptionGroup("x", [ConnectionRefusedError()])) is None


def _raised_from(error: BaseException, cause: BaseException | None) -> BaseException:
    try:
        raise error from cause
    except type(error) as caught:
        return caught


def test_an_error_of_ours_is_judged_by_what_it_was_raised_from() -> None:
    """Unless it says itself; and a mere context proves nothing."""
    refusal = ConnectionRefusedError()
    assert happened_of(_raised_from(DialogError(), refusal)) is False
    assert happened_of(_raised_from(DialogError(happened=None), refusal)) is None
    assert happened_of(_raised_from(HistoryError(), TimeoutError())) is None
    assert happened_of(_raised_from(DialogError(), None)) is None


def test_a_strangers_chain_proves_nothing() -> None:
    """A wrapper nobody knows may have tried before."""
    assert happened_of(_raised_from(RuntimeError(), ConnectionRefusedError())) is None


def test_cycles_end() -> None:
    """A wrapper around itself."""
    error = urllib3.exceptions.MaxRetryError(None, "/", None)  # type: ignore[arg-type]
    error.reason = error
    assert happened_of(error) is None


# ------------------------------------------------------------------------------ retrying packages


def _tenacity(attempts: int) -> Callable[[Callable[[], None]], None]:
    """A stand-in for tenacity's loop, under its module name and with its state."""
    module = types.ModuleType("tenacity")
    source = """
def call(function):
    for retry_state.attempt_number in range(1, attempts + 1):
        try:
            return function()
        except Exception:
            if retry_state.attempt_number == attempts:
                raise
"""
    source = source.replace("def call(function):", "def call(function):\n    retry_state = State()")
    module.__dict__.update(State=types.SimpleNamespace, attempts=attempts)
    exec(compile(source, "tenacity", "exec"), module.__dict__)
    return module.__dict__["call"]  # type: ignore[no-any-return]


@pytest.mark.parametrize(("attempts", "happened"), [(1, False), (2, None)])
def test_a_refusal_of_a_second_attempt_proves_nothing(attempts: int, happened: object) -> None:
    """The first may have been lost on its way back; that also holds for errors of our own."""

    def refuse() -> None:
        raise ConnectionRefusedError

    def decline() -> None:
        raise DialogError(happened=False)

    for function in (refuse, decline):
        assert happened_of(failure(_tenacity(attempts), function)) is happened


def test_a_retry_package_without_readable_state_proves_nothing() -> None:
    """Its loop may have gone round."""
    scope: dict[str, Any] = {"__name__": "backoff._sync"}
    exec("def call(function): function()", scope)

    def refuse() -> None:
        raise ConnectionRefusedError

    assert happened_of(failure(scope["call"], refuse)) is None


@pytest.mark.parametrize(("attempts", "happened"), [(1, False), (3, None)])
def test_tenacitys_wrapper_is_judged_after_a_single_attempt(
    attempts: int, happened: object
) -> None:
    """It shows the last attempt only."""
    last = types.SimpleNamespace(attempt_number=attempts, exception=ConnectionRefusedError)
    kind = type("RetryError", (Exception,), {"__module__": "tenacity", "last_attempt": last})
    assert happened_of(kind()) is happened


def test_a_runaway_recursion_is_judged_with_caution() -> None:
    """Nobody reads a traceback of thousands of frames to the end."""

    def dive(depth: int) -> None:
        if depth == 0:
            raise ConnectionRefusedError
        dive(depth - 1)

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10_000)
    try:
        error = failure(dive, 3_000)
    finally:
        sys.setrecursionlimit(limit)
    assert happened_of(error) is None


# ------------------------------------------------------------------------------ users' rules


@pytest.fixture
def rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules that end with the test."""
    monkeypatch.setattr("rml.judgement._own_rules", {})


class BankError(Exception):
    """A user's client."""

    status: ClassVar[object] = "refused"


class BankDownError(BankError):
    """One of its kinds."""


@pytest.mark.usefixtures("rules")
def test_a_rule_holds_for_a_class_and_what_derives_from_it() -> None:
    """Until a class has one of its own."""
    register_verdict(BankError, False)
    assert happened_of(BankDownError()) is False
    register_verdict(f"{__name__}.BankDownError", None)
    assert (happened_of(BankDownError()), happened_of(BankError())) == (None, False)


@pytest.mark.usefixtures("rules")
def test_a_rule_may_be_a_function() -> None:
    """What is no verdict, and what fails, is unknown."""
    answers: dict[object, Any] = {"refused": False, "made": True, "odd": "maybe"}
    register_verdict(BankError, lambda error: answers[error.status])
    verdicts = []
    for status in ("refused", "made", "odd", "never heard of"):
        error = BankError()
        error.status = status  # type: ignore[misc]
        verdicts.append(happened_of(error))
    assert verdicts == [False, True, None, None]


@pytest.mark.usefixtures("rules")
def test_a_package_that_fails_to_answer_offers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking a package for a name may run its code."""
    package = types.ModuleType("bank")
    package.__getattr__ = lambda name: 1 / 0  # type: ignore[method-assign]
    monkeypatch.setitem(sys.modules, "bank", package)
    register_verdict("bank.DownError", False)
    kind = type("DownError", (Exception,), {"__module__": "bank._errors"})
    assert happened_of(kind()) is None


def test_a_wrapper_that_names_nothing_proves_nothing() -> None:
    """A class of a known name may lack what other versions have."""
    kind = type("RetryError", (Exception,), {"__module__": "tenacity"})
    assert happened_of(kind()) is None


@pytest.mark.parametrize(
    ("exception", "rule", "name"),
    [
        ("CardError", False, "exception"),
        ("stripe.", False, "exception"),
        ("", False, "exception"),
        (7, False, "exception"),
        (int, False, "exception"),
        (BankError, "no", "rule"),
        (BankError, 0, "rule"),
    ],
    ids=repr,
)
def test_a_wrong_registration_is_refused(exception: Any, rule: Any, name: str) -> None:
    """By the name of the argument."""
    with pytest.raises(InvalidInputError, match=f"{name} is .*; (pass|write)"):
        register_verdict(exception, rule)


def test_judging_imports_no_client() -> None:
    """The rules know their classes by name."""
    code = (
        "import sys; from rml.verdict import happened_of; happened_of(TimeoutError());"
        "clients = {'aiohttp', 'botocore', 'grpc', 'httpx', 'psycopg', 'requests', 'smtplib'};"
        "print((clients | {'ssl', 'stripe', 'tenacity', 'urllib3'}) & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_families_are_judged_without_rules() -> None:
    """Each by itself."""
    kinds: list[type[RmlError]] = [ClosedError, DialogError, HistoryError, RmlError]
    assert [happened_of(kind()) for kind in kinds] == [False, None, None, None]


# ------------------------------------------------------------------------------ what was handled


def _handling(first: BaseException, then: BaseException) -> BaseException:
    """Return `then` as raised by a second try, made while the first one's failure is handled."""

    def handler() -> None:
        try:
            raise first
        except type(first):
            raise then  # noqa: B904 - it must be seen without being named

    try:
        handler()
    except type(then) as error:
        return error
    raise AssertionError("nothing was raised")


def test_a_refusal_does_not_settle_the_timeout_that_was_being_handled() -> None:
    """The first request may have charged; that the second never left says nothing about it."""
    assert happened_of(_handling(TimeoutError(), ConnectionRefusedError())) is None
    assert happened_of(_handling(CancelledError(), ConnectionRefusedError())) is None
    assert happened_of(_handling(DialogError(), ConnectionRefusedError())) is None
    assert happened_of(_raised_from(ConnectionRefusedError(), TimeoutError())) is None


def test_a_hidden_timeout_is_evidence_too() -> None:
    """`from None` hides it from readers only, and it may stand further back."""
    middle = _handling(TimeoutError(), ConnectionRefusedError())
    hidden = _handling(middle, ConnectionRefusedError())
    hidden.__suppress_context__ = True
    assert happened_of(hidden) is None
    assert happened_of(_handling(ExceptionGroup("x", [TimeoutError()]), DialogError())) is None


def test_two_refusals_are_a_refusal() -> None:
    """Neither request left."""
    assert happened_of(_handling(ConnectionRefusedError(), ConnectionRefusedError())) is False
    assert happened_of(_handling(ConnectionRefusedError(), ClosedError())) is False


def test_a_local_error_does_not_settle_what_it_was_raised_from() -> None:
    """That a class is of the closed world is no statement about the request behind it."""
    for error in (
        _raised_from(ClosedError(), TimeoutError()),
        _handling(TimeoutError(), ClosedError()),
        _raised_from(ClosedError(), _handling(TimeoutError(), ConnectionRefusedError())),
    ):
        assert isinstance(error, ClosedError)
        assert happened_of(error) is error.happened is None
        assert happened_of(pickle.loads(pickle.dumps(error))) is None
        assert happened_of(RmlError.from_dict(error.to_dict())) is None


class DeclinedError(DialogError):
    """The bank said no."""

    happened = False


def test_a_statement_stands_over_what_it_was_raised_from() -> None:
    """Whoever states it has looked; be it in the class, or one link further down."""
    stated = _raised_from(ClosedError(happened=False), TimeoutError())
    assert happened_of(stated) is False
    assert happened_of(_handling(TimeoutError(), DeclinedError())) is False
    assert happened_of(_raised_from(DialogError(), stated)) is False
    assert happened_of(_handling(stated, ConnectionRefusedError())) is False


def test_what_was_handled_outside_belongs_to_another_call() -> None:
    """A caller that looks for another way after an error of its own is no earlier request."""
    caught: list[bool | None] = []

    def call(error: BaseException) -> None:
        try:
            raise error
        except type(error) as failed:
            caught.append(happened_of(failed))

    try:
        raise KeyError("cache")
    except KeyError:
        call(ConnectionRefusedError())
        call(ClosedError())
    assert caught == [False, False]


def test_an_endless_chain_proves_nothing() -> None:
    """Nobody reads it to its end."""
    error = ConnectionRefusedError()
    for _ in range(CHAIN_MAX + 2):
        following = ConnectionRefusedError()
        following.__context__ = error
        error = following
    assert happened_of(error) is None
