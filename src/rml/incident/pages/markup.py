"""What the parts of a page are made of: escaped text, times, spans, lists and pairs.

Every text is escaped, and so is what would turn the text around it.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from rml.incident.metrics import IN_THE_MOMENT
from rml.world import World

# What a terminal obeys, and what turns the text around it from right to left.
_UNSEEN: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)
_UNITS: Final = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def escaped(value: object) -> str:
    """Return a value as text that is no markup, and shows what it would otherwise turn or hide."""
    return html.escape(_UNSEEN.sub(_seen, str(value)))


def _seen(found: re.Match[str]) -> str:
    """Return a character that would change what stands around it as its escape."""
    return found[0].encode("unicode_escape").decode("ascii")


def words(name: str) -> str:
    """Return a name of the record as words."""
    return name.replace("_", " ")


def world_badge(world: World) -> str:
    """Return a world as a badge in its colour."""
    return f'<span class="world {world.value.lower()}">{world.value}</span>'


def day_of(at: datetime) -> str:
    """Return the day of a moment."""
    return at.strftime("%Y-%m-%d")


def clock_of(at: datetime) -> str:
    """Return the time of day of a moment."""
    return at.strftime("%H:%M:%S")


def moment(at: datetime) -> str:
    """Return a moment as an element that machines can read, too."""
    machine = at.isoformat().replace("+00:00", "Z")
    return f'<time datetime="{machine}">{day_of(at)} {clock_of(at)} UTC</time>'


def span(took: timedelta) -> str:
    """Return a span in its largest unit, and the next."""
    seconds = int(abs(took).total_seconds())
    parts: list[str] = []
    for unit, size in _UNITS:
        count, seconds = divmod(seconds, size)
        if count or parts:
            parts.append(f"{count} {unit}" if count else "")
        if len(parts) == 2:  # noqa: PLR2004
            break
    sign = "-" if took < timedelta(0) else ""
    return sign + (" ".join(filter(None, parts)) or "0 s")


def is_late(at: datetime, recorded_at: datetime | None) -> bool:
    """Say whether something was written down so much later that it was not in the moment."""
    return recorded_at is not None and recorded_at - at > IN_THE_MOMENT


def lateness(at: datetime, recorded_at: datetime | None) -> str:
    """Return how much later something was written down, if it was."""
    if recorded_at is None or not is_late(at, recorded_at):
        return ""
    return f" <em>written {span(recorded_at - at)} later</em>"


def pairs(rows: Iterable[tuple[str, object]], kind: str) -> str:
    """Return named values as a list of a kind; nothing, if there are none."""
    items = "".join(f"<dt>{escaped(name)}</dt><dd>{escaped(said)}</dd>" for name, said in rows)
    return f'<dl class="{kind}">{items}</dl>' if items else ""


def bullets(items: Iterable[str], kind: str = "") -> str:
    """Return texts as a list of a kind; nothing, if there are none."""
    lines = "".join(f"<li>{escaped(item)}</li>" for item in items)
    return f'<ul class="{kind}">{lines}</ul>' if lines else ""
