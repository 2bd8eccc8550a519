"""What an entry may say, checked: its world, its moments, its facts, and what is kept beside it."""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from rml.clock import utc_text
from rml.codec import EncodingError, compact_json, plain
from rml.entropy import random_bytes
from rml.error import InvalidInputError
from rml.ledger.entry import (
    COMMITMENTS_MAX,
    TEXT_CHARACTERS_MAX,
    check_text,
    commit,
    settled,
)
from rml.ledger.errors import LimitError
from rml.world import World, member_of

# A fact may be told with a clock a little ahead of the ledger's; more is a mistake.
AHEAD_MAX: Final = timedelta(minutes=5)
# What one entry keeps erasably: documents belong into a document store, with their digest here.
PERSONAL_BYTES_MAX: Final = 1 << 20
_SALT_BYTES: Final = 16  # 128 bits: a low-entropy value cannot be guessed from its digest
_SALT_CHARACTERS: Final = 22
_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")
# How JSON ends a float that is a whole number: one that texts, too, may hold.
_WHOLE_FLOAT: Final = re.compile(rb"\.0[],}]")


def as_world(world: object) -> World:
    """Return the world for a member or its spelling.

    Raises:
        InvalidInputError: it is no world.
    """
    try:
        return member_of(World, world)
    except ValueError as error:
        raise InvalidInputError(str(error)) from None


def check_moment(name: str, moment: object, now: datetime) -> datetime:
    """Return ``moment``, or ``now`` when it is ``None``.

    Raises:
        InvalidInputError: it is no aware datetime, or more than five minutes ahead of the ledger's
            clock.
    """
    if moment is None:
        return now
    told = check_aware(name, moment)
    if told > now + AHEAD_MAX:
        ahead = f"{name} {utc_text(told)} lies in the future"
        raise InvalidInputError(f"{ahead}; the ledger's clock says {utc_text(now)}")
    return told


def check_aware(name: str, moment: object) -> datetime:
    """Return ``moment`` if it is an aware datetime that has a written form.

    Raises:
        InvalidInputError: it is not.
    """
    if not isinstance(moment, datetime):
        given = type(moment).__name__
        message = f"{name} must be an aware datetime, not {given}; such as datetime.now(UTC)"
        raise InvalidInputError(message)
    try:
        utc_text(moment)
    except ValueError as error:
        raise InvalidInputError(f"{name}: {error}") from None
    return moment


def check_facts(facts: object) -> dict[str, Any]:
    """Return facts as plain JSON data.

    Raises:
        InvalidInputError: names the fact that cannot be recorded in clear.
    """
    told = _read_mapping("facts", facts)
    return {
        name: value if type(value) is str else plain(value, f"facts.{name}", 1)
        for name, value in told.items()
    }


def _read_mapping(what: str, mapping: object) -> dict[str, Any]:
    if type(mapping) is not dict and not isinstance(mapping, Mapping):
        message = f"{what} must be a mapping from names to values, not {type(mapping).__name__}"
        raise InvalidInputError(message)
    try:
        read = dict(mapping)
    except Exception as error:  # a class of its own may raise anything
        message = f"{what} cannot be read ({type(error).__name__})"
        raise InvalidInputError(message) from error
    if set(map(type, read)) == {str} and all(map(_is_name, read)):
        return read
    return {_name(what, name): value for name, value in read.items()}


@lru_cache(maxsize=1024)  # programs use the same few names over and over
def _is_name(name: str) -> bool:
    return 0 < len(name) <= TEXT_CHARACTERS_MAX and name.isprintable()


def _name(where: str, name: object) -> str:
    if isinstance(name, str):
        return check_text(f"a name in {where}", name)
    message = f"a name in {where} is {type(name).__name__}, not text"
    raise InvalidInputError(message)


def seal_personal(personal: object) -> tuple[dict[str, str], bytes | None]:
    """Return the commitments to erasable fields, freshly salted, and the bytes kept beside them.

    Raises:
        InvalidInputError: names the field that cannot be kept.
        LimitError: the values or their number are too large.
    """
    values = _read_mapping("personal", personal)
    if len(values) > COMMITMENTS_MAX:
        raise LimitError(
            f"an entry has {len(values)} personal fields, the limit is {COMMITMENTS_MAX} "
            "(COMMITMENTS_MAX)"
        )
    if not values:
        return {}, None
    commitments, kept = {}, {}
    for name, value in values.items():
        salt = new_salt()
        try:
            commitments[name] = commit(salt, name, value)
        except EncodingError:
            compact_json(value, f"personal.{name}")  # names the place as its owner knows it
            raise
        kept[name] = [salt, value]
    beside = compact_json(kept, checked=True)
    if _WHOLE_FLOAT.search(beside):
        beside = compact_json(settled(kept), checked=True)
    if len(beside) > PERSONAL_BYTES_MAX:
        raise LimitError(
            f"the personal fields are {len(beside)} bytes, the limit is {PERSONAL_BYTES_MAX} "
            "(PERSONAL_BYTES_MAX); keep the document elsewhere and its digest here"
        )
    return commitments, beside


def new_salt() -> str:
    """Return 128 random bits as 22 characters of base64url."""
    salt = binascii.b2a_base64(random_bytes(_SALT_BYTES)).translate(_URL_SAFE)
    return salt[:_SALT_CHARACTERS].decode()
