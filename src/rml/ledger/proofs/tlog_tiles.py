r"""How a transparency log lies in a folder: the paths and files of C2SP tlog-tiles.

::

    checkpoint                   origin, size and root, signed
    tile/<L>/<N>[.p/<W>]         hashes of level L: 256 of 32 bytes each, or W of them
    tile/entries/<N>[.p/<W>]     the entries under tile/0/<N>, each after its length in two bytes

``N`` is written in groups of three digits, all but the last with an ``x`` before them. A tile of
less than 256 hashes has its width ``W`` behind ``.p/``, and there is one at most on each level of a
tree. An entry's length is an unsigned 16-bit integer, the high byte first.

>>> tile_path(0, 1234067)
'tile/0/x001/x234/067'
>>> tile_path(1, 0, 5)
'tile/1/000.p/5'
>>> entries_path(4, 44)
'tile/entries/004.p/44'
>>> encode_entries([b"one", b"three"])
b'\x00\x03one\x00\x05three'
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from rml.ledger.tree import TILE_WIDTH

CHECKPOINT: Final = "checkpoint"
TILE: Final = "tile"
_GROUP: Final = 1000


def tile_path(level: int, place: int, width: int = TILE_WIDTH) -> str:
    """Return the path of a tile of hashes."""
    return f"{TILE}/{level}/{_place(place)}{_part(width)}"


def entries_path(place: int, width: int = TILE_WIDTH) -> str:
    """Return the path of the entries under a tile of level 0."""
    return f"{TILE}/entries/{_place(place)}{_part(width)}"


def encode_entries(entries: Iterable[bytes]) -> bytes:
    """Return an entry bundle; an entry has at most 65,535 bytes, as every ledger sees to."""
    return b"".join(len(data).to_bytes(2, "big") + data for data in entries)


def _place(place: int) -> str:
    high, low = divmod(place, _GROUP)
    path = f"{low:03d}"
    while high:
        high, low = divmod(high, _GROUP)
        path = f"x{low:03d}/{path}"
    return path


def _part(width: int) -> str:
    return "" if width == TILE_WIDTH else f".p/{width}"
