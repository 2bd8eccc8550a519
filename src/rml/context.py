"""What surrounds an operation: who acts, which request it belongs to, and the trace it is part of.

The values live in context variables, so they follow ``await`` by themselves; :func:`carried` takes
them into a thread.
"""

from __future__ import annotations

import contextvars
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, ParamSpec, TypeVar

import attrs

from rml.error import InvalidInputError
from rml.tag import shown

P = ParamSpec("P")
R = TypeVar("R")

# What an entry's header takes; refused here already, so that the mistake shows where it was made.
TEXT_CHARACTERS_MAX: Final = 255
# W3C Trace Context, section 3.2: version (ff is none), trace id, parent id, flags.
_TRACEPARENT: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
)


@attrs.frozen
class Surroundings:
    """The context that entries are recorded with; every part may be unknown."""

    actor: str | None = None
    correlation: str | None = None
    traceparent: str | None = None
    tenant: str | None = None
    region: str | None = None
    told: dict[str, str] = attrs.field(init=False, eq=False, repr=False)

    @told.default
    def _what_is_known(self) -> dict[str, str]:
        """Return the known parts that stand in an entry's header, by their names there."""
        parts = ("actor", self.actor), ("correlation", self.correlation)
        known = (*parts, ("traceparent", self.traceparent))
        return {name: text for name, text in known if text is not None}


_current: contextvars.ContextVar[Surroundings] = contextvars.ContextVar(
    "rml_surroundings",
    default=Surroundings(),  # noqa: B039 - frozen
)


def surroundings() -> Surroundings:
    """Return what surrounds the running operation."""
    return _current.get()


@contextmanager
def surrounded(
    *,
    actor: str | None = None,
    correlation: str | None = None,
    traceparent: str | None = None,
    tenant: str | None = None,
    region: str | None = None,
) -> Iterator[None]:
    """Record the block's entries with this actor, correlation id or W3C traceparent.

    ``tenant`` and ``region`` say whose the block's calls are, for levers; intents record them.
    What is not given stays as it is around the block.

    Raises:
        InvalidInputError: a value is no text that an entry can hold, or the traceparent does not
            follow W3C Trace Context.
    """
    given = {
        "actor": actor,
        "correlation": correlation,
        "traceparent": traceparent,
        "tenant": tenant,
        "region": region,
    }
    for name, value in given.items():
        if isinstance(value, str):
            given[name] = str.__str__(value)  # a class of its own may answer anything about itself
        if value is not None and not _holdable(given[name]):
            limit = f"1 to {TEXT_CHARACTERS_MAX} printable characters (TEXT_CHARACTERS_MAX)"
            raise InvalidInputError(f"{name} {shown(value)} must be text of {limit}")
    if traceparent is not None and not _TRACEPARENT.fullmatch(traceparent):
        form = "W3C Trace Context (00-<32 hex>-<16 hex>-<2 hex>)"
        raise InvalidInputError(f"traceparent {shown(traceparent)} does not follow {form}")
    token = _current.set(
        attrs.evolve(_current.get(), **{k: v for k, v in given.items() if v is not None})
    )
    try:
        yield
    finally:
        _current.reset(token)


def _holdable(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= TEXT_CHARACTERS_MAX and value.isprintable()


def carried(function: Callable[P, R]) -> Callable[P, R]:
    """Return ``function`` bound to the present context, to be run in another thread."""
    context = contextvars.copy_context()

    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        return context.run(function, *args, **kwargs)

    return run
