"""What an exception says about an effect: it did not happen, it did, or nobody knows.

A failed call is certainly not done only if no request can have left, or if the other side answered
that it refused. A timeout while reading, a reset, a server error say nothing: the charge may have
been made before the answer was lost. So the answer is None, unknown, unless a rule is certain:

* Our own errors say it themselves (`RmlError.happened`); else an RML1 error means that nothing
left.
* Clients' exceptions are judged by rules, found by module and class name over the method resolution
  order, so that no client is imported to know its errors. The most specific class decides, a user's
  rule before a built-in one.
* A wrapper is judged by what it wraps where it names it for certain (urllib3's `reason`, the error
  that `requests` and the Stripe client were handling). Any other chain proves nothing.
* A refusal is proof for one request alone. If the traceback shows that a retry or a redirect sent
another
  before, the answer is None. A loop of the caller's own cannot be seen: an operation under
  `@idempotent` should make one request, or say itself what happened.
* A group names who failed and not who succeeded, so it proves nothing.
"""

import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from rml.attempt import is_single_stripe_request, was_sent_before
from rml.cause import CAUSE_DEPTH_MAX
from rml.error import InvalidInputError, RmlError

__all__ = ["Rule", "happened_of", "register_verdict"]

Rule = bool | Callable[[Any], bool | None] | None
"""True, False, None for unknown, or a function from the exception to one of them."""

_own_rules: dict[str, Rule] = {}
"""The users' rules, by dotted class name."""


def happened_of(exc: BaseException) -> bool | None:
    """Return whether the effect that failed with this exception took place; None if unknown.

    Never raises and imports nothing. Ask where the exception was caught: its traceback is evidence.
    """
    return _judge(exc)


def register_verdict(exception: type[BaseException] | str, rule: Rule) -> None:
    """Say what an exception means for an effect.

    Args:
        exception: the class, or its dotted name (`"stripe.RateLimitError"`) if importing it is not
            wanted here. A name under which a package offers the class will do. Subclasses follow,
            unless they have a rule of their own.
        rule: False if the effect certainly did not happen, True if it did, None if unknown, or a
            function that is given the exception and returns one of these. A function that raises
            leaves it unknown.

    Raises:
        InvalidInputError: `exception` is neither, or `rule` is none of these.
    """
    given: object = exception
    if isinstance(given, str):
        names = given.split(".")
        if len(names) < 2 or not all(name.isidentifier() for name in names):  # noqa: PLR2004
            raise InvalidInputError.about(
                "exception", given, "write its module too, as in 'stripe.CardError'"
            )
        key = given
    elif isinstance(given, type) and issubclass(given, BaseException):
        key = f"{given.__module__}.{given.__qualname__}"
    else:
        raise InvalidInputError.about("exception", given, "pass a class or 'module.Class'")
    if not (rule is None or isinstance(rule, bool) or callable(rule)):
        raise InvalidInputError.about("rule", rule, "pass True, False, None or a function")
    _own_rules[key] = rule


def _judge(exc: object, depth: int = CAUSE_DEPTH_MAX) -> bool | None:
    if depth <= 0 or not isinstance(exc, BaseException):
        return None
    verdict = _judge_ours(exc, depth) if isinstance(exc, RmlError) else _judge_theirs(exc, depth)
    return None if verdict is False and was_sent_before(exc) else verdict


def _judge_ours(error: RmlError, depth: int) -> bool | None:
    happened = error.happened
    if happened is None and not error.has_verdict and not isinstance(error.__cause__, RmlError):
        return _judge(error.__cause__, depth - 1)
    return happened


def _judge_theirs(exc: BaseException, depth: int) -> bool | None:
    for klass in type(exc).__mro__:
        for rules in (_own_rules, _RULES):
            found, rule = _rule_for(klass, rules)
            if not found:
                continue
            if isinstance(rule, _Inner):
                return rule.judge(exc, depth - 1)
            return _answer(rule, exc)
    return None


def _answer(rule: Rule, exc: BaseException) -> bool | None:
    if not callable(rule):
        return rule
    try:
        answer = rule(exc)
    except Exception:  # noqa: BLE001 - a rule that cannot tell is no reason to fail here
        return None
    return answer if isinstance(answer, bool) else None


