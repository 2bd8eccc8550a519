"""When the same call may be made again, and who says so: the error does, by its action.

Again is called what raised an RML2 error that asks for ``retry-with-backoff``, and nothing else:

* Not RML3, nor what wraps it: the widest world wins.
* Not a stranger's exception. A verdict says whether an effect happened, and not whether the next
  call would fare better: a declined card is certainly not charged, and is declined again. Who knows
  that it would, raises an error of theirs from it.
* Not what is known to have happened, and not what left an effect in doubt: that ends in an
  :class:`InDoubtError` at once.

The waiting and counting are those of stamina, and so is its switch for tests,
``stamina.set_testing(True, attempts=3)``. What was attempted is in the ledger already: every
attempt of a protected handler has its intent and its outcome there.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import Any, Final, ParamSpec, TypeVar

import attrs

from rml.effect.definition import RETRIED, protected_by, seconds
from rml.effect.errors import DefinitionError, InDoubtError
from rml.effect.spelling import spelled
from rml.error import MissingExtraError, RmlError
from rml.incident.signals.marks import incident_of
from rml.tag import shown
from rml.verdict import happened_of
from rml.world import Action, World

P = ParamSpec("P")
R = TypeVar("R")

# Of one call with all its repetitions, unless it says otherwise: how many, and for how long.
ATTEMPTS: Final = 10
TIMEOUT_SECONDS: Final = 45.0


@spelled("@rml.retry()")
def retry(
    *,
    attempts: int | None = ATTEMPTS,
    timeout: float | timedelta | None = TIMEOUT_SECONDS,
    wait_initial: float | timedelta = 0.1,
    wait_max: float | timedelta = 5.0,
    wait_jitter: float | timedelta = 1.0,
    effect: bool = True,
) -> Retry:
    """Call again what raises an RML2 error that asks for ``retry-with-backoff``.

    Use it as a decorator of a ``def`` or ``async def``, above ``@rml.idempotent``; or around a
    block: ``for attempt in rml.retry(effect=False):`` and in it ``with attempt:``.

    A function is taken only if repeating it repeats no effect: it is protected by
    ``@rml.idempotent``, ``@rml.saga`` or ``@rml.compensator``, or it has no effect of its own. A
    block cannot be looked into, so it always has to say so.

    Errors of RML3 and strangers' exceptions pass at once. So does an error whose ``retry_after``
    lies beyond the timeout, because an earlier call is not wanted and a later one not waited for.
    When all attempts have failed, the last error passes.

    Args:
        attempts: calls in all; ``None`` for as many as the timeout lets through.
        timeout: seconds after which no further attempt is made; ``None`` for no end.
        wait_initial: seconds before the second attempt. The wait doubles from one to the next.
        wait_max: the longest wait of our own choosing, in seconds. An error's ``retry_after`` is
            obeyed instead, whatever it is.
        wait_jitter: seconds, up to which a random wait is added.
        effect: ``False`` declares that the function or block has no effect of its own: it reads, or
            calls what is protected itself.

    Raises:
        DefinitionError: what is decorated may have an effect and has no key; or a number is out of
            range. Also raised when a block is entered without ``effect=False``.
        MissingExtraError: the extra ``retry`` is not installed.
    """
    if attempts is None and timeout is None:
        raise DefinitionError("a retry without end: give attempts=, timeout= or both")
    if attempts is not None and (type(attempts) is not int or attempts < 1):
        raise DefinitionError(f"attempts must be an integer from 1, or None, not {shown(attempts)}")
    if not isinstance(effect, bool):
        raise DefinitionError(f"effect must be True or False, not {shown(effect)}")
    try:
        importlib.import_module("stamina")
    except ImportError:
        raise MissingExtraError.about("retry") from None
    return Retry(
        attempts=attempts,
        timeout=None if timeout is None else seconds("timeout", timeout, 0.001),
        wait_initial=seconds("wait_initial", wait_initial, 0),
        wait_max=seconds("wait_max", wait_max, 0),
        wait_jitter=seconds("wait_jitter", wait_jitter, 0),
        effect=effect,
    )


def is_retryable(error: BaseException) -> bool:
    """Say whether an error asks for a repetition, and nothing behind it speaks against one."""
    return (
        isinstance(error, RmlError)
        and error.world is World.RML2
        and error.action is Action.RETRY_WITH_BACKOFF
        and error.happened is not True
        and incident_of(error) is None
    )


@attrs.frozen(kw_only=True)
class Retry:
    """How often, for how long and how patiently: what :func:`rml.retry` returns."""

    attempts: int | None
    timeout: float | None
    wait_initial: float
    wait_max: float
    wait_jitter: float
    effect: bool

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Return the function with its retries.

        Raises:
            DefinitionError: repeating it may repeat an effect.
        """
        self._check(function)
        name = functools.partial(_named, function)
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def retried_async(*args: P.args, **kwargs: P.kwargs) -> Any:
                tries = Tries()

                async def attempt() -> Any:
                    with tries.noted():
                        return await function(*args, **kwargs)

                with _doubt_told():
                    return await self._retrying(name(attempt))()

            _mark(retried_async)
            return retried_async  # type: ignore[return-value]

        @functools.wraps(function)
        def retried(*args: P.args, **kwargs: P.kwargs) -> R:
            tries = Tries()

            def attempt() -> R:
                with tries.noted():
                    return function(*args, **kwargs)

            with _doubt_told():
                again: Callable[[], R] = self._retrying(name(attempt))
                return again()

        _mark(retried)
        return retried

    def __iter__(self) -> Iterator[AbstractContextManager[None]]:
        """Yield the attempts at a block, each to be entered by ``with``.

        Raises:
            DefinitionError: it is not declared that the block has no effect of its own.
        """
        self._check_block()
        with _doubt_told():
            yield from self._attempts()

    async def __aiter__(self) -> AsyncIterator[AbstractContextManager[None]]:
        """Yield the attempts at a block of ``async def``, as :meth:`__iter__`."""
        self._check_block()
        with _doubt_told():
            async for attempt in self._attempts():
                yield attempt

    def _retrying(self, attempt: Callable[[], Any]) -> Callable[[], Any]:
        # Decorated anew for each call: stamina's hooks log the arguments of what they retry, and
        # `attempt` has none.
        retrying: Any = importlib.import_module("stamina").retry(**self._options())
        decorated: Callable[[], Any] = retrying(attempt)
        return decorated

    def _attempts(self) -> Any:
        return importlib.import_module("stamina").retry_context(**self._options())

    def _options(self) -> dict[str, Any]:
        """Return what stamina is told for one call, which begins now."""
        own = attrs.asdict(self, filter=lambda field, _: field.name != "effect")
        end = None if self.timeout is None else time.monotonic() + self.timeout
        return {**own, "on": functools.partial(_wait_before_next, end)}

    def _check(self, function: object) -> None:
        name = getattr(function, "__qualname__", shown(function))
        is_function = callable(function) and hasattr(function, "__name__")
        if isinstance(function, type) or not is_function:
            raise DefinitionError(f"@rml.retry must decorate a function, not {name:.80}")
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise DefinitionError(f"{name} yields, so a repetition would give its items again")
        if hasattr(function, RETRIED):
            raise DefinitionError(f"{name} is retried already; its attempts would multiply")
        if self.effect and protected_by(function) is None:
            raise DefinitionError(
                f"{name} may have an effect and has no idempotency key, so a retry may do it "
                "twice: put @rml.idempotent below @rml.retry; or, if it only reads, declare "
                "@rml.retry(effect=False); or do not retry it"
            )

    def _check_block(self) -> None:
        if self.effect:
            raise DefinitionError(
                "a block is retried only if it has no effect of its own: if it reads, or calls "
                "protected handlers alone, declare rml.retry(effect=False)"
            )


