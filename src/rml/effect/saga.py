"""Effects that hold together: all of them happen, or those that happened are undone, newest first.

A saga is a function that calls protected handlers. What it begins right inside itself is a step.
The function may be run again, since its steps are not: those that are done give their values again.
When it asks for compensation, what has happened is undone by the compensators that were named
beforehand. All of that is in the ledger and nowhere else, so that another process can go on.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import typing
import warnings
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, ParamSpec, TypeVar

import attrs

from rml.cause import type_name
from rml.codec import DecodingError, EncodingError
from rml.config import current_ledger
from rml.context import surrounded
from rml.effect.call import Call
from rml.effect.compensate import is_compensator
from rml.effect.definition import PROTECTED, define, options_of, protected_by, seconds
from rml.effect.errors import DefinitionError, InFlightError
from rml.effect.operation import LEASE_SECONDS, Operation, ask, promise
from rml.effect.request import Arguments, binder
from rml.effect.saga_body import is_inside
from rml.effect.saga_run import Definition, Given, Run
from rml.effect.saga_script import conduct, conduct_async, script
from rml.effect.saga_state import PREFIX, Saga, SagaState, fold_saga
from rml.effect.spelling import spelled
from rml.effect.state import Effect
from rml.effect.values import classes_in, from_typed, to_typed
from rml.error import InvalidInputError, RmlError
from rml.ledger.entry import check_text
from rml.ledger.ledger import Ledger
from rml.tag import shown
from rml.world import World

P = ParamSpec("P")
R = TypeVar("R")

# The attribute by which a saga is recognised, also through decorators that use functools.wraps.
_IS_SAGA: Final = "__rml_saga__"

_sagas: Final[dict[str, Definition]] = {}


@spelled('@rml.saga("trip.book", key="trip_id", steps={book_hotel: cancel_hotel})')
def saga(
    operation: str,
    *,
    key: str | Callable[..., Any],
    steps: Mapping[Callable[..., Any], Callable[[Effect], Any] | None],
    scope: str | Callable[..., Any] | None = None,
    exclude: Sequence[str] = (),
    facts: Sequence[str] = (),
    timeout: float | timedelta | None = None,
    lease: float | timedelta = LEASE_SECONDS,
    ledger: Ledger | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make the effects of a function hold together: all happen, or what happened is undone.

    Each protected handler that the function calls is a step. When the function raises an RML2 error
    that asks for ``start-compensation``, the steps that happened are undone, the newest first, and
    the error passes. One that cannot be undone keeps none of the others from it, and makes the
    saga history: a :class:`CompensationFailedError` is raised. What may have happened is not undone
    before a reconciler or a person has decided; an :class:`InDoubtError` is raised.

    An RML3 error ends the saga as history, and nothing is undone by itself. After any other error,
    a doubt among them, the saga is still running: the next call with the key goes on, and so does
    :func:`rml.resume_sagas`. The function is run from its beginning then; steps that are done are
    not. So it should have no effect of its own, and come to the same calls again. One that returns
    without a step that an earlier run began, whose code has changed or which took another way, is
    undone as a whole, unless there is nothing to undo of that step.

    Args:
        operation: the saga's name, such as ``trip.book``.
        key: what names one saga, as for ``@rml.idempotent``.
        steps: the protected handlers that may be called right inside the function, each with its
            ``@rml.compensator``, or with ``None`` if there is nothing to undo. Another handler is
            refused before it has an effect.
        scope: as for ``@rml.idempotent``.
        exclude: as for ``@rml.idempotent``.
        facts: as for ``@rml.idempotent``. All arguments are recorded erasably.
        timeout: seconds after which a saga that has not ended is compensated by the next call or
            resumption, instead of going on; ``None`` for never.
        lease: seconds after which it is resumed should the process be lost that carries it out;
            renewed while that lives.
        ledger: the ledger to record in, if not the configured one. Its steps must record there too.

    Raises:
        DefinitionError: the saga cannot be kept safe as it is defined.
    """
    options = options_of(World.RML2, lease, None, provider_idempotent=False)
    longest = None if timeout is None else seconds("timeout", timeout, 0)
    if ledger is not None and not isinstance(ledger, Ledger):
        raise DefinitionError(f"ledger must be an rml.Ledger, not {type(ledger).__name__}")
    names = {"exclude": exclude, "facts": facts, "personal": ()}
    picks = {"key": key, "scope": scope, "corrects": None}

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        defined = define(operation, function, picks=picks, names=names, options=options)
        definition = Definition(
            operation=defined,
            function=function,
            classes=_classes(operation, function, defined.signature),
            timeout=longest,
            lease=defined.lease,
            ledger=ledger,
            **_steps(operation, steps),
        )
        _remember(definition)
        protected: Callable[P, R] = _face(definition)
        setattr(protected, PROTECTED, defined)
        setattr(protected, _IS_SAGA, True)
        return protected

    return decorate


