"""What the doctor asks, and how an answer follows from what was seen: pure judgements, no looking.

Every question is put so that "yes" is good. "Unknown" is an honest answer: what cannot be seen from
here is neither well nor ill.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import attrs

from rml.clock import utc_text

# Below this, a burst of appends or one large checkpoint can fill the disk.
FREE_BYTES_MIN: Final = 1 << 30
# Each commit folds the log back once it has grown to about 4 MiB; sixteen times that means that a
# reader keeps it.
LOG_BYTES_MAX: Final = 64 << 20
# No disk or flash confirms a flush faster; something in between answers for it.
FLUSH_SECONDS_MIN: Final = 20e-6
# How long an effect may be in doubt before somebody should have decided.
DOUBT_AGE_MAX: Final = timedelta(hours=1)
# Two clocks of one network differ by less.
AHEAD_MAX: Final = timedelta(seconds=5)

_WAL_RESET_FIXED: Final = (3, 51, 3)
_WAL_RESET_WITHDRAWN: Final = (3, 52)
_OVER_A_NETWORK: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph"})
_IN_MEMORY: Final = frozenset({"tmpfs", "ramfs"})
_ON_A_DISK: Final = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "apfs"})
_OTHERS_MAY: Final = stat.S_IRWXG | stat.S_IRWXO


class Answer(StrEnum):
    """What the doctor says to a question."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@attrs.frozen
class Diagnosis:
    """One question with its answer, the evidence for it, and what to do unless it is yes.

    Attributes:
        about: ``library``, ``machine``, ``file``, ``database``, ``ledger`` or ``service``.
        question: put so that yes is good.
        answer: yes, no or unknown.
        evidence: what was seen.
        remedy: what to do; ``None`` where the answer is yes.
    """

    about: str
    question: str
    answer: Answer
    evidence: str
    remedy: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the diagnosis as JSON data."""
        return attrs.asdict(self)


def _judged(
    about: str, question: str, evidence: str, *, well: bool | None, remedy: str
) -> Diagnosis:
    answer = {True: Answer.YES, False: Answer.NO, None: Answer.UNKNOWN}[well]
    return Diagnosis(about, question, answer, evidence, None if well else remedy)


# Libraries ----------------------------------------------------------------------------------------


def wal_reset(version: tuple[int, ...], *, locks: bool | None, shared: bool = False) -> Diagnosis:
    """Judge SQLite's WAL-reset defect.

    In SQLite 3.7.0 to 3.51.2, a checkpoint of one connection during the commit of another can lose
    a commit silently. Fixed in 3.51.3 and from 3.53.0 on; 3.52.0 was withdrawn. A ledger makes
    checkpoints only inside its own commits, one process at a time by its lock file.

    Args:
        version: of the SQLite library in use.
        locks: whether the ledger's lock file excludes other writers; ``None`` if not seen.
        shared: whether an application has tables of its own in the file; it takes no turns.
    """
    text = ".".join(map(str, version))
    if version >= _WAL_RESET_FIXED and version[:2] != _WAL_RESET_WITHDRAWN:
        evidence = f"SQLite {text} does not have it"
        locks = True
    elif shared:
        evidence = f"SQLite {text} has it; NOT kept away: an application, too, writes to the file"
        locks = False
    else:
        guard = {
            True: "kept away: the ledger's lock file leaves one process at a time to checkpoint",
            False: "NOT kept away: the ledger's lock file does not exclude other processes",
            None: "kept away wherever the ledger's lock file works; no lock file was seen",
        }[locks]
        evidence = f"SQLite {text} has it; {guard}"
    return _judged(
        "library",
        "Is SQLite's WAL-reset defect kept away?",
        evidence,
        well=locks,
        remedy="use a Python with SQLite 3.51.3 or later, and let no other tool write to the file",
    )


def one_sqlite(others: Iterable[str]) -> Diagnosis:
    """Judge whether a second SQLite library in this process may break the first one's locks."""
    names = ", ".join(sorted(others))
    return _judged(
        "library",
        "Does this process have one SQLite library?",
        f"also loaded: {names}" if names else "no other one is loaded",
        well=not names,
        remedy="open the ledger's file with one library only: closing it in another drops the "
        "first one's locks",
    )


def signing(version: str | None) -> Diagnosis:
    """Judge whether checkpoints can be signed and checked here; not every machine has to."""
    return _judged(
        "library",
        "Can checkpoints be signed and checked here?",
        f"cryptography {version}"
        if version
        else "cryptography is not installed; it is needed where checkpoints are, and nowhere else",
        well=True if version else None,
        remedy="if this machine is to sign or check them: pip install 'rml[sign]'",
    )


# The machine and the file -------------------------------------------------------------------------


def filesystem(kind: str | None) -> Diagnosis:
    """Judge whether what is flushed stays, and whether locks hold, by the kind of file system."""
    well: bool | None = None
    evidence = "the kind of file system is not known" if kind is None else f"it lies on {kind}"
    if kind in _ON_A_DISK:
        well = True
    elif kind in _IN_MEMORY:
        well, evidence = False, f"{kind} is memory: nothing on it survives a restart"
    elif kind in _OVER_A_NETWORK:
        well, evidence = (
            False,
            f"{kind} is reached over a network: SQLite's log needs shared memory",
        )
    elif kind == "overlay":
        evidence = "it lies in a container's own layer, which goes when the container goes"
    return _judged(
        "machine",
        "Is the ledger on a local disk?",
        evidence,
        well=well,
        remedy="keep the ledger on a local disk or volume that outlives the process",
    )


