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
or tell its attempt that one has been sent, or say itself what happened.
"""

import sys
from collections import deque
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import cast

from rml.attempt import was_caught_by_client, was_caught_outside, was_sent_before
from rml.cause import CAUSE_DEPTH_MAX, CHAIN_MAX, Tagged, is_traceback_carrier
from rml.clients import ANSWERS, RULES, Inner, Rule
from rml.world import World

_own_rules: dict[str, Rule] = {}
"""The users' rules, by dotted class name."""


def happened_of(exc: BaseException, *, sent: bool = False) -> bool | None:
    """Return whether the effect that failed with this exception took place; None if unknown.

    Never raises and imports nothing. Ask where the exception was caught: its traceback is evidence.

    Args:
        exc: the exception.
        sent: whether a request had left before the one that failed. Then only what somebody stated
            outright can be False.
    """
    verdict = _alone(exc)
    if verdict is False and not _is_stated(exc):
        if sent:
            return None
        others = islice(_behind(exc), CHAIN_MAX + 1)
        for count, other in enumerate(others):
            if count >= CHAIN_MAX or _alone(other) is not False:
                return None
    return verdict


def never_left(exc: BaseException) -> bool:
    """Return whether a refusal is of a request that the other side never got.

    So it is known of the built-in rules' exceptions alone, and of errors of ours that were raised
    from one and state nothing. What somebody states, or has a rule of their own for, may be what
    the other side has answered.
    """
    node: object = exc
    for _ in range(CAUSE_DEPTH_MAX):
        if isinstance(node, Tagged):
            if "happened" in node.tags:
                return False
            node = cast("BaseException", node).__cause__
            continue
        name, rule = _rule_of(node) if isinstance(node, BaseException) else (None, None)
        if not isinstance(rule, Inner):
            return name is not None and name not in ANSWERS and name not in _own_rules
        try:
            node = rule.find(node)
        except Exception:  # noqa: BLE001 - as `_judge_inner`
            return rule.otherwise is False
        if not isinstance(node, BaseException):
            return rule.otherwise is False
    return False


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
    _, rule = _rule_of(exc)
    return _judge_inner(rule, exc, depth - 1) if isinstance(rule, Inner) else _answer(rule, exc)


def _rule_of(exc: BaseException) -> tuple[str | None, Rule | Inner]:
    """Find the rule for an exception, and the name that it stands under."""
    for klass in type(exc).__mro__:
        for rules in (_own_rules, RULES):
            name = _name_in(rules, klass)
            if name is not None:
                return name, rules[name]
    return None, None


def _answer(rule: Rule, exc: BaseException) -> bool | None:
    if not callable(rule):
        return rule
    try:
        answer = rule(exc)
    except Exception:  # noqa: BLE001 - a rule that cannot tell is no reason to fail here
        return None
    return answer if isinstance(answer, bool) else None


def _name_in(rules: Mapping[str, Rule | Inner], klass: type) -> str | None:
    """Find a class by its dotted name, or by one under which a package above offers it."""
    where = klass.__module__
    while where:
        name = f"{where}.{klass.__qualname__}"
        if name in rules and (where == klass.__module__ or _offers(where, klass)):
            return name
        where = where.rpartition(".")[0]
    return None


def _offers(package: str, klass: type) -> bool:
    try:
        return getattr(sys.modules.get(package), klass.__qualname__, None) is klass
    except Exception:  # noqa: BLE001 - packages may run code to answer this
        return False


def _judge_inner(rule: Inner, exc: BaseException, depth: int) -> bool | None:
    try:
        inner = rule.find(exc)
    except Exception:  # noqa: BLE001 - a wrapper without the attribute names nothing
        return None
    return _alone(inner, depth) if isinstance(inner, BaseException) else rule.otherwise
