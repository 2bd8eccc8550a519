"""What is measured beside us: how a peer is named, whether it is there, and what it leaves out."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Generic, TypeVar

import attrs
from measure import say

T = TypeVar("T")


@attrs.frozen
class Kind(Generic[T]):
    """A peer as it comes.

    Attributes:
        name: its name and the version that was tried.
        package: what has to be installed.
        opened: opens a new one in an empty folder.
        lacks: what it does not promise as it comes, and we do; said below the figures.
        is_durable: whether what it recorded survives a loss of power.
    """

    name: str
    package: str
    opened: Callable[[Path], AbstractContextManager[T]]
    lacks: str
    is_durable: bool = True

    def missing(self) -> str | None:
        """Return why it cannot be measured, if it cannot."""
        if importlib.util.find_spec(self.package) is None:
            return "not installed; pip install 'rml[bench]'"
        return None


def present(kinds: Sequence[Kind[T]]) -> Iterator[Kind[T]]:
    """Yield the peers that are there, and say which are not."""
    for kind in kinds:
        missing = kind.missing()
        if missing is None:
            say(f"beside {kind.name} ...")
            yield kind
        else:
            say(f"{kind.name}: left out, {missing}")


def promises(kinds: Sequence[Kind[T]]) -> str:
    """Return what the peers do not promise, and which were left out; a line each."""
    lines = ["What the others do not promise:\n"]
    for kind in kinds:
        missing = kind.missing()
        left_out = "" if missing is None else f" Left out here: {missing}."
        lines.append(f"- {kind.name}: {kind.lacks}.{left_out}")
    return "\n".join(lines)
