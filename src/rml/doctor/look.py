"""How the doctor looks: what this process, this machine and a ledger's file show from outside.

Looking changes nothing: no entry is written, and the one file it makes has no name and is gone when
it is closed.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sqlite3
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from rml.doctor import diagnosis
from rml.doctor.diagnosis import Answer, Diagnosis
from rml.error import InvalidInputError, RmlError
from rml.ledger.ledger import Ledger
from rml.ledger.store import to_url
from rml.stores import sqlite_file

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows
    fcntl = None  # type: ignore[assignment]

# Modules that bring an SQLite library of their own.
_OTHER_SQLITES: Final = ("apsw", "duckdb", "pysqlite3", "sqlean")
_FLUSHES: Final = 5
_FLUSHED_BYTES: Final = 4096
_MOUNTS: Final = Path("/proc/self/mountinfo")
_WAIT_SECONDS: Final = 5.0


def examine(place: object = None) -> tuple[Diagnosis, ...]:
    """Look at this process and, if one is named, at a ledger; answer one question a line.

    Args:
        place: the ledger's path or URL; never created.

    Raises:
        InvalidInputError: ``place`` is no path or URL.
    """
    path = None if place is None else _path_of(to_url(place))
    return tuple(_answers(place, path))


def _answers(place: object, path: Path | None) -> Iterator[Diagnosis]:
    locks = None if path is None else _locks(path)
    url = None if place is None else to_url(place)
    in_postgres = url is not None and url.startswith("postgresql:")
    if not in_postgres:
        shared = path is not None and _is_shared(path)
        yield diagnosis.wal_reset(sqlite3.sqlite_version_info, locks=locks, shared=shared)
        yield diagnosis.one_sqlite(name for name in _OTHER_SQLITES if name in sys.modules)
    yield diagnosis.signing(_installed("cryptography"))
    if place is None:
        return
    try:
        with Ledger(place, create=False, timeout=_WAIT_SECONDS) as ledger:
            yield Diagnosis(
                "file", "Can the ledger be opened?", Answer.YES, f"{ledger.size} entries"
            )
            if path is not None:
                yield from _of_machine(path)
                yield from _of_file(path, locks)
            if in_postgres:
                yield from _of_database(ledger.url)
            yield from _of_content(ledger)
    except InvalidInputError:
        raise
    except RmlError as error:
        remedy = "nothing else was looked at"
        if not in_postgres:
            remedy += "; rml verify says more of a damaged file"
        yield Diagnosis("file", "Can the ledger be opened?", Answer.NO, error.message, remedy)


def _of_machine(path: Path) -> Iterator[Diagnosis]:
    yield diagnosis.filesystem(_filesystem(path.parent))
    yield diagnosis.flush(_flush_seconds(path.parent))
    yield diagnosis.space(shutil.disk_usage(path.parent).free)


def _of_file(path: Path, locks: bool | None) -> Iterator[Diagnosis]:  # noqa: FBT001 - as it was seen
    yield diagnosis.locking(locks)
    files = [path.with_name(path.name + ending) for ending in ("", "-wal", "-shm", ".lock")]
    there = [file for file in files if file.exists()]
    yield diagnosis.privacy({file.name: file.stat().st_mode for file in there})
    yield diagnosis.log_size(files[1].stat().st_size if files[1].exists() else 0)
    with closing(sqlite_file.connect(path, create=False, wait=_WAIT_SECONDS)) as connection:
        yield diagnosis.durable(connection.execute("PRAGMA journal_mode").fetchone()[0])
        yield diagnosis.guarded(sqlite_file.schema_findings(connection))


def _of_database(url: str) -> Iterator[Diagnosis]:
    from rml.doctor import postgres

    yield from postgres.examine(url)


def _of_content(ledger: Ledger) -> Iterator[Diagnosis]:
    now = ledger.clock.now()
    newest = next(iter(ledger.entries(newest_first=True, limit=1)), None)
    yield diagnosis.clock(newest.recorded_at if newest else None, now)
    yield diagnosis.doubts([effect.started_at for effect in ledger.in_doubt()], now)
    # A command, such as `rml reconcile`, is no service; so ask what a service's own call wrote.
    called = next(iter(ledger.entries(kind="effect.intent", newest_first=True, limit=1)), newest)
    yield diagnosis.signed_by_service(called.service if called else None, any_entry=bool(called))


# What is seen -------------------------------------------------------------------------------------


def _path_of(url: str) -> Path | None:
    """Return the file that a ``sqlite:`` URL names, if it names one."""
    scheme, _, place = url.partition("://")
    place = place.removeprefix("/")
    return Path(place).absolute() if scheme == "sqlite" and place not in {"", ":memory:"} else None


def _installed(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _is_shared(path: Path) -> bool:
    """Say whether a ledger's file holds tables of an application; no, if it cannot be read."""
    try:
        with closing(sqlite_file.connect(path, create=False, wait=_WAIT_SECONDS)) as connection:
            return sqlite_file.is_shared(connection)
    except sqlite3.Error:
        return False


def _locks(path: Path) -> bool | None:
    """Say whether two openings of the ledger's lock file exclude each other."""
    lock = path.with_name(path.name + ".lock")
    if fcntl is None:
        return None
    try:
        first, second = os.open(lock, os.O_RDWR), os.open(lock, os.O_RDWR)
    except OSError:
        return None
    try:
        fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:  # by the first one, or by a writer of just now
        return True
    except OSError:
        return False
    else:
        return False
    finally:
        os.close(first)
        os.close(second)


def _filesystem(folder: Path) -> str | None:
    """Return the kind of file system that a folder lies on, as Linux names it."""
    try:
        lines = _MOUNTS.read_text(encoding="utf-8").splitlines()
        device = f"{os.major(folder.stat().st_dev)}:{os.minor(folder.stat().st_dev)}"
    except OSError:
        return None
    for line in lines:
        before, _, after = line.partition(" - ")
        if before.split()[2] == device:
            return after.split()[0]
    return None


def _flush_seconds(folder: Path) -> float | None:
    """Return the median time to write a page and flush it, to a file without a name."""
    try:
        file = os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o600)
    except (AttributeError, OSError):
        return None
    try:
        return statistics.median(_timed_flush(file) for _ in range(_FLUSHES))
    except OSError:
        return None
    finally:
        os.close(file)


def _timed_flush(file: int) -> float:
    os.write(file, bytes(_FLUSHED_BYTES))
    began = time.perf_counter()
    os.fsync(file)
    return time.perf_counter() - began
