"""What an exception says about an effect: it did not happen, it did, or nobody knows.

A failed call is certainly not done only if no request can have left, or if the other side answered
that it refused. A timeout while reading, a reset, a server error say nothing: the charge may have
been made before the answer was lost. So the answer is None, unknown, unless a rule is certain:

* Our own errors say it themselves (`happened`), or the error of ours that they were raised from;
  else an RML1 error means that nothing left, and others are judged by what they were raised from.
* Clients' exceptions are judged by rules, found by module and class name over the method resolution
  order, so that no client is imported to know its errors. The most specific class decides, a user's
  rule before a built-in one.
* A wrapper is judged by what it wraps where it names it for certain (urllib3's `reason`, the error
  that `requests` and the Stripe client were handling). Any other chain proves nothing.
* A refusal is proof for one request alone. If the traceback shows that a retry or a redirect sent
  another before, the answer is None. So it is if anything else behind the exception, linked or
  hidden, leaves it open: a timeout that was being handled says that another request was sent. Only
  what somebody stated outright stands over what it was raised from. What was being handled further
  out than the exception was caught belongs to another call, and counts for nothing.
* A group names who failed and not who succeeded, so it proves nothing.

A loop of the caller's own cannot be seen: an operation under `@idempotent` should make one request,
or say itself what happened.
"""

import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, Final, cast

import attrs

from rml.attempt import (
    is_single_stripe_request,
    was_caught_by_client,
    was_caught_outside,
    was_sent_before,
)
from rml.cause import CAUSE_DEPTH_MAX, CHAIN_MAX, Tagged, is_traceback_carrier
from rml.world import World

Rule = bool | Callable[[Any], bool | None] | None
"""True, False, None for unknown, or a function from the exception to one of them."""

_own_rules: dict[str, Rule] = {}
"""The users' rules, by dotted class name."""


def happened_of(exc: BaseException) -> bool | None:
    """Return whether the effect that failed with this exception took place; None if unknown.

    Never raises and imports nothing. Ask where the exception was caught: its traceback is evidence.
    """
    verdict = _alone(exc)
    if verdict is False and not _is_stated(exc):
        others = islice(_behind(exc), CHAIN_MAX + 1)
        for count, other in enumerate(others):
            if count >= CHAIN_MAX or _alone(other) is not False:
                return None
    return verdict


def add_rule(name: str, rule: Rule) -> None:
    """Follow a user's rule from now on for the class of this dotted name."""
    _own_rules[name] = rule


def _alone(exc: object, depth: int = CAUSE_DEPTH_MAX) -> bool | None:
    """Return what an exception says by itself, whatever else led to it."""
    if depth <= 0 or not isinstance(exc, BaseException):
        return None
    verdict = _judge_ours(exc, depth) if isinstance(exc, Tagged) else _judge_theirs(exc, depth)
    return None if verdict is False and was_sent_before(exc) else verdict


def _behind(exc: BaseException) -> Iterator[BaseException]:
    """Yield what else led to an exception and is evidence, each once.

    What a client caught inside itself is explained by what it raised instead, and a group by its
    members.
    """
    seen = {id(exc)}
    waiting = deque(_links(exc))
    while waiting:
        node = waiting.popleft()
        if id(node) in seen or was_caught_outside(node, exc):
            continue
        seen.add(id(node))
        gathered = isinstance(node, BaseExceptionGroup) and node.__traceback__ is None
        if not gathered and not was_caught_by_client(node):
            yield node
        if not (isinstance(node, Tagged) and node.tags.get("happened") is False):
            waiting.extend(_links(node))


def _links(exc: BaseException) -> list[BaseException]:
    linked = [e for e in (exc.__cause__, exc.__context__) if e is not None]
    if isinstance(exc, BaseExceptionGroup):
        linked += exc.exceptions
    if isinstance(exc, Tagged):  # it brought its causes along, as values
        linked = [e for e in linked if not is_traceback_carrier(e)]
    return linked


def _is_stated(exc: BaseException) -> bool:
    return isinstance(exc, Tagged) and _stated_by(exc) is not None


def _stated_by(error: Tagged) -> Tagged | None:
    """Return the nearest error of ours that says what happened, over what each was raised from."""
    node: object = error
    for _ in range(CAUSE_DEPTH_MAX):
        if not isinstance(node, Tagged):
            break
        if "happened" in node.tags:
            return node
        node = cast("BaseException", node).__cause__
    return None


def _judge_ours(error: BaseException, depth: int) -> bool | None:
    assert isinstance(error, Tagged)
    stated = _stated_by(error)
    if stated is not None:
        happened: bool | None = stated.tags["happened"]
        return happened
    if error.world is World.RML1:
        return False
    if isinstance(error.__cause__, Tagged):
        return None
    return _alone(error.__cause__, depth - 1)


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
        return _alone(inner, depth) if isinstance(inner, BaseException) else self.otherwise


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