def is_saga(operation: str) -> bool:
    """Say whether a saga of this name is defined in this process."""
    return operation in _sagas


def resume_sagas(*, ledger: Ledger | None = None, operation: str | None = None) -> list[Saga]:
    """Go on with every saga that has not ended and that nobody is carrying out.

    One that is running is run again from its beginning, with the arguments that it was started
    with; one that is being compensated goes on being compensated. What cannot go on now says why in
    its ``trouble``. Run it on a timer, together with :func:`rml.reconcile`; several processes may
    do so at once. One that is ``async def`` is run in an event loop of its own.

    Args:
        ledger: the ledger, if not the configured one.
        operation: only sagas of this name.

    Returns:
        Where each of them stands now.

    Raises:
        NoLedgerError: no ledger is configured.
        InvalidInputError: the operation is no text; or this is called inside a saga.
    """
    wanted = None if operation is None else check_text("operation", operation)
    _refuse_inside()
    history = current_ledger(ledger)
    resumed = (_resume(history, found) for found in _unfinished(history, wanted))
    return [saga for saga in resumed if saga is not None]


# --------------------------------------------------------------------------------- as it is called


def _face(definition: Definition) -> Any:
    function = definition.function
    bind = binder(definition.operation.signature, function.__name__)
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def carried_out_async(*args: Any, **kwargs: Any) -> Any:
            history = current_ledger(definition.ledger)
            return await conduct_async(script(_called(definition, history, bind(*args, **kwargs))))

        return carried_out_async

    @functools.wraps(function)
    def carried_out(*args: Any, **kwargs: Any) -> Any:
        history = current_ledger(definition.ledger)
        return conduct(script(_called(definition, history, bind(*args, **kwargs))))

    return carried_out


def _called(definition: Definition, history: Ledger, arguments: Arguments) -> Run:
    """Return the run of a call.

    Raises:
        KeyMissingError: it has no usable key.
        InvalidInputError: an argument cannot be given again; or it is made inside another saga.
    """
    _refuse_inside()
    operation = definition.operation
    asked = ask(operation, arguments)
    promised = promise(operation, asked, arguments)
    typed = {name: _typed(definition, name, value) for name, value in arguments.items()}
    given = Given(Call(operation, history, arguments, asked, promised), promised, typed)
    return Run(definition, history, PREFIX + asked.effect.partition("_")[2], given)


def _refuse_inside() -> None:
    if is_inside():
        message = "a saga was called inside another one; call its steps instead"
        raise InvalidInputError(message, happened=False)


def _typed(definition: Definition, name: str, value: Any) -> Any:
    """Return an argument as it is recorded, once it is certain that it can be given again."""
    typed = to_typed(value, f"argument {name}")
    if isinstance(typed, dict | list):
        try:
            same = to_typed(from_typed(typed, definition.classes)) == typed
        except (DecodingError, EncodingError):
            same = False
        if not same:
            raise EncodingError(
                f"argument {name} of saga {definition.operation.name!r} could not be given again "
                "to a resumed one; annotate the parameter with its class"
            )
    return typed


# -------------------------------------------------------------------------------- as it is resumed


def _unfinished(history: Ledger, operation: str | None) -> list[Saga]:
    """Return the sagas that have not ended."""
    ids = [each for each in history.unended() if each.startswith(PREFIX)]
    found = (fold_saga(list(history.entries(effect=saga_id))) for saga_id in ids)
    return [s for s in found if s is not None and operation in (None, s.operation)]


def _resume(history: Ledger, found: Saga) -> Saga | None:
    """Go on with a saga, and return where it stands then; ``None`` if somebody carries it out."""
    definition = _sagas.get(found.operation)
    if definition is None:
        return _standing(history, found.id, "no saga of this name is defined in this process")
    try:
        with surrounded(correlation=found.correlation):
            _conduct(_resumed(definition, history, found))
    except InFlightError as error:
        if error.details.get("saga") == found.id:
            return None
        return _standing(history, found.id, error.message)
    except Exception as error:  # noqa: BLE001 - one saga's failure must not stop the others
        return _standing(history, found.id, _told(error))
    return _standing(history, found.id)


