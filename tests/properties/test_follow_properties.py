"""Whatever is appended, handled and interrupted, in any order: nothing is skipped."""

import multiprocessing
import threading
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from rml import FileCursor, Ledger

KINDS = ("a.b", "x.y")
# What happens next: entries come, some are handled, the consumer dies while handling one.
STEPS = st.one_of(
    st.tuples(st.just("append"), st.lists(st.sampled_from(KINDS), min_size=1, max_size=5)),
    st.tuples(st.just("handle"), st.integers(0, 6)),
    st.tuples(st.just("die"), st.integers(0, 6)),
)


@settings(max_examples=40)
@given(st.lists(STEPS, max_size=15), st.sampled_from([None, *KINDS]))
def test_a_consumer_that_dies_now_and_then_skips_nothing(
    steps: list[tuple[str, object]], kind: str | None
) -> None:
    """It handles every matching entry in order, and again only the one that it died over."""
    with TemporaryDirectory() as folder, Ledger("memory:") as ledger:
        cursor = FileCursor(Path(folder, "cursor"))
        appended: list[str] = []
        handled: list[int] = []
        died_over: list[int] = []
        for step, given_ in [*steps, ("handle", 999)]:
            if isinstance(given_, list):
                appended += given_
                for one in given_:
                    ledger.append(one, world="RML1")
                continue
            assert isinstance(given_, int)
            feed = iter(ledger.follow(cursor=cursor, kind=kind, poll=None))
            for _ in range(given_):
                entry = next(feed, None)
                if entry is None:
                    break
                assert entry.index is not None
                handled.append(entry.index)
            else:
                if step == "die" and given_:
                    died_over.append(handled.pop())
                elif given_:
                    next(
                        feed, None
                    )  # asks on, so the last one counts; what comes now is not handled
            feed.close()  # type: ignore[attr-defined]

        matching = [i for i, one in enumerate(appended) if kind in (None, one)]
        assert matching == handled
        assert set(died_over) <= set(matching)


def append(path: Path, count: int) -> None:
    """Append entries one by one, as another process does."""
    with Ledger(path, timeout=100) as ledger:
        for _ in range(count):
            ledger.append("a.b", world="RML1")


def test_a_follower_sees_all_that_processes_and_threads_append(tmp_path: Path) -> None:
    """Exactly 0 to n - 1, in order, while they write; a second follower dies at every third."""
    path = tmp_path / "ledger.db"
    with Ledger(path) as ledger:
        spawn = multiprocessing.get_context("spawn")
        writers = [
            *(spawn.Process(target=append, args=(path, 60)) for _ in range(2)),
            *(threading.Thread(target=append, args=(path, 60)) for _ in range(2)),
        ]
        for writer in writers:
            writer.start()
        cursor = FileCursor(tmp_path / "cursor")
        seen: list[int | None] = []
        restarted: list[int | None] = []
        for entry in ledger.follow(poll=0.002):
            seen.append(entry.index)
            if len(seen) % 3 == 0:
                for place, again in enumerate(ledger.follow(cursor=cursor, poll=None)):
                    restarted.append(again.index)
                    if place == 2:
                        break
            if len(seen) == 240:
                break
        for writer in writers:
            writer.join(60)
        restarted += [entry.index for entry in ledger.follow(cursor=cursor, poll=None)]

        assert list(range(240)) == seen
        assert list(range(240)) == sorted(set(restarted))  # type: ignore[type-var]
        repeated = len(restarted) - 240
        assert 0 < repeated <= 80
        assert 240 == ledger.size