def flush(seconds: float | None) -> Diagnosis:
    """Judge whether a flush reaches hardware, by how long one takes (the median of a few)."""
    if seconds is None:
        evidence, well = "no flush could be tried in the ledger's folder", None
    else:
        evidence = f"a flush takes {seconds * 1e3:.2f} ms"
        well = True if seconds >= FLUSH_SECONDS_MIN else None
        evidence += "" if well else ", faster than any disk"
    return _judged(
        "machine",
        "Does a flush take the time of real hardware?",
        evidence,
        well=well,
        remedy="ask whoever runs the disk whether a confirmed flush survives a power cut",
    )


def space(free: int) -> Diagnosis:
    """Judge the free space on the ledger's disk, in bytes."""
    return _judged(
        "machine",
        "Is there room on the ledger's disk?",
        f"{free / (1 << 30):.1f} GiB free",
        well=free >= FREE_BYTES_MIN,
        remedy="free some space: a full disk refuses every append",
    )


def locking(works: bool | None) -> Diagnosis:  # noqa: FBT001 - the one thing that was seen
    """Judge whether the ledger's lock file makes processes take turns."""
    seen = {
        True: "two openings of the lock file exclude each other",
        False: "the lock file can be locked twice at once",
        None: "there is no lock file yet, or it cannot be opened",
    }
    return _judged(
        "file",
        "Do processes take turns at writing?",
        seen[works],
        well=works,
        remedy="write to the ledger once; if it stays so, move it to a file system with flock",
    )


def privacy(modes: Mapping[str, int]) -> Diagnosis:
    """Judge who may read the ledger's files, by name and permission bits."""
    open_files = {name: mode for name, mode in modes.items() if mode & _OTHERS_MAY}
    told = ", ".join(f"{name} is {stat.S_IMODE(mode):o}" for name, mode in open_files.items())
    return _judged(
        "file",
        "May only its owner read the ledger?",
        told or f"{', '.join(modes)}: for the owner alone",
        well=not open_files,
        remedy=f"chmod 600 {' '.join(open_files)}",
    )


def log_size(size: int) -> Diagnosis:
    """Judge the size of the write-ahead log, in bytes."""
    return _judged(
        "file",
        "Is the write-ahead log folded back?",
        f"the log has {size / (1 << 20):.1f} MiB",
        well=size <= LOG_BYTES_MAX,
        remedy="find the reader that holds an old view of the file, perhaps another tool",
    )


def durable(journal_mode: str) -> Diagnosis:
    """Judge the file's journal mode; every connection of a ledger sets ``synchronous=FULL``."""
    return _judged(
        "file",
        "Does an acknowledged entry survive a power cut?",
        f"journal_mode is {journal_mode}, and a ledger writes with synchronous=FULL",
        well=journal_mode == "wal",
        remedy="let the ledger set its own journal mode: open and write to it with rml",
    )


def guarded(findings: Iterable[tuple[str, str]]) -> Diagnosis:
    """Judge whether the triggers and tables are those that a ledger was made with."""
    details = [detail for _, detail in findings]
    return _judged(
        "file",
        "Are the triggers that keep it append-only in place?",
        "; ".join(details[:3]) if details else "all tables, indexes and triggers are as created",
        well=not details,
        remedy="keep the file as evidence and run: rml verify",
    )


# The ledger's content -----------------------------------------------------------------------------


def clock(newest: datetime | None, now: datetime) -> Diagnosis:
    """Judge this machine's clock against the newest entry's recorded time."""
    if newest is None:
        evidence, well = "there is no entry to compare with", None
    else:
        evidence = f"the newest entry was recorded at {utc_text(newest)}, now is {utc_text(now)}"
        well = newest <= now + AHEAD_MAX
    return _judged(
        "ledger",
        "Does this machine's clock agree with the ledger's?",
        evidence,
        well=well,
        remedy="check the clocks of the machines that write: leases are counted by them",
    )


def doubts(since: Iterable[datetime], now: datetime) -> Diagnosis:
    """Judge how long effects have been in doubt, by when each began."""
    waiting = sorted(since)
    evidence = "no effect is in doubt"
    if waiting:
        evidence = f"{len(waiting)} in doubt, the oldest since {utc_text(waiting[0])}"
    return _judged(
        "ledger",
        "Is everything in doubt being seen to?",
        evidence,
        well=not waiting or now - waiting[0] <= DOUBT_AGE_MAX,
        remedy="rml effects --in-doubt shows them; reconcile or decide",
    )


def signed_by_service(service: str | None, *, any_entry: bool) -> Diagnosis:
    """Judge whether entries say which service wrote them, by the newest that one should have."""
    well = None if not any_entry else service is not None
    seen = {None: "there is no entry yet", False: "the newest names no service"}
    return _judged(
        "service",
        "Do entries say which service wrote them?",
        seen.get(well) or f"the newest is by {service}",
        well=well,
        remedy="rml.configure(service='payments')",
    )
