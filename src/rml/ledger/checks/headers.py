"""Which headers the columns of a page give: made for all of its rows at once, to be compared.

Columns hold the texts of a header as they are, and its bytes hold them as JSON. A text in which
JSON would escape a letter is not looked at here: its row stands out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from rml.codec import compact_json
from rml.ledger.entry import COLUMNS, FORMAT

# Every header ends with the text of its world; then the facts begin.
_END: Final = b'"},{'
# What stands before a field's value and after it, in the order of RFC 8785.
_MARKS: Final = {
    name: (f'"{name}":'.encode(), b",") if name == "attempt" else (f'"{name}":"'.encode(), b'",')
    for name in sorted((*COLUMNS, "origin"))
}
_OPTIONAL: Final = COLUMNS[5:]
# What JSON escapes within a text, but for the end of a line, which no column's line has in it.
_ESCAPED: Final = bytes({*range(0x20), *b'"\\'} - {*b"\n"})


def behind_headers(
    origin: str, data: Sequence[bytes], columns: Mapping[str, bytes]
) -> tuple[list[bytes], set[int]]:
    """Return what follows the headers of rows, and which rows may begin not as their columns say.

    Args:
        origin: the ledger's.
        data: the rows' bytes, at least one row's.
        columns: as a survey has them, each with one line for each row.
    """
    headers = _headers(origin, columns, len(data))
    tails = list(map(bytes.removeprefix, data, headers))
    unlike = set(_escaped(columns))
    if sum(map(len, data)) != sum(map(len, headers)) + sum(map(len, tails)):
        for place, tail in enumerate(tails):
            if len(tail) == len(data[place]):
                unlike.add(place)
                tails[place] = tail.partition(_END)[2]
    return tails, unlike


def _escaped(columns: Mapping[str, bytes]) -> Iterator[int]:
    """Yield the places of rows with a text in which JSON would escape a letter."""
    for name in _OPTIONAL:
        text = columns.get(name, b"")
        if _is_escaped(text):
            lines = enumerate(text.split(b"\n"))
            yield from (place for place, line in lines if _is_escaped(line))


def _is_escaped(text: bytes) -> bool:
    return text.translate(None, _ESCAPED) != text


def _headers(origin: str, columns: Mapping[str, bytes], count: int) -> list[bytes]:
    """Return the headers; what all of them have alike is put together once."""
    pieces: list[bytes] = []  # of one header, with gaps for what each has of its own
    values: list[list[bytes]] = []
    alike = f'["{FORMAT}",{{'.encode()
    for name, (begin, end) in _MARKS.items():
        if name == "origin":
            alike += begin + compact_json(origin)[1:-1] + end
        if name not in columns:
            continue
        text = columns[name]
        value = common(text, count)
        if value is not None:
            alike += begin + value + end if value else b""
            continue
        lines = text.split(b"\n")
        if b"" in lines:
            values.append([begin + line + end if line else b"" for line in lines])
            pieces += alike, b""
            alike = b""
        else:
            values.append(lines)
            pieces += alike + begin, b""
            alike = end
    pieces.append(alike[: -len(_MARKS["world"][1])] + _END + b"\n")
    page = pieces * count
    for place, lines in enumerate(values):
        page[2 * place + 1 :: len(pieces)] = lines
    return b"".join(page).split(b"\n")[:-1]


def common(text: bytes, count: int) -> bytes | None:
    """Return the value that stands in each of so many lines; ``None`` if there are several."""
    first = text.partition(b"\n")[0]
    return first if text + b"\n" == (first + b"\n") * count else None
