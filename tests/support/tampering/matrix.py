"""One cell of the matrix: an attack on a log, and what the log says of it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Hashable
from functools import cache
from pathlib import Path
from typing import Final, Protocol

import attrs

from tampering.attacks import Attack, Log

# What can come of an attack.
CAUGHT: Final = "caught"  # it says that something is wrong
REFUSED: Final = "refused"  # it does not open or read the file, and says so by an error of its own
REMARKED: Final = "remarked"  # it accuses nobody, and says what a reader should know
LOWERED: Final = "level falls"  # it finds nothing wrong, and claims less than of the honest file
MISSED: Final = "missed"
CRASHED: Final = "crashed"  # an exception that is none of its own
ABSENT: Final = "has none"  # there is no such part to attack
# Nothing here is about flushes, so they may as well cost nothing.
IN_MEMORY: Final = "/dev/shm" if Path("/dev/shm").is_dir() else None
CATCHES: Final = frozenset({CAUGHT, REFUSED})


@attrs.frozen
class Found:
    """What a log says of itself.

    Attributes:
        caught: whether something is wrong.
        first: the first entry that is, if one is named.
        level: how much it claims to have shown.
        remarked: whether it says that a clock went back.
    """

    caught: bool
    first: int | None = None
    level: str = ""
    remarked: bool = False


class Verifying(Log, Hashable, Protocol):
    """A log that can be asked."""

    @property
    def name(self) -> str:
        """What its column is called."""
        ...

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """Its own errors."""
        ...

    def verify(self, path: Path) -> Found:
        """Verify the log in a file."""
        ...


def attacked(
    log: Verifying, attack: Attack, honest: Path, folder: Path
) -> tuple[str, Found | None]:
    """Attack a copy of an honest log; return what came of it in a word, and what the log found.

    Args:
        log: which.
        attack: what is done.
        honest: the file of an honest build.
        folder: an empty one, for the copy.
    """
    elsewhere = honest.parent.parent / "elsewhere"
    path = shutil.copytree(honest.parent, folder / honest.parent.name) / honest.name
    if elsewhere.exists():
        shutil.copytree(elsewhere, folder / elsewhere.name)
    try:
        attack.run(log, path)
    except NotImplementedError:
        return ABSENT, None
    try:
        found = log.verify(path)
    except Exception as error:  # noqa: BLE001 - whatever it is, the table says so
        return (REFUSED if isinstance(error, log.errors) else CRASHED), None
    if found.caught:
        return CAUGHT, found
    if found.remarked:
        return REMARKED, found
    return (MISSED if found.level == _level(log, honest) else LOWERED), found


@cache
def _level(log: Verifying, honest: Path) -> str:
    """What a log claims of an honest file."""
    return log.verify(honest).level


@cache
def results(log: Verifying, attacks: tuple[Attack, ...]) -> dict[str, tuple[str, Found | None]]:
    """Carry out attacks on one log; return what came of each, by its name."""
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as folder:
        honest = log.build(Path(folder) / "built" / "honest")
        found = {}
        for number, attack in enumerate(attacks):
            place = Path(folder) / str(number)
            place.mkdir()
            found[attack.name] = attacked(log, attack, honest, place)
            shutil.rmtree(place)
        return found
