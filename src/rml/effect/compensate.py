"""How an effect is undone: by another effect, once, within bounds, and never in silence.

A compensator is a protected handler of its own. Its key is the id of the effect that it undoes, so
however many processes try, that effect is undone at most once without a decision. It corrects that
effect, so what never happened, or may not have, is not undone. When its bound is reached its
failure is history: an incident opens in the commit that records it.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final, TypeVar

import attrs

from rml.config import current_ledger
from rml.effect.call import current_effect
from rml.effect.decide import ending_of
from rml.effect.definition import protected_by, seconds
from rml.effect.errors import CompensationFailedError, DefinitionError
from rml.effect.idempotent import idempotent
from rml.effect.operation import LEASE_SECONDS, Attempt
from rml.effect.spelling import spelled
from rml.effect.state import Effect
from rml.ledger.ledger import Ledger
from rml.tag import shown
from rml.world import World

R = TypeVar("R")

# Of one compensation, whoever makes them: what was refused three times is no hiccup.
ATTEMPTS: Final = 3
# After the first of them, in seconds: a half-undone conversation is not to stand for longer without
# anybody knowing. The author of the worlds, beside the series, lets a rollback take no longer.
TIMEOUT_SECONDS: Final = 30.0
# The attribute by which a compensator is recognised, also through decorators that use wraps.
_COMPENSATES: Final = "__rml_compensates__"


@spelled('@rml.compensator("hotel.cancel")')
def compensator(
    operation: str,
    *,
    attempts: int = ATTEMPTS,
    timeout: float | timedelta = TIMEOUT_SECONDS,
    world: World | str = World.RML3,
    provider_idempotent: bool = False,
    reconcile: Callable[[Effect], Any] | None = None,
    lease: float | timedelta = LEASE_SECONDS,
    ledger: Ledger | None = None,
) -> Callable[[Callable[[Effect], R]], Callable[[Effect], R]]:
    """Make a function undo an effect, at most once without a decision.

    The function takes the effect that is to be undone, an :class:`rml.Effect`. In a saga its
    ``result`` is the value that the handler returned; where that cannot be given again it is
    ``None``, and ``effect.why_not`` says why. Its ``key`` and ``facts`` are always there.

    It is protected like a handler of ``@rml.idempotent``, and the same rules hold for what it may
    raise. An attempt that certainly did nothing may be followed by another, in a later call. The
    last one allowed, and one that asks for ``start-compensation``, ends as RML3.

    Args:
        operation: the name under which it is recorded, such as ``hotel.cancel``. A saga that was
            begun by an earlier version of the program finds its compensators by their names.
        attempts: how many may be made in all, whichever processes make them.
        timeout: seconds after the first attempt; one that fails later is the last.
        world: where the undoing takes place.
        provider_idempotent: as for ``@rml.idempotent``.
        reconcile: as for ``@rml.idempotent``; it is given the effect of undoing.
        lease: as for ``@rml.idempotent``.
        ledger: as for ``@rml.idempotent``.

    Raises:
        DefinitionError: it cannot be kept safe as it is defined.
    """
    if type(attempts) is not int or attempts < 1:
        raise DefinitionError(f"attempts must be an integer from 1, not {shown(attempts)}")
    bound = _Bound(operation, attempts, seconds("timeout", timeout, 0), provider_idempotent, ledger)

    def decorate(function: Callable[[Effect], R]) -> Callable[[Effect], R]:
        step = _only_parameter(operation, function)
        protect = idempotent(
            operation,
            key=f"{step}.id",
            corrects=f"{step}.id",
            exclude=(step,),
            world=world,
            provider_idempotent=provider_idempotent,
            reconcile=reconcile,
            lease=lease,
            ledger=ledger,
        )
        protected = protect(bound.around(function))
        setattr(protected, _COMPENSATES, True)
        return protected

    return decorate


def is_compensator(function: object) -> bool:
    """Say whether a function is a compensator, perhaps with decorators around it."""
    return hasattr(function, _COMPENSATES) and protected_by(function) is not None


def _only_parameter(operation: str, function: object) -> str:
    try:
        parameters = list(inspect.signature(function).parameters.values())  # type: ignore[arg-type]
    except (TypeError, ValueError):
        parameters = []
    if len(parameters) == 1 and parameters[0].kind in (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    ):
        return parameters[0].name
    raise DefinitionError(
        f"compensator {shown(operation)} must be a function of one parameter, the rml.Effect that "
        "is to be undone"
    )


@attrs.frozen
class _Bound:
    """How often and how long it may be tried, and what its last failure becomes."""

    operation: str
    attempts: int
    timeout: float
    provider_idempotent: bool
    ledger: Ledger | None

    def around(self, function: Callable[[Effect], Any]) -> Callable[[Effect], Any]:
        """Return the function, whose last failure is history."""
        if inspect.iscoroutinefunction(function):
            threads = importlib.import_module("rml.threads")

            @functools.wraps(function)
            async def bounded_async(step: Effect) -> Any:
                try:
                    return await function(step)
                except Exception as error:
                    failure = await threads.run(self.final, error, step)
                    if failure is None:
                        raise
                    raise failure from error

            return bounded_async

        @functools.wraps(function)
        def bounded(step: Effect) -> Any:
            try:
                return function(step)
            except Exception as error:
                failure = self.final(error, step)
                if failure is None:
                    raise
                raise failure from error

        return bounded

    def final(self, error: Exception, step: Effect) -> CompensationFailedError | None:
        """Return what a failure is if no other attempt is to follow; ``None`` if one may."""
        attempt = current_effect()
        ending = ending_of(
            error, provider_idempotent=self.provider_idempotent, sent=attempt.may_have_sent(error)
        )
        if ending.kind not in _REPEATABLE and ending.kind != "effect.failed":
            return (
                None  # it happened, is history by itself, or is in doubt and waits for a decision
            )
        if ending.kind in _REPEATABLE and not self._is_last(attempt):
            return None
        certain = ending.kind == "effect.not_done" and not attempt.uncertain
        return CompensationFailedError(
            f"{self.operation!r} did not undo {step.operation!r} for key {step.key!r} in "
            f"{attempt.attempt} of {self.attempts} attempts",
            details={"effect": step.id, "operation": step.operation, "key": step.key},
            happened=False if certain else None,
        )

    def _is_last(self, attempt: Attempt) -> bool:
        if attempt.attempt >= self.attempts:
            return True
        ledger = current_ledger(self.ledger)
        (first,) = ledger.entries(effect=attempt.id, limit=1)
        return (ledger.clock.now() - first.recorded_at).total_seconds() >= self.timeout


_REPEATABLE: Final = frozenset({"effect.not_done", "effect.retrying"})
