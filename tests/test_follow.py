"""A follower sees every entry once and in order; its cursor fits one history, and moves last."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import rml
from rml import (
    Checkpoint,
    FileCursor,
    FileNotWrittenError,
    InvalidInputError,
    Ledger,
    LedgerCorruptError,
    LedgerUnavailableError,
)
from rml.ledger.argument import SECONDS_MAX
from rml.ledger.queries.cursor import CURSOR_BYTES_MAX
from rml.ledger.queries.follow import PAGE_ENTRIES, POLL_SECONDS


def note(ledger: Ledger, count: int = 1, kind: str = "stock.counted") -> None:
    """Append so many small entries in one commit."""
    ledger.write(lambda draft: [draft.append(kind, world="RML1") for _ in range(count)])


def seen(entries: Any) -> list[int | None]:
    """The indexes of entries."""
    return [entry.index for entry in entries]


class Waits:
    """What happens while a follower waits, in place of time; the follower ends when all has."""

    def __init__(self, *happenings: Callable[[], object]) -> None:
        self.happenings = list(happenings)
        self.waited: list[float] = []

    def __call__(self, seconds: float) -> bool:
        """Let the next thing happen; return whether there is none."""
        self.waited.append(seconds)
        if not self.happenings:
            return True
        self.happenings.pop(0)()
        return False


class Kept:
    """A cursor of somebody's own: text in a list, as it would stand in a database."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def load(self) -> Checkpoint | None:
        """Read the newest."""
        return Checkpoint.from_text(self.texts[-1]) if self.texts else None

    def save(self, checkpoint: Checkpoint) -> None:
        """Keep one more."""
        self.texts.append(checkpoint.to_text())


# ----------------------------------------------------------------------------------- going on


def test_a_follower_goes_on_as_entries_come(ledger: Ledger) -> None:
    """What is there, then what comes while it waits; a look that finds nothing is no end."""
    note(ledger, 2)
    waits = Waits(lambda: note(ledger), lambda: None, lambda: note(ledger, 3))

    assert list(range(6)) == seen(ledger.follow(wait=waits, poll=timedelta(seconds=2)))
    assert [2.0] * 4 == waits.waited


@pytest.mark.parametrize("poll", [1e300, timedelta.max, 10**40])
def test_a_wait_that_no_clock_can_count_is_as_long_as_one_can(
    ledger: Ledger, poll: float | timedelta
) -> None:
    """Nobody waits for its end."""
    waits = Waits()

    assert [] == seen(ledger.follow(wait=waits, poll=poll))
    assert [SECONDS_MAX] == waits.waited


def test_what_comes_while_entries_are_handled_is_seen_too(ledger: Ledger) -> None:
    """Also more than a page of it, without a wait in between."""
    note(ledger, 2)
    found = []
    for entry in ledger.follow(poll=None):
        found.append(entry.index)
        if entry.index == 1:
            note(ledger, 2 * PAGE_ENTRIES + 1)

    assert [0, 1] == found
    assert list(range(2 * PAGE_ENTRIES + 3)) == seen(ledger.follow(poll=None))


