"""What a caller may hand to a ledger: each argument checked at the call, before anything is stored.

Every function returns the usable value, or raises InvalidInputError naming the parameter.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import AsyncContextDecorator, ContextDecorator
from datetime import datetime, timedelta
from types import AsyncGeneratorType, GeneratorType
from typing import Any, TypeVar

from rml.cause import text_of
from rml.clock import Clock, IdSource, utc_text
from rml.effect.state import EffectState
from rml.error import InvalidInputError
from rml.ledger.content import check_aware
from rml.ledger.entry import check_text
from rml.ledger.errors import UnknownIdError
from rml.ledger.proofs.checkpoint import ORIGIN_BYTES_MAX, SIZE_MAX
from rml.ledger.proofs.note import SignerKey
from rml.redact import Secret
from rml.tag import shown
from rml.world import member_of

T = TypeVar("T")
# The decorators are what `contextmanager` makes of generators.
_UNRUN = (GeneratorType, AsyncGeneratorType, Future, ContextDecorator, AsyncContextDecorator)

# Sleeping longer than this overflows the platform's clocks; it stands for "as long as it takes".
SECONDS_MAX = 10**9


def is_unrun(result: object) -> bool:
    """Say whether something is still to be run, such as an awaitable, a generator or a future."""
    kind = type(result)  # a proxy may say anything of its class, or raise
    return hasattr(kind, "__await__") or issubclass(kind, _UNRUN)


def ended(result: T) -> T:
    """Return what a work returned, unless it is still to be run: then nothing was drafted yet.

    Raises:
        InvalidInputError: it is a coroutine or a generator.
    """
    if is_unrun(result):
        kind = type(result).__name__
        if inspect.iscoroutine(result) or inspect.isgenerator(result):
            result.close()
        raise InvalidInputError(f"work returned a {kind}; append to the draft before returning")
    return result


def unknown(what: str, name: object) -> UnknownIdError:
    """Return the error for an id that is not in the ledger."""
    return UnknownIdError(f"no {what} {shown(name)} is in this ledger")


def listed(fields: object, purpose: str = "to erase") -> Sequence[str]:
    """Check a list of names."""
    try:
        names = list(fields) if isinstance(fields, Sequence) else []
    except Exception:  # noqa: BLE001 - a class of its own may raise anything
        names = []
    if isinstance(fields, str) or not names:
        message = f"fields must be a list of the names {purpose}"
        raise InvalidInputError(message)
    return names


def flag(name: str, value: object) -> bool:
    """Check a yes or no."""
    if isinstance(value, bool):
        return value
    raise InvalidInputError(f"{name} must be True or False, not {shown(value)}")


def asked(name: str, value: object) -> str | None:
    """Check an optional text that is asked for."""
    return None if value is None else check_text(name, value)


def limited(limit: object) -> int | None:
    """Check an optional number of entries."""
    if limit is None or (type(limit) is int and limit >= 0):
        return limit
    message = f"limit must be a number of entries, not {shown(limit)}"
    raise InvalidInputError(message)


def as_index(name: str, index: object) -> int:
    """Check an entry's index; -1 stands before the first entry."""
    if type(index) is int and -1 <= index <= SIZE_MAX:
        return index
    raise InvalidInputError.about(name, index, "give an index, or -1 to begin with the first entry")


def moment_text(name: str, moment: datetime | None) -> str | None:
    """Check an optional moment, and write it down."""
    return None if moment is None else utc_text(check_aware(name, moment))


def as_clock(clock: Any) -> Clock:
    """Check a clock by reading it."""
    try:
        utc_text(clock.now())
        clock.monotonic()
    except Exception as error:  # a clock of somebody's own may raise anything
        message = "clock must be an rml.Clock: now() aware, monotonic() in seconds"
        raise InvalidInputError(f"{message} ({text_of(error)})") from error
    made: Clock = clock
    return made


def as_id_source(ids: Any) -> IdSource:
    """Check a source of ids."""
    try:
        usable = callable(getattr(ids, "new", None))
    except Exception:  # noqa: BLE001 - a class of its own may raise anything
        usable = False
    if usable:
        made: IdSource = ids
        return made
    message = f"ids must have a method new(at), and {type(ids).__name__} has none"
    raise InvalidInputError(message)


def as_state(state: object) -> EffectState:
    """Check the spelling of an effect's state."""
    try:
        return member_of(EffectState, state)
    except ValueError:
        known = ", ".join(EffectState)
        message = f"no effect state {shown(state)}; the states are {known}"
        raise InvalidInputError(message) from None


def as_origin(origin: object) -> str:
    """Check an origin by the rules of a C2SP checkpoint's first line."""
    text = check_text("origin", origin)
    if "+" in text or any(c.isspace() for c in text) or len(text.encode()) > ORIGIN_BYTES_MAX:
        raise InvalidInputError(
            f"origin {text!r:.80} must have no spaces and no plus sign, and at most "
            f"{ORIGIN_BYTES_MAX} bytes, such as 'example.com/payments'"
        )
    return text


def as_signer(signer: object, origin: object) -> SignerKey:
    """Check that a key is one, and that it signs for the ledger that is asked for."""
    if not isinstance(signer, SignerKey | Secret | str):
        message = f"signer must be a SignerKey or its text, not {type(signer).__name__}"
        raise InvalidInputError(message)
    key = signer if isinstance(signer, SignerKey) else SignerKey.from_text(signer)
    if origin not in (None, key.name):
        raise InvalidInputError(
            f"the signer key is for {key.name!r:.80}, and the origin is {shown(origin)}; "
            "a ledger's key has its origin as name"
        )
    return key


def check_progress(progress: object) -> None:
    """Refuse what cannot be called, before anything is written.

    Raises:
        InvalidInputError: it is neither ``None`` nor a function.
    """
    if progress is not None and not callable(progress):
        raise InvalidInputError(f"progress must be a function, not {type(progress).__name__}")


def as_seconds(name: str, value: object) -> float:
    """Check a number of seconds, or a timedelta."""
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf"):
        return float(min(value, SECONDS_MAX))
    message = f"{name} must be a number of seconds, not {shown(value)}"
    raise InvalidInputError(message)