def _rule_for(klass: type, rules: Mapping[str, "Rule | _Inner"]) -> "tuple[bool, Rule | _Inner]":
    """Find a rule by the class's dotted name, or by one under which a package above offers it."""
    where = klass.__module__
    while where:
        name = f"{where}.{klass.__qualname__}"
        if name in rules and (where == klass.__module__ or _offers(where, klass)):
            return True, rules[name]
        where = where.rpartition(".")[0]
    return False, None


def _offers(package: str, klass: type) -> bool:
    try:
        return getattr(sys.modules.get(package), klass.__qualname__, None) is klass
    except Exception:  # noqa: BLE001 - packages may run code to answer this
        return False


@attrs.frozen
class _Inner:
    """Judge a wrapper by the exception it names; by `otherwise` if it names none."""

    find: Callable[[Any], object]
    otherwise: bool | None = None

    def judge(self, exc: BaseException, depth: int) -> bool | None:
        """Return the verdict of the wrapped exception."""
        try:
            inner = self.find(exc)
        except Exception:  # noqa: BLE001 - a wrapper without the attribute names nothing
            return None
        return _judge(inner, depth) if isinstance(inner, BaseException) else self.otherwise


def _first_argument(exc: Any) -> object:
    return exc.args[0] if exc.args else None


def _last_of_one(exc: Any) -> object:
    """Return the failure behind tenacity's RetryError, if there was one attempt only."""
    last = exc.last_attempt
    return last.exception() if last.attempt_number == 1 else None


def _behind_stripe(exc: Any) -> object:
    return exc.__cause__ if is_single_stripe_request(exc) else None


def _refused_by_stripe(exc: Any) -> bool | None:
    """Read a 400 or 404: refused as invalid, unless because it, or its like, was done before."""
    code = exc.code if isinstance(exc.code, str) else ""
    return None if any(sign in code for sign in _DONE_BEFORE) else False


_DONE_BEFORE: Final = ("already", "exists", "unexpected_state", "in_use", "lock_timeout")
"""Parts of Stripe's error codes that tell of an earlier or a concurrent request."""

# Why each is certain stands at the top; a subclass that is not is listed as None.
_RULES: Final[Mapping[str, Rule | _Inner]] = {
    # Raised while connecting, before there is a connection to write to.
    "builtins.ConnectionRefusedError": False,
    "socket.gaierror": False,
    "ssl.SSLCertVerificationError": False,
    "urllib.error.URLError": _Inner(lambda exc: exc.reason),
    "urllib.error.HTTPError": None,
    "tenacity.RetryError": _Inner(_last_of_one),
    **dict.fromkeys(
        (
            f"{package}.{name}"
            for package in ("httpx", "httpcore")
            for name in ("ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol")
        ),
        False,
    ),
    "httpx.InvalidURL": False,
    "urllib3.exceptions.NewConnectionError": False,
    "urllib3.exceptions.ConnectTimeoutError": False,
    "urllib3.exceptions.EmptyPoolError": False,
    "urllib3.exceptions.ClosedPoolError": False,
    "urllib3.exceptions.LocationValueError": False,
    "urllib3.exceptions.MaxRetryError": _Inner(lambda exc: exc.reason),
    "urllib3.exceptions.ProxyError": _Inner(lambda exc: exc.original_error),
    "urllib3.exceptions.SSLError": _Inner(_first_argument),
    "requests.exceptions.ConnectionError": _Inner(_first_argument),
    "requests.exceptions.ConnectTimeout": _Inner(_first_argument, otherwise=False),
    "requests.exceptions.InvalidHeader": False,
    "requests.exceptions.InvalidSchema": False,
    "requests.exceptions.InvalidURL": False,
    "requests.exceptions.MissingSchema": False,
    "requests.exceptions.URLRequired": False,
    "aiohttp.client_exceptions.ClientConnectorError": False,
    "aiohttp.client_exceptions.ConnectionTimeoutError": False,
    "aiohttp.client_exceptions.InvalidURL": False,
    # Refused by the endpoint itself, whose answer belongs to the idempotency key.
    "stripe.CardError": False,
    "stripe.InvalidRequestError": _refused_by_stripe,
    # Refused before the endpoint; every retry carried the same credentials.
    "stripe.AuthenticationError": False,
    "stripe.PermissionError": False,
    "stripe.APIConnectionError": _Inner(_behind_stripe),
    # Refused before the endpoint, which says nothing of a try before it: overload brings timeouts
    # first. With the client's own retries off, register False.
    "stripe.RateLimitError": None,
}
"""What is known of the standard library and of well-known clients."""
