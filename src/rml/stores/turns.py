"""How the processes that share one file take turns at writing: a lock that none keeps by accident.

SQLite's own waiting starves: of eight writers one may get nothing for seconds. An exclusive
``flock`` on a file beside the ledger is released by the operating system when its holder dies, and
is held for one commit only.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows: SQLite's own locks keep the file safe, not fair
    fcntl = None  # type: ignore[assignment]

# How long to sleep between two looks at a lock that another process holds, in seconds.
_PAUSE_FIRST_SECONDS: Final = 0.0001
_PAUSE_LONGEST_SECONDS: Final = 0.002


class NoTurns:
    """For a ledger that no other process can reach."""

    def take(self, deadline: float) -> bool:  # noqa: ARG002 - the shape of FileTurns
        """Grant at once."""
        return True

    def give_back(self) -> None:
        """Release nothing."""

    def close(self) -> None:
        """Release nothing."""


class FileTurns:
    """Turns by ``flock`` on ``<ledger>.lock``.

    The lock file stays in place for ever: removing it would let two processes lock two files.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(path.name + ".lock")
        self._file: int | None = None

    def take(self, deadline: float) -> bool:
        """Wait for the lock until ``deadline`` (monotonic seconds); return whether it was granted.

        In a folder that cannot be written there are no turns: SQLite says so, in better words.
        """
        if self._file is None:
            self._file = self._open()
        if self._file is None:
            return True
        pause = _PAUSE_FIRST_SECONDS
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    return False
                time.sleep(pause)
                pause = min(pause * 2, _PAUSE_LONGEST_SECONDS)
            else:
                return True

    def give_back(self) -> None:
        """Let the next process have its turn."""
        if self._file is not None:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def _open(self) -> int | None:
        if fcntl is None:
            return None
        try:
            return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            return None

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Close the lock file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
