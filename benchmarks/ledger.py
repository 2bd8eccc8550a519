"""What the ledger costs, beside plain `sqlite3` and other Python ledgers, in one run.

    python benchmarks/ledger.py
    python benchmarks/ledger.py --quick
    python benchmarks/ledger.py --page docs/explanation/performance.md
    python benchmarks/ledger.py --grow --plot docs/explanation/ledger-growth.svg

Every figure is a ratio to something that is measured in turns with it, since a machine's speed
drifts, and a disk's even more. Times are printed for scale only; they are this machine's. Progress
goes to the standard error.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import growth
import writers
from floors import Rows, Script
from measure import Effort, Line, arguments, in_turns, machine, publish, say, table
from peer_ledgers import KINDS, PeerLedger
from peers import present, promises

import rml

COMMAND: Final = "python benchmarks/ledger.py"


THOROUGH: Final = Effort((10_000, 100_000, 1_000_000), rounds=30, times=100, seconds=2.0)
QUICK: Final = Effort((1_000, 10_000), rounds=5, times=20, seconds=0.3)
PEER_ROUNDS: Final = 10


def one_thread(folder: Path, effort: Effort) -> Iterator[Line]:
    """Measure one entry a commit, and a thousand a commit."""
    say("append, one thread ...")
    floor = Rows(folder / "rows.db", growth.entry_bytes(folder))
    with rml.Ledger(folder / "lone.db", service="bench") as ledger:
        lone = in_turns(
            floor.append,
            lambda: writers.append(ledger),
            rounds=effort.rounds,
            times=effort.times,
        )
    beside = "plain sqlite3, one row of as many bytes a commit"
    yield Line("append, one thread", lone.ratio, at_most=1.25, beside=beside, detail=lone.times)
    say("append, a thousand a commit ...")
    script = Script(folder / "script.db")
    with rml.Ledger(folder / "batches.db", service="bench") as ledger:
        batch = in_turns(
            lambda: script.batch(growth.BATCH),
            lambda: growth.write_batch(ledger),
            rounds=max(effort.rounds // 3, 3),
            times=1,
        )
    each = f"{batch.ours / growth.BATCH:.1f} beside {batch.floor / growth.BATCH:.1f} µs an entry"
    beside = "rate of a plain script: JSON, SHA-256, the same insert"
    name = "append, 1,000 a commit"
    yield Line(name, 1 / batch.ratio, at_least=0.8, beside=beside, detail=each)


def beside_peers(folder: Path, effort: Effort) -> Iterator[Line]:
    """Measure appends and verifications of other ledgers, in turns with ours."""
    for number, kind in enumerate(present(KINDS)):
        place = folder / f"peer{number}"
        place.mkdir()
        with kind.opened(place) as peer, rml.Ledger(place / "ours.db", service="bench") as ledger:
            yield from _beside(peer, ledger, kind.name, effort)


def _beside(peer: PeerLedger, ledger: rml.Ledger, name: str, effort: Effort) -> Iterator[Line]:
    append = in_turns(
        peer.append,
        lambda: writers.append(ledger),
        rounds=PEER_ROUNDS,
        times=2 * effort.times,
    )
    yield Line("append", append.ratio, at_most=1, beside=name, detail=append.times)
    if peer.verify is None:
        say(f"{name} has nothing to verify")
        return
    assert peer.verify().ok
    verify = in_turns(peer.verify, ledger.verify, rounds=5, times=1)
    size = ledger.size
    detail = f"{verify.ours / size:.1f} beside {verify.floor / size:.1f} µs an entry"
    yield Line("verify", verify.ratio, at_most=1, beside=name, detail=detail)


def main() -> None:
    """Print the tables, and draw the plot."""
    parser = arguments(__doc__ or "", COMMAND)
    parser.add_argument("--plot", type=Path, help="where a plot of the growth is put, as SVG")
    options = parser.parse_args()
    effort = QUICK if options.quick else THOROUGH
    sizes = sorted({*effort.sizes, options.entries}) if options.grow else effort.sizes
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        taken_on = machine(folder)
        lines = list(
            itertools.chain(
                one_thread(folder, effort),
                writers.thread_lines("appends", "append", folder, effort.seconds),
                writers.process_lines(folder, max(effort.seconds * 2, 1)),
                beside_peers(folder, effort),
            )
        )
        grown = list(growth.grow(folder, sizes, rounds=effort.rounds // 2, times=effort.times))
    lines += growth.lines(grown)
    figures = table(line.cells() for line in lines)
    sized = table(map(growth.cells, grown), growth.COLUMNS)
    if options.plot is not None:
        growth.plot(grown, options.plot)
    report = "\n\n".join([taken_on, figures, sized, promises(KINDS)])
    print(report)
    if options.page is not None:
        publish(options.page, COMMAND, report)
    say("done")


if __name__ == "__main__":
    main()
