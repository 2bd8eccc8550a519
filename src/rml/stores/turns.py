"""How the processes that share one file take turns at writing: whoever waits longest is next.

SQLite's own waiting starves: of eight writers one may get nothing for seconds. An exclusive
``flock`` on a file beside the ledger is released by the operating system when its holder dies, and
is held for one commit only. The system keeps a queue of those who wait for it, but knows no
deadline; so a thread does the waiting, and only when there is somebody to wait for.
"""

from __future__ import annotations

import _thread
import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows: SQLite's own locks keep the file safe, not fair
    fcntl = None  # type: ignore[assignment]

# How long to sleep between two looks at the lock where no thread can wait for it, in seconds.
_PAUSE_SECONDS: Final = 0.001


class NoTurns:
    """For a ledger that no other process can reach."""

    def take(self, deadline: float) -> bool:  # noqa: ARG002 - the shape of FileTurns
        """Grant at once."""
        return True

    def give_back(self) -> None:
        """Release nothing."""

    def close(self) -> None:
        """Release nothing."""

    def forget(self) -> None:
        """Release nothing."""


class FileTurns:
    """Turns by ``flock`` on ``<ledger>.lock``; for one thread at a time.

    The lock file stays in place for ever: removing it would let two processes lock two files.
    """

    def __init__(self, path: Path) -> None:
        self._path = Path(f"{path}.lock")  # of `/`, too, which has no name
        self._file: int | None = None
        self._wait: _Wait | None = None

    def take(self, deadline: float) -> bool:
        """Wait for the turn until ``deadline`` (monotonic seconds); return whether it was granted.

        In a folder that cannot be written there are no turns: SQLite says so, in better words.
        """
        if self._file is None:
            self._file = _open(self._path)
        if self._file is None or _lock_now(self._file):
            return True
        seconds = deadline - time.monotonic()
        if seconds <= 0:
            return False
        try:
            if self._wait is None or not self._wait.resume():
                self._wait = _Wait(self._path)
        except (OSError, RuntimeError):  # no file or thread is to be had, as at the program's end
            return self._look_again(self._file, deadline)
        granted = self._wait.granted(seconds)
        if granted is not None:
            self._file, before, self._wait = granted, self._file, None
            os.close(before)
        return granted is not None

    def _look_again(self, file: int, deadline: float) -> bool:
        while time.monotonic() < deadline:
            time.sleep(_PAUSE_SECONDS)
            if _lock_now(file):
                return True
        return False

    def give_back(self) -> None:
        """Let the next process have its turn."""
        if self._wait is not None:
            self._wait.give_up()
        if self._file is not None:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Give up a wait, and close the lock file."""
        if self._wait is not None:
            self._wait.give_up()
            self._wait = None
        if self._file is not None:
            os.close(self._file)
            self._file = None

    __del__ = close

    def forget(self) -> None:
        """Close what a forked child has inherited: else it would keep its dead parent's turn."""
        if self._wait is not None:
            self._wait.forget()
            self._wait = None
        self.close()


class _Wait:
    """One place in the system's queue for the lock.

    It cannot be left before the lock is granted, so a later attempt resumes it.
    """

    def __init__(self, path: Path) -> None:
        file = _open(path)
        if file is None:
            raise FileNotFoundError
        self._file = file
        self._mutex = threading.Lock()
        self._gate = threading.Lock()
        self._gate.acquire()
        self._is_wanted = True
        self._is_over = False
        try:
            _thread.start_new_thread(self._stand, ())
        except RuntimeError:
            os.close(file)
            raise

    def _stand(self) -> None:
        is_locked = False
        with suppress(OSError):
            fcntl.flock(self._file, fcntl.LOCK_EX)
            is_locked = True
        with self._mutex:
            self._is_over = True
            self._is_wanted = self._is_wanted and is_locked
            if self._is_wanted:
                self._gate.release()
            else:
                os.close(self._file)

    def granted(self, seconds: float) -> int | None:
        """Return the locked file, which is the caller's now, unless it took too long."""
        if self._gate.acquire(timeout=min(seconds, threading.TIMEOUT_MAX)):
            return self._file
        self.give_up()
        return None

    def give_up(self) -> None:
        """Let the lock go as soon as it is granted, unless the wait is resumed before."""
        with self._mutex:
            if self._is_wanted and self._is_over:
                os.close(self._file)
            self._is_wanted = False

    def resume(self) -> bool:
        """Want the lock again; return False when it was granted, and let go, meanwhile."""
        with self._mutex:
            self._is_wanted = not self._is_over
            return self._is_wanted

    def forget(self) -> None:
        """Close the file in a forked child, where nobody stands in the queue."""
        with suppress(OSError):
            os.close(self._file)


def _open(path: Path) -> int | None:
    """Return the lock file; each call returns another one, with a lock of its own."""
    if fcntl is None:
        return None
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return None


def _lock_now(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
