"""Write down what becomes of every attack in the tampering matrix.

    python tools/tampering_page.py            write the tables of docs/explanation/tampering.md anew
    python tools/tampering_page.py --check    change nothing; exit 1 where the page is out of date

The tables are what happens when the attacks of tests/support/tampering are carried out.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "explanation" / "tampering.md"
sys.path.insert(0, str(ROOT / "tests" / "support"))

from tampering.attacks import COMMON, column  # noqa: E402
from tampering.attacks_on_rml import ATTACKS  # noqa: E402
from tampering.ledgers import LEDGERS  # noqa: E402
from tampering.matrix import CATCHES, CAUGHT, MISSED, REMARKED, Verifying, results  # noqa: E402
from tampering.peers import PEERS  # noqa: E402


def ours() -> Iterator[str]:
    """A line an attack: the lowest level at which it is caught, and whether the entry is named."""
    yield "| Attack | Caught from level | First bad entry |"
    yield "|---|---|---|"
    by_level = {log.name: results(log, ATTACKS) for log in LEDGERS}
    for attack in ATTACKS:
        found = {name: every[attack.name] for name, every in by_level.items()}
        level = next((name for name, (word, _) in found.items() if word in CATCHES), None)
        remarked = any(word == REMARKED for word, _ in found.values())
        uncaught = "a remark" if remarked else "not caught"
        told = found[level][1] if level else None
        named = told is not None and attack.first is not None and told.first == attack.first
        yield f"| {attack.name} | {level or uncaught} | {'named' if named else ''} |"


def peers() -> Iterator[str]:
    """A line an attack, a column a log."""
    by_peer = {peer.name: _with_columns(peer) for peer in PEERS}
    yield f"| Attack | {' | '.join(by_peer)} | rml, consistent | rml, anchored |"
    yield "|---" * (len(by_peer) + 3) + "|"
    mine = [_with_columns(log) for log in LEDGERS if log.name in {"consistent", "anchored"}]
    for name in (*(attack.name for attack in COMMON), "any other column edited"):
        yield f"| {name} | " + " | ".join(f[name] for f in (*by_peer.values(), *mine)) + " |"


def _with_columns(log: Verifying) -> dict[str, str]:
    """What comes of the common attacks, and in one word of those on the other columns."""
    columns = tuple(map(column, log.table.derived))
    found = results(log, ATTACKS if log in LEDGERS else (*COMMON, *columns))
    missed = [name for name in log.table.derived if found[column(name).name][0] == MISSED]
    words = {attack: word for attack, (word, _) in found.items()}
    words["any other column edited"] = f"{MISSED}: {', '.join(missed)}" if missed else CAUGHT
    return words


def page(old: str) -> str:
    """The page with its tables replaced."""
    for name, lines in (("ours", ours()), ("peers", peers())):
        begin, end = f"<!-- {name}: python tools/tampering_page.py -->\n", f"<!-- end of {name} -->"
        head, _, rest = old.partition(begin)
        old = head + begin + "\n" + "\n".join(lines) + "\n\n" + end + rest.partition(end)[2]
    return old


def main(arguments: list[str]) -> int:
    """Write the page, or say whether it is current."""
    warnings.simplefilter("ignore")  # the peers' own
    old = PAGE.read_text(encoding="utf-8")
    new = page(old)
    if arguments == ["--check"]:
        return 0 if new == old else 1
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
