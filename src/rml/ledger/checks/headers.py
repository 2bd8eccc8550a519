"""Which headers the columns of a page give: made for all of its rows at once, to be compared.

Columns hold the texts of a header as they are, and its bytes hold them as JSON. A text in which
JSON would escape a letter is not looked at here: its row stands out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, repeat
from typing import Final

from rml.codec import compact_json
from rml.ledger.entry import COLUMNS, FORMAT

# Every header ends with the text of its world; then the facts begin.
HEADER_END: Final = b'"},{'
# What stands before a field's value and after it, in the order of RFC 8785.
_MARKS: Final = {
    name: (f'"{name}":'.encode(), b",") if name == "attempt" else (f'"{name}":"'.encode(), b'",')
    for name in sorted((*COLUMNS, "origin"))
}
_OPTIONAL: Final = COLUMNS[5:]
# What JSON escapes within a text, but for the end of a line, which no column's line has in it.
_ESCAPED: Final = bytes({*range(0x20), *b'"\\'} - {*b"\n"})


def unlike_columns(
    origin: str, headers: Sequence[bytes], columns: Mapping[str, bytes]
) -> Iterator[int]:
    """Yield the places of rows that may begin otherwise than their columns say.

    Args:
        origin: the ledger's.
        headers: what each row's bytes begin with, without :data:`HEADER_END`.
        columns: as a survey has them, each with one line for each row.
    """
    expected = _headers(origin, columns, len(headers))
    if b"\n".join(headers) != expected:
        pairs = enumerate(zip(headers, expected.split(b"\n"), strict=True))
        yield from (place for place, (found, due) in pairs if found != due)
    for name in _OPTIONAL:
        text = columns.get(name, b"")
        if _is_escaped(text):
            lines = enumerate(text.split(b"\n"))
            yield from (place for place, line in lines if _is_escaped(line))


def _is_escaped(text: bytes) -> bool:
    return text.translate(None, _ESCAPED) != text


def _headers(origin: str, columns: Mapping[str, bytes], count: int) -> bytes:
    """Return the headers, one a line; what all of them have alike is put together once."""
    pieces: list[Iterable[bytes]] = []
    alike = f'["{FORMAT}",{{'.encode()
    for name, (begin, end) in _MARKS.items():
        if name == "origin":
            alike += begin + compact_json(origin)[1:-1] + end
        if name not in columns:
            continue
        text = columns[name]
        first = text.partition(b"\n")[0]
        if text + b"\n" == (first + b"\n") * count:
            alike += begin + first + end if first else b""
        elif first and b"\n\n" not in text and not text.endswith(b"\n"):
            pieces += repeat(alike + begin, count), text.split(b"\n")
            alike = end
        else:
            values = [begin + value + end if value else b"" for value in text.split(b"\n")]
            pieces += repeat(alike, count), values
            alike = b""
    last = repeat(alike[: -len(_MARKS["world"][1])] + b"\n", count)
    return b"".join(chain.from_iterable(zip(*pieces, last, strict=True)))[:-1]
