"""Which rows of a page are surely what they should be: a sieve that lets those pass.

Looking at one row after the other costs twenty times what hashing it costs, so pages are looked at
whole, with the few tools of the language that take many rows at once. Nothing here says that a row
is wrong: one that is not surely fine is *held back*, and :mod:`rml.ledger.checks.check` decides.

A store's :class:`~rml.ledger.store.Survey` has each column of a page as one text. What is to be
told of the rows is

* that the bytes have the hashes that were stored,
* that they begin with the header that the columns give,
* that the header's texts are of their forms, and the id's time is the time of recording,
* that facts and commitments are canonical JSON, as RFC 8785 writes it,
* that each value beside an entry is what the entry commits to.

Canonical form is the costly one. Texts that were found canonical are remembered by their *shape*,
which is the text with each of the digits 2 to 9 written as 1. A text of the same shape is canonical
as well, if it has no escapes, no digits but zero in a key and no number of sixteen digits: its
brackets, quotes, keys and zeros stand where they stood. So of entries that differ in their numbers
alone, only the first ones are parsed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Final, NoReturn

import attrs

from rml.clock import epoch_micros, parse_utc, utc_text
from rml.codec import canonical_json, compact_json
from rml.error import InvalidInputError, RmlError
from rml.ledger.checks.headers import behind_headers, common
from rml.ledger.entry import ENTRY_BYTES_MAX, check_kind, commit, commit_json
from rml.ledger.store import Survey
from rml.ledger.tree import HASH_BYTES
from rml.world import World

# What is remembered is bounded, so that memory stays flat on whatever ledger.
SHAPES_MAX: Final = 8_192
SECONDS_MAX: Final = 4_096
# A text with no more brackets than this nests no deeper than canonical JSON may.
_BRACKETS_MAX: Final = 48
_ID: Final = b"xxxxxxxx-xxxx-7xxx-xxxx-xxxxxxxxxxxx\n"
_ID_VARIANT: Final = 19
_MOMENT: Final = b"xxxx-xx-xxTxx:xx:xx.xxxxxxZ\n"
# Where a time's seconds end, and its milliseconds.
_SECOND: Final = 19
_MILLIS: Final = 23
_DIGITS: Final = b"0123456789"
_HEX_DIGITS: Final = b"0123456789abcdef"
_MILLIS_MASK: Final = 2**48 - 1
_WORLDS: Final = frozenset(world.value.encode() for world in World)
_NO_COMMITMENTS: Final = b"},{}]"
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_SHAPE: Final = bytes.maketrans(b"23456789", b"11111111")
_NO_SHAPE: Final = re.compile(rb'\\|1[^"]*":')
# With digits as zeros, and what may stand before a number as a colon.
_NUMBERS: Final = bytes.maketrans(b"123456789,[-", b"000000000:::")
_LONG_NUMBER: Final = b":" + b"0" * 16
_TOO_LARGE: Final = re.compile(rb"[\[:,]-?(?:[0-9]{17}|9[0-9]{15})")
_DOUBT: Final = "it is not surely what it should be"

Commitments = dict[str, str]


@attrs.define
class Sifted:
    """What a sieve has found in a page.

    ``held`` are the places of rows that may be wrong; ``missing`` the names of committed fields, by
    place, that nothing is kept of.
    """

    held: set[int] = attrs.field(factory=set)
    missing: dict[int, list[str]] = attrs.field(factory=dict)


class Sieve:
    """See the module; it remembers what it has found to be right."""

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._millis: dict[bytes, int] = {}
        self._shapes: set[bytes] = set()

    def sift(
        self, survey: Survey, leaves: Sequence[bytes], personal: Mapping[int, bytes]
    ) -> Sifted:
        """Look at the rows of a survey.

        Args:
            survey: what their store told of them.
            leaves: the hashes of their bytes.
            personal: what is kept beside them, by their places.
        """
        if not self._has_forms(survey):
            return Sifted(set(range(len(survey.data))))
        sifted = Sifted(set(_unlike_others(survey, leaves)))
        tails, unlike = behind_headers(self._origin, survey.data, survey.columns)
        sifted.held.update(unlike)
        self._look_behind_headers(tails, personal, sifted)
        return sifted

    # Headers -------------------------------------------------------------------------------------

    def _has_forms(self, survey: Survey) -> bool:
        """Say whether the texts of all headers are of their forms, and none is missing."""
        columns, count = survey.columns, len(survey.data)
        ids, at, recorded = columns["id"], columns["at"], columns["recorded_at"]
        return (
            all(_has_lines(text, count) for text in columns.values())
            and _WORLDS.issuperset(_values(columns["world"], count))
            and all(map(_is_kind, _values(columns["kind"], count)))
            and _are_like(_ID, _HEX_DIGITS, ids)
            and not ids[_ID_VARIANT :: len(_ID)].translate(None, b"89ab")
            and _are_like(_MOMENT, _DIGITS, recorded)
            and self._are_stamps(ids, recorded)
            and (at == recorded or self._are_times(at))
        )

    def _are_times(self, texts: bytes) -> bool:
        """Say whether times are written as they must."""
        seconds = {one[:_SECOND] for one in texts.split(b"\n")}
        return _are_like(_MOMENT, _DIGITS, texts) and all(map(self._is_second, seconds))

    def _are_stamps(self, ids: bytes, recorded: bytes) -> bool:
        """Say whether ids begin with the milliseconds of times, which are written as they must.

        What was committed together has one time, so runs of it are looked at. The beginning of an
        id has the form of no other part of it: it is found in each id once, or not at all.
        """
        start = 0
        for moment, run in groupby(recorded.split(b"\n")):
            second = moment[:_SECOND]
            if not (second in self._millis or self._is_second(second)):
                return False
            millis = self._millis[second] + int(moment[_SECOND + 1 : _MILLIS]) & _MILLIS_MASK
            count = len(list(run))
            stop = start + count * len(_ID)
            if ids.count(b"%08x-%04x" % divmod(millis, 1 << 16), start, stop) != count:
                return False
            start = stop
        return True

    def _is_second(self, second: bytes) -> bool:
        """Say whether a time without its fraction is written as it must; remember when it is."""
        if second in self._millis:
            return True
        text = f"{second.decode()}.000000Z"
        try:
            moment = parse_utc(text)
        except ValueError:
            return False
        if utc_text(moment) != text:
            return False
        if len(self._millis) >= SECONDS_MAX:
            self._millis.clear()
        self._millis[second] = epoch_micros(moment) // 1000
        return True

    # What comes after headers --------------------------------------------------------------------

    def _look_behind_headers(
        self, tails: Sequence[bytes], personal: Mapping[int, bytes], sifted: Sifted
    ) -> None:
        """Look at facts, at commitments, and at what is kept beside entries."""
        tails = list(tails)
        kept: dict[int, Commitments] = {}
        for place, text in personal.items():
            digests = _read_kept(text)
            if digests is None:
                sifted.held.add(place)
                continue
            end = _end_with(digests)
            if tails[place].endswith(end):  # nothing is missing: what is left is as without it
                tails[place] = tails[place][: -len(end)] + _NO_COMMITMENTS
            else:
                kept[place] = digests
        self._look_at_tails(tails, kept, sifted)

    def _look_at_tails(
        self, tails: Sequence[bytes], kept: Mapping[int, Commitments], sifted: Sifted
    ) -> None:
        """Read what is of no known shape, and compare its commitments with what is kept."""
        shapes = b"\n".join(tails).translate(_SHAPE).split(b"\n")
        if len(shapes) != len(tails):  # no canonical JSON has a line's end in it
            sifted.held.update(range(len(tails)))
            return
        known = self._shapes
        if not kept and known.issuperset(shapes):
            return
        new = [place for place, shape in enumerate(shapes) if shape not in known]
        for place, commitments in zip(new, _read_tails([tails[i] for i in new]), strict=True):
            if commitments is None:
                sifted.held.add(place)
            elif commitments or place in kept:
                _compare(place, commitments, kept.get(place, {}), sifted)
            elif len(known) < SHAPES_MAX and _is_shape(shapes[place]):
                known.add(shapes[place])


def _compare(place: int, commitments: Commitments, digests: Commitments, sifted: Sifted) -> None:
    """Compare what an entry commits to with the digests of what is kept beside it."""
    if not digests.items() <= commitments.items():
        sifted.held.add(place)
    elif len(digests) < len(commitments):
        sifted.missing[place] = [name for name in commitments if name not in digests]


def _is_shape(text: bytes) -> bool:
    """Say whether all texts of a shape are canonical if one is."""
    return not _NO_SHAPE.search(text) and not _has_long_number(text)


def _has_lines(text: bytes, count: int) -> bool:
    return common(text, count) is not None or text.count(b"\n") == count - 1


def _values(text: bytes, count: int) -> set[bytes]:
    """Return what stands in the lines of a column."""
    value = common(text, count)
    return set(text.split(b"\n")) if value is None else {value}


def _is_kind(kind: bytes) -> bool:
    try:
        return bool(check_kind(kind.decode()))
    except (InvalidInputError, UnicodeDecodeError):
        return False


def _are_like(pattern: bytes, alphabet: bytes, texts: bytes) -> bool:
    """Say whether texts all look like a pattern, in which an x stands for a letter of an alphabet.

    A pattern ends with the mark between two texts, which the last one has not.
    """
    texts += pattern[-1:]
    count = len(texts) // len(pattern)
    marks = pattern.translate(None, alphabet + b"x")
    return texts.translate(None, alphabet) == marks * count and all(
        texts[place :: len(pattern)] == pattern[place : place + 1] * count
        for place in range(len(pattern))
        if pattern[place : place + 1] != b"x"
    )


def _unlike_others(survey: Survey, leaves: Sequence[bytes]) -> Iterator[int]:
    """Yield the places of rows that differ from others in what is cheap to see.

    They have another hash than was stored, are too long, or are no UTF-8.
    """
    data = survey.data
    if b"".join(leaves) != survey.leaves:
        for place, leaf in enumerate(leaves):
            if leaf != survey.leaves[place * HASH_BYTES : (place + 1) * HASH_BYTES]:
                yield place
    if max(map(len, data)) > ENTRY_BYTES_MAX:
        yield from (place for place, one in enumerate(data) if len(one) > ENTRY_BYTES_MAX)
    whole = b"".join(data)
    if not whole.isascii():
        yield from (place for place, one in enumerate(data) if not _is_utf_8(one))


def _is_utf_8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


# Reading ------------------------------------------------------------------------------------------


def _refuse(_: str) -> NoReturn:
    raise ValueError(_DOUBT)


_decode: Final = json.JSONDecoder(parse_float=_refuse, parse_constant=_refuse).raw_decode
_quote: Final = json.encoder.encode_basestring
_DOUBTFUL: Final = (ValueError, TypeError, AttributeError, RecursionError, RmlError)


def _read_tails(tails: Sequence[bytes]) -> Sequence[Commitments | None]:
    """Return the commitments at the end of each of these texts; ``None`` of one that is doubtful.

    Bytes that are no ASCII cost more to compare, and are looked at apart.
    """
    if b"".join(tails).isascii():
        return _read_all(tails)
    read: dict[int, Commitments | None] = {}
    for is_ascii in (True, False):
        places = [place for place, tail in enumerate(tails) if tail.isascii() is is_ascii]
        found = _read_all([tails[place] for place in places])
        read |= zip(places, found, strict=True)
    return [read[place] for place in range(len(tails))]


def _read_all(tails: Sequence[bytes]) -> Sequence[Commitments | None]:
    """Read texts at once, or one by one if there is anything doubtful among them."""
    try:
        return _read_canonical(tails)
    except _DOUBTFUL:
        return [None] if len(tails) == 1 else [one for tail in tails for one in _read_all([tail])]


def _read_canonical(tails: Sequence[bytes]) -> Sequence[Commitments]:
    """Return the commitments at the end of texts that are surely canonical.

    Raises:
        ValueError: one of them may be something else; or another of :data:`_DOUBTFUL`.
    """
    texts = [f"[{{{tail}" for tail in b"\n".join(tails).decode().split("\n")] if tails else []
    parsed = [_decode(text) for text in texts]
    members = [value for value, _ in parsed]
    whole = f"[{','.join(texts)}]".encode()
    if [end for _, end in parsed] != list(map(len, texts)):
        raise ValueError(_DOUBT)
    if canonical_json(members, checked=True) != whole:
        raise ValueError(_DOUBT)
    if _are_deep(texts, whole) or (_has_long_number(whole) and _TOO_LARGE.search(whole)):
        raise ValueError(_DOUBT)
    commitments: list[Commitments] = [last for _, last in members]
    digests = [digest for one in commitments for digest in one.values()]
    if not all(map(_DIGEST.fullmatch, digests)):
        raise ValueError(_DOUBT)
    return commitments


def _has_long_number(text: bytes) -> bool:
    """Say whether a number has sixteen digits or more."""
    return _LONG_NUMBER in text.translate(_NUMBERS)


def _are_deep(texts: Sequence[str], whole: bytes) -> bool:
    """Say whether a text may nest deeper than is canonical; each has three brackets at least."""
    if whole.count(b"{") + whole.count(b"[") - 3 * len(texts) < _BRACKETS_MAX:
        return False
    return any(text.count("{") + text.count("[") > _BRACKETS_MAX for text in texts)


# Beside entries -----------------------------------------------------------------------------------


def _read_kept(data: bytes) -> Commitments | None:
    """Return the digests of what is kept beside an entry; ``None`` if that may be wrong.

    It is written again as it was read: a name that stands twice would come out once. A number with
    a point is not looked at here.
    """
    digests: Commitments = {}
    fields: list[str] = []
    try:
        text = data.decode()
        kept, _ = _decode(text)
        for name, (salt, value) in kept.items():
            salt_json, name_json = _quote(salt), _quote(name)
            if type(value) is str:
                value_json = _quote(value)
                digests[name] = commit_json(salt_json, name_json, value_json)
            else:
                value_json = compact_json(value, checked=True).decode()
                digests[name] = commit(salt, name, value)
            fields.append(f"{name_json}:[{salt_json},{value_json}]")
    except _DOUBTFUL:
        return None
    return digests if fields and f"{{{','.join(fields)}}}" == text else None


def _end_with(commitments: Commitments) -> bytes:
    """Return how an entry with these commitments ends."""
    names = sorted(commitments)
    if not "".join(names).isascii():  # RFC 8785 sorts such names in an order of its own
        return b"}," + canonical_json(commitments) + b"]"
    members = [f'{_quote(name)}:"{commitments[name]}"' for name in names]
    return f"}},{{{','.join(members)}}}]".encode()