def test_a_follower_waits_by_sleeping(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless it is told how to wait, and for how long."""
    waits = Waits()
    monkeypatch.setattr("rml.ledger.queries.follow.time.sleep", waits)

    assert [] == seen(ledger.follow())
    assert [POLL_SECONDS] == waits.waited


def test_an_event_ends_a_follower_in_another_thread(ledger: Ledger) -> None:
    """`threading.Event().wait` is a way to wait."""
    stop, found = threading.Event(), list[int | None]()
    handled = threading.Event()

    def follow() -> None:
        for entry in ledger.follow(wait=stop.wait, poll=0.001):
            found.append(entry.index)
            handled.set()

    thread = threading.Thread(target=follow)
    thread.start()
    note(ledger)
    assert handled.wait(30)
    stop.set()
    thread.join(30)

    assert ([0], False) == (found, thread.is_alive())


def test_a_follower_can_be_choosy(ledger: Ledger) -> None:
    """It passes over what does not match, and remembers that it did."""
    for kind in ("a.b", "x.y", "a.b", "x.y"):
        note(ledger, kind=kind)
    feed = ledger.follow(kind="a.b", poll=None)

    assert ([0, 2], 4) == (seen(feed), feed.position.size)
    note(ledger, kind="a.b")
    assert [4] == seen(feed)
    for conditions in ({"world": "RML3"}, {"operation": "x"}, {"effect": "x"}, {"corrects": "x"}):
        assert [] == seen(ledger.follow(poll=None, **conditions))
    assert [] == seen(ledger.follow(poll=None, incident="INC-1", correlation="req-1"))


def test_a_loop_that_is_left_and_begun_anew_repeats_nothing(ledger: Ledger) -> None:
    """The follower knows how far it has come."""
    note(ledger, 5)
    feed = ledger.follow(poll=None)

    for entry in feed:
        if entry.index == 2:
            break

    assert [3, 4] == seen(feed)


# ------------------------------------------------------------------------------------ beginning


def test_entries_after_an_index_are_asked_for(ledger: Ledger) -> None:
    """Above it, below any limit; beyond the end there is nothing yet."""
    note(ledger, 4)

    assert [2, 3] == seen(ledger.entries(after=1))
    assert ([2], 2) == (seen(ledger.entries(after=1, limit=1)), len(ledger.entries(after=1)))
    assert ([0, 1, 2, 3], []) == (seen(ledger.entries(after=-1)), seen(ledger.entries(after=9)))


@pytest.mark.parametrize("after", [-2, True, "1", 2**63])
def test_what_is_no_index_is_refused(ledger: Ledger, after: Any) -> None:
    """For entries and followers alike."""
    for ask in (ledger.entries, ledger.follow):
        with pytest.raises(InvalidInputError, match=r"^after is "):
            ask(after=after)


def test_a_follower_begins_where_it_is_told(ledger: Ledger) -> None:
    """After an index, after a checkpoint, after everything."""
    note(ledger, 4)
    checkpoint = Checkpoint.from_text(ledger.checkpoint())

    assert [2, 3] == seen(ledger.follow(after=1, poll=None))
    assert [] == seen(ledger.follow(after=3, poll=None))
    note(ledger)
    assert [4] == seen(ledger.follow(after=checkpoint, poll=None))


def test_a_place_beyond_the_end_is_refused(ledger: Ledger) -> None:
    """To wait there would skip what comes before it."""
    with pytest.raises(InvalidInputError, match="after is 0; the ledger has 0 entries"):
        ledger.follow(after=0)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"poll": 0}, "poll is 0"),
        ({"poll": -1}, "poll must be a number of seconds"),
        ({"poll": "1"}, "poll must be a number of seconds"),
        ({"wait": 5}, "wait is 5"),
        ({"world": "RML4"}, "RML4"),
        ({"kind": 5}, "kind must be text"),
        ({"cursor": "a.cursor"}, r"give an rml\.FileCursor\(path\)"),
        ({"cursor": Kept}, "load"),
    ],
    ids=str,
)
def test_what_cannot_be_followed_is_said_at_once(ledger: Ledger, options: Any, reason: str) -> None:
    """Before the first entry is handed out."""
    with pytest.raises((InvalidInputError, TypeError), match=reason):
        ledger.follow(**options)


# -------------------------------------------------------------------------------------- cursors


@pytest.fixture
def cursor(tmp_path: Path) -> FileCursor:
    """A cursor whose file is not there yet."""
    return FileCursor(tmp_path / "mail.cursor")


def test_a_cursor_goes_on_where_the_last_run_stopped(ledger: Ledger, cursor: FileCursor) -> None:
    """Also over entries that did not match; `after` is for the first run."""
    note(ledger, 3)
    note(ledger, kind="x.y")

    assert [1, 2] == seen(ledger.follow(cursor=cursor, after=0, poll=None, kind="stock.counted"))
    assert (4, ledger.root) == (cursor.load().size, cursor.load().root.hex())  # type: ignore[union-attr]
    note(ledger)
    assert [4] == seen(ledger.follow(cursor=cursor, after=0, poll=None))
    assert [] == seen(ledger.follow(cursor=cursor, after=0, poll=None))


def test_a_cursor_moves_when_the_next_entry_is_asked_for(
    ledger: Ledger, cursor: FileCursor
) -> None:
    """An entry whose handling failed, or was left, comes again."""
    note(ledger, 3)

    def handle() -> None:
        for entry in ledger.follow(cursor=cursor, poll=None):
            if entry.index == 1:
                raise OSError

    for _ in range(2):
        with pytest.raises(OSError, match=r"^$"):
            handle()
        assert 1 == cursor.load().size  # type: ignore[union-attr]
    for entry in ledger.follow(cursor=cursor, poll=None):
        if entry.index == 2:
            break
    assert [2] == seen(ledger.follow(cursor=cursor, poll=None))


def test_a_position_is_kept_in_a_transaction_of_ones_own(ledger: Ledger) -> None:
    """With each entry comes what to go on from once it is handled."""
    note(ledger, 2 * PAGE_ENTRIES)
    feed = ledger.follow(poll=None)
    assert 0 == feed.position.size

    places = [feed.position for _ in feed]

    assert [ledger.as_of(n).root for n in range(1, len(places) + 1)] == [
        place.root.hex() for place in places
    ]
    half = Checkpoint.from_text(places[PAGE_ENTRIES].to_text())
    assert PAGE_ENTRIES + 1 == seen(ledger.follow(after=half, poll=None))[0]


def test_a_cursor_of_ones_own_needs_two_methods(ledger: Ledger) -> None:
    """It is asked once, and told after every entry."""
    note(ledger, 3)
    kept = Kept()

    assert [0, 1, 2] == seen(ledger.follow(cursor=kept, poll=None))
    assert ["1", "2", "3"] == [text.splitlines()[1] for text in kept.texts]
    assert [] == seen(ledger.follow(cursor=kept, poll=None))


def test_a_cursor_of_another_ledger_is_refused(ledger: Ledger, cursor: FileCursor) -> None:
    """Its numbers mean other entries."""
    with Ledger("memory:", origin="example.com/other") as other:
        note(other)
        list(other.follow(cursor=cursor, poll=None))

    with pytest.raises(InvalidInputError, match=r"is of the ledger 'example\.com/other'"):
        ledger.follow(cursor=cursor)


@pytest.mark.parametrize("grown", [0, 1, 5])
def test_a_ledger_that_was_set_back_is_found_out(cursor: FileCursor, grown: int) -> None:
    """Fewer entries than were seen, or others in their place: the history is not the same one."""
    for count in (2, grown):
        with Ledger("memory:", origin="example.com/same") as made:
            note(made, count)
            if count == 2:
                list(made.follow(cursor=cursor, poll=None))
                continue
            with pytest.raises(LedgerCorruptError, match=r"set back.*rml verify"):
                made.follow(cursor=cursor)


def test_a_ledger_that_is_set_back_under_a_follower_is_found_out(ledger: Ledger) -> None:
    """While it waits, too."""
    note(ledger, 3)
    with Ledger("memory:", origin=ledger.origin) as other:
        note(other, 4)
        feed = ledger.follow(wait=Waits(lambda: setattr(feed, "_store", other._store)))

        with pytest.raises(LedgerCorruptError, match="first 3 entries are not those"):
            list(feed)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"5",
        b"\xff",
        b"origin\n5\n",
        b"origin\nfive\n" + b"A" * 44 + b"\n",
        b"SQLite format 3\0",
    ],
    ids=repr,
)
def test_a_damaged_cursor_says_so(cursor: FileCursor, data: bytes) -> None:
    """In one line, with the way out."""
    cursor.path.write_bytes(data)

    with pytest.raises(InvalidInputError, match=r"mail\.cursor holds no cursor.*name another file"):
        cursor.load()


def test_a_ledger_is_not_even_opened_as_a_cursor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing the file would drop the locks that SQLite holds on it in this process."""
    with Ledger(tmp_path / "payments.db") as ledger:
        note(ledger)
        place = tmp_path / "payments.db"
        assert place.stat().st_size > CURSOR_BYTES_MAX
        monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail("it was opened"))

        with pytest.raises(InvalidInputError, match="holds no cursor"):
            ledger.follow(cursor=FileCursor(place))


