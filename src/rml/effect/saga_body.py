"""The running body of a saga: which effects are its steps, and how a step joins it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

import attrs

from rml.effect.errors import DefinitionError
from rml.effect.saga_records import failure_of, header_of
from rml.effect.saga_state import COMPENSATOR, STEP, SagaState, fold_saga
from rml.error import InvalidInputError
from rml.ledger.draft import Draft
from rml.world import World


@attrs.frozen
class Body:
    """The running body of a saga: what happens right inside it is one of its steps.

    ``depth`` is the number of handlers around the body; an effect inside a step's own handler has
    more of them around it, and belongs to that step. ``reached`` collects the effects that the body
    asks for, also those that are done already.
    """

    saga: str
    name: str
    compensators: Mapping[str, str | None]
    lease: float
    depth: int
    reached: set[str]

    def member(self, operation: str) -> Member:
        """Return how an effect of this operation joins.

        Raises:
            DefinitionError: the saga does not say what undoes it.
        """
        if operation not in self.compensators:
            raise DefinitionError(
                f"saga {self.name!r} does not say what undoes {operation!r}: name the handler in "
                "steps=, with its compensator, or with None if there is nothing to undo"
            )
        return Member(self.saga, self.compensators[operation], self.lease)


@attrs.frozen
class Member:
    """How one effect joins its saga, in the commit of its intent."""

    saga: str
    compensator: str | None
    lease: float

    def join(self, draft: Draft, effect: str) -> None:
        """Record that an effect is a step, and renew the saga's lease.

        Raises:
            RmlError: the saga has turned back, with what it failed with; or it has ended, or is
                in another ledger. The intent is not recorded either.
        """
        entries = draft.of_effect(self.saga)
        saga = fold_saga(entries)
        if saga is None:
            message = "a step records in another ledger than its saga; give both the same one"
            raise InvalidInputError(message)
        if saga.state is not SagaState.RUNNING:
            raise failure_of(saga)
        steps = [entry.facts[STEP] for entry in entries if entry.kind == "saga.step"]
        if effect not in steps:
            undo = {} if self.compensator is None else {COMPENSATOR: self.compensator}
            draft.record(
                "saga.step", world=World.RML2, facts={STEP: effect, **undo}, **header_of(saga)
            )
        held = draft.lease(self.saga)
        if held is not None:
            draft.grant(self.saga, 1, held.owner, self.lease)


_body: ContextVar[Body | None] = ContextVar("rml_saga", default=None)


@contextmanager
def inside(body: Body) -> Iterator[None]:
    """Take what happens in this context as steps of a saga."""
    token = _body.set(body)
    try:
        yield
    finally:
        _body.reset(token)


def is_inside() -> bool:
    """Say whether this code runs in a saga's body, however deep."""
    return _body.get() is not None


def note_reached(effect: str, depth: int) -> None:
    """Note that the body of a saga, if this is one, asks for an effect; ``depth`` as below."""
    body = _body.get()
    if body is not None and body.depth == depth:
        body.reached.add(effect)


def membership(operation: str, depth: int) -> Member | None:
    """Return how an effect that begins here joins a saga, if it does; as :meth:`Body.member`.

    ``depth`` is the number of handlers that are running around it.
    """
    body = _body.get()
    return None if body is None or body.depth != depth else body.member(operation)