def _resumed(definition: Definition, history: Ledger, found: Saga) -> Run:
    """Return the run of a resumption; the way back needs no arguments.

    Raises:
        DecodingError: the arguments have been erased, or are of a class that has changed.
    """
    if found.state is SagaState.RUNNING:
        return _called(definition, history, _arguments(definition, found))
    return Run(definition, history, found.id, None)


def _conduct(run: Run) -> Any:
    if not inspect.iscoroutinefunction(run.definition.function):
        return conduct(script(run))
    threads = importlib.import_module("rml.threads")
    return threads.run_to_end(conduct_async(script(run)))


def _arguments(definition: Definition, found: Saga) -> dict[str, Any]:
    """Return the arguments that a saga was started with, as :func:`_resumed`."""
    if found.arguments is None:
        raise DecodingError("its arguments have been erased")
    return {name: from_typed(value, definition.classes) for name, value in found.arguments.items()}


def _standing(history: Ledger, saga_id: str, trouble: str | None = None) -> Saga:
    """Return where a saga stands; one that has ended has no trouble any more."""
    saga = fold_saga(list(history.entries(effect=saga_id)), history.look)
    assert saga is not None, "entries do not go"
    is_open = saga.state in (SagaState.RUNNING, SagaState.COMPENSATING)
    return attrs.evolve(saga, trouble=trouble if is_open else None)


def _told(error: Exception) -> str:
    """Say what kept a saga from going on: the library's words and users', no stranger's."""
    if not isinstance(error, RmlError):
        return f"it raised {type_name(type(error))}"
    notes = [note.removeprefix("rml: ") for note in getattr(error, "__notes__", ())]
    return "; ".join([f"{error.code}: {error.message}", *notes])


# -------------------------------------------------------------------------------- as it is defined


def _steps(operation: str, steps: object) -> dict[str, Any]:
    """Return what a definition knows of its steps.

    Raises:
        DefinitionError: one of them is not protected, or what is to undo it is no compensator.
    """
    if not isinstance(steps, Mapping) or not steps:
        raise DefinitionError(
            f"{shown(operation)} needs steps=: its protected handlers, each with its compensator"
        )
    known: dict[str, Operation] = {}
    compensators: dict[str, str | None] = {}
    undo: dict[str, Callable[[Effect], Any]] = {}
    for handler, compensator in steps.items():
        step = protected_by(handler)
        if step is None or is_compensator(handler) or hasattr(handler, _IS_SAGA):
            name = getattr(handler, "__qualname__", shown(handler))
            raise DefinitionError(
                f"{name} in steps= of {shown(operation)} is no handler of @rml.idempotent"
            )
        known[step.name] = step
        compensators[step.name] = None
        if compensator is not None:
            undoes = protected_by(compensator) if is_compensator(compensator) else None
            if undoes is None:
                raise DefinitionError(
                    f"what undoes {step.name!r} in {shown(operation)} must be an @rml.compensator, "
                    "or None if there is nothing to undo"
                )
            compensators[step.name] = undoes.name
            undo[undoes.name] = compensator
    return {"steps": known, "compensators": compensators, "undo": undo}


def _remember(definition: Definition) -> None:
    """Keep a saga by its name, to be resumed; warn of two functions that share one.

    Functions inside functions are left alone: tests and factories make many of them.
    """
    name, home = definition.operation.name, definition.operation.home
    before = _sagas.get(name)
    if before is not None and before.operation.home != home and "<locals>" not in home:
        warnings.warn(
            f"{home} and {before.operation.home} are both the saga {name!r}: one would be resumed "
            "as the other; give each its own name",
            RuntimeWarning,
            stacklevel=4,
        )
    _sagas[name] = definition


def _classes(
    operation: str, function: Callable[..., Any], signature: inspect.Signature
) -> dict[str, type]:
    """Return the classes that the arguments may be made of, by name.

    Raises:
        DefinitionError: a parameter cannot be given again to a resumed saga.
    """
    if protected_by(function) is not None:
        raise DefinitionError(f"the body of saga {operation!r} is itself protected; it is no step")
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError, AttributeError):
        hints = {}  # names that only a type checker sees
    found: dict[str, type] = {}
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    for name, parameter in signature.parameters.items():
        if parameter.kind not in named or name in {"self", "cls"}:
            raise DefinitionError(
                f"parameter {name!r} of saga {operation!r} has no name to be given again by; make "
                "it a function of named parameters"
            )
        try:
            found |= classes_in(hints.get(name, Any))
        except EncodingError as error:
            raise DefinitionError(
                f"parameter {name!r} of saga {operation!r} could not be given again when it is "
                f"resumed: {error.message}"
            ) from error
    return found