def test_a_cursor_without_a_folder_is_refused_before_anything_is_handled(
    ledger: Ledger, tmp_path: Path
) -> None:
    """Its first place could not be kept, so what was handled would come again for ever."""
    note(ledger)

    with pytest.raises(InvalidInputError, match="its folder does not exist"):
        ledger.follow(cursor=FileCursor(tmp_path / "gone" / "mail.cursor"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a pipe of POSIX")
def test_a_pipe_is_no_cursor(cursor: FileCursor) -> None:
    """It is refused at once; to open it would wait for somebody who writes into it."""
    os.mkfifo(cursor.path)

    with pytest.raises(rml.InvalidInputError, match="holds no cursor"):
        cursor.load()


def test_a_cursor_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    """A file is no folder, a folder is no cursor, and a number is no path."""
    tmp_path.joinpath("file").touch()
    with pytest.raises(InvalidInputError, match=r"cannot read the cursor .*: Not a directory"):
        FileCursor(tmp_path / "file" / "mail.cursor").load()
    with pytest.raises(InvalidInputError, match="holds no cursor"):
        FileCursor(tmp_path).load()
    with pytest.raises(InvalidInputError, match="path must be the path of a file"):
        FileCursor(5)  # type: ignore[arg-type]


def test_a_cursor_that_cannot_be_kept_ends_the_follower(ledger: Ledger, tmp_path: Path) -> None:
    """The entry was handled, and will be given again."""
    note(ledger, 2)
    place = tmp_path / "removed"
    place.mkdir()
    feed = iter(ledger.follow(cursor=FileCursor(place / "mail.cursor"), poll=None))

    assert 0 == next(feed).index
    place.rmdir()
    with pytest.raises(FileNotWrittenError, match="does not exist"):
        next(feed)


def test_a_cursor_is_replaced_as_a_whole(
    ledger: Ledger, cursor: FileCursor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fails in the middle leaves the old one, and nothing beside it."""
    note(ledger, 2)
    list(ledger.follow(cursor=cursor, poll=None))
    before = cursor.path.read_bytes()

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(FileNotWrittenError, match="No space left on device"):
        cursor.save(Checkpoint(ledger.origin, 1, bytes(32)))

    names = {path.name for path in cursor.path.parent.iterdir() if "ledger" not in path.name}
    assert (before, {"mail.cursor"}) == (cursor.path.read_bytes(), names)


# ---------------------------------------------------------------------------------------- async


def test_async_for_sees_the_same(ledger: Ledger) -> None:
    """One follower, two kinds of loop; what it waits for may block, and blocks nobody."""
    note(ledger, PAGE_ENTRIES + 1)
    waits = Waits(lambda: note(ledger))

    async def follow() -> list[int | None]:
        return [entry.index async for entry in ledger.follow(wait=waits)]

    assert list(range(PAGE_ENTRIES + 2)) == asyncio.run(follow())
    assert [POLL_SECONDS] * 2 == waits.waited


def test_async_for_keeps_its_cursor(ledger: Ledger, cursor: FileCursor) -> None:
    """After an entry was handled, and only then."""
    note(ledger, 3)

    async def follow(stop: int) -> list[int | None]:
        found: list[int | None] = []
        feed: AsyncIterator[rml.Entry] = ledger.follow(cursor=cursor, poll=None).__aiter__()
        async for entry in feed:
            found.append(entry.index)
            if entry.index == stop:
                break
        await feed.aclose()  # type: ignore[attr-defined]
        return found

    assert ([0, 1], [1, 2], [2]) == tuple(asyncio.run(follow(stop)) for stop in (1, 2, 9))


def test_other_tasks_run_while_an_async_follower_waits(ledger: Ledger) -> None:
    """It ends by being cancelled."""

    async def follow() -> list[int | None]:
        found: list[int | None] = []
        two = asyncio.Event()

        async def consume() -> None:
            async for entry in ledger.follow(poll=0.001):
                found.append(entry.index)
                if len(found) == 2:
                    two.set()

        task = asyncio.create_task(consume())
        note(ledger)
        await asyncio.sleep(0)
        note(ledger)
        await asyncio.wait_for(two.wait(), 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return found

    assert [0, 1] == asyncio.run(follow())


# --------------------------------------------------------------------------------------- ending


def test_a_closed_ledger_ends_its_followers(ledger: Ledger) -> None:
    """With the error that says so."""
    note(ledger)
    with Ledger("memory:") as other:
        follower: Iterator[rml.Entry] = iter(other.follow(wait=Waits(other.close)))
    with pytest.raises(LedgerUnavailableError):
        next(follower)