@attrs.define
class Tries:
    """Whether all attempts of one call so far certainly did nothing.

    A handler around the call is told by it that the last failure speaks for all of them.
    """

    did_nothing: bool = True

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Surround an attempt; its failure is judged before its repeater is in the traceback."""
        try:
            yield
        except BaseException as error:
            self.did_nothing = self.did_nothing and happened_of(error) is False
            raise


def _mark(function: object) -> None:
    setattr(function, RETRIED, True)


def _named(function: Callable[..., Any], attempt: Callable[[], Any]) -> Callable[[], Any]:
    """Name an attempt as its function is named, for logs and metrics."""
    attempt.__module__ = function.__module__
    attempt.__qualname__ = getattr(function, "__qualname__", "function")
    return attempt


def _wait_before_next(end: float | None, error: BaseException) -> bool | float:
    """Return whether to call again, or after how many seconds the error wants to be."""
    if not is_retryable(error):
        return False
    assert isinstance(error, RmlError)
    wait = error.retry_after
    if wait is None:
        return True
    return wait if end is None or time.monotonic() + wait <= end else False


@contextmanager
def _doubt_told() -> Iterator[None]:
    """Raise an :class:`InDoubtError` in place of what asks for a retry and has left a doubt."""
    try:
        yield
    except RmlError as error:
        incident = incident_of(error)
        if incident is None or error.world is World.RML3:
            raise
        raise InDoubtError(
            f"{error.code} left an effect in doubt, so it is not retried; see {incident}",
            details={"incident": incident},
        ) from error
