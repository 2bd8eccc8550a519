"""The demonstration: a double charge becomes a case file, and then cannot happen again.

Real parts: a payment gateway and a worker in processes of their own, loopback sockets, a ledger in
a file, signal 9. Fake are the money and the clock: it is moved by hand, so that a night and a day
take seconds and the story reads the same each time.
"""

from __future__ import annotations

import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, Final

import attrs

import rml
from rml.clock import SeededIds
from rml.demo import act_one, act_three, act_two
from rml.demo.act_one import ActOne
from rml.demo.act_three import ActThree
from rml.demo.gateway_client import running_gateway
from rml.demo.shop import LEDGER, SERVICE, Shop
from rml.demo.stage import COLUMNS, Stage

CURTAIN: Final = "2026-06-01T18:00:00Z"
ORIGIN: Final = "rml-demo/shop"
IDS_SEED: Final = 1


@attrs.frozen(kw_only=True)
class Counts:
    """What was counted in the gateway's books and in the ledger.

    Attributes:
        asked: payments that customers asked for.
        made: charges that the gateway made.
        duplicated: charges beyond one a payment.
        refunded: charges that were refunded.
        in_doubt: effects of which nobody knows, at the end, whether they happened.
    """

    asked: int
    made: int
    duplicated: int
    refunded: int
    in_doubt: int


@attrs.frozen(kw_only=True)
class DemoResult:
    """How the demonstration went.

    Attributes:
        ok: whether everything that it said was so, and the ledger verifies.
        counts: what was counted.
        case_file: the case file, YAML.
        ledger: the ledger, an SQLite file.
        verification: what `rml verify` says about it.
        untrue: what it said and was not so.
    """

    ok: bool
    counts: Counts
    case_file: Path
    ledger: Path
    verification: rml.Verification
    untrue: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON data."""
        return {
            "ok": self.ok,
            "counts": attrs.asdict(self.counts),
            "case_file": str(self.case_file),
            "ledger": str(self.ledger),
            "verification": self.verification.to_dict(),
            "untrue": list(self.untrue),
        }


def run(out: Path | None, echo: Callable[[str], None]) -> DemoResult:
    """Play the demonstration.

    Args:
        out: a folder for what it writes; if there is anything in it, a new folder inside it is
            used. By default, a new folder among the system's temporary files.
        echo: given each line of the story.

    Raises:
        InvalidInputError: no folder can be made there.
    """
    folder = _new_folder(out)
    try:
        return _play(folder, echo)
    except KeyboardInterrupt:
        with suppress(KeyboardInterrupt):
            echo("")
            echo("Interrupted. What was written so far is in")
            echo(f"  {folder}")
        raise


def _play(folder: Path, echo: Callable[[str], None]) -> DemoResult:
    ledger_path, books = folder / LEDGER, folder / "gateway-books.jsonl"
    clock = rml.FrozenClock(CURTAIN)
    ledger = rml.Ledger(
        ledger_path, origin=ORIGIN, service=SERVICE, clock=clock, ids=SeededIds(IDS_SEED)
    )
    with ledger, rml.use(ledger=ledger), running_gateway(books) as gateway:
        stage = Stage(folder, ledger, clock, Shop.at(folder, gateway), echo)
        _raise_curtain(stage)
        first = act_one.play(stage)
        act_two.play(stage, first)
        third = act_three.play(stage, first)
        counts = _count(stage, first, third)
        case_file = act_two.write_case_file(stage, first.incident)
    verification = _verify(ledger_path)
    result = DemoResult(
        ok=verification.ok and not stage.untrue,
        counts=counts,
        case_file=case_file,
        ledger=ledger_path,
        verification=verification,
        untrue=tuple(stage.untrue),
    )
    _drop_curtain(stage, result)
    return result


def _new_folder(out: Path | None) -> Path:
    """Return a folder with nothing in it: *out* itself, or a new one in it; nothing is removed."""
    if out is None:
        return Path(tempfile.mkdtemp(prefix="rml-demo-"))
    try:
        out.mkdir(parents=True, exist_ok=True)
        if not any(out.iterdir()):
            return out
        first = 2 if (out / LEDGER).exists() else 1
        folder = next(f for n in count(first) if not (f := out / f"demo-{n}").exists())
        folder.mkdir()
    except OSError as error:
        raise rml.InvalidInputError(
            f"cannot make a folder in {str(out)!r}: {error.strerror}; give another one"
        ) from error
    return folder


def _raise_curtain(stage: Stage) -> None:
    stage.echo("rml demo: a double charge becomes a case file")
    stage.echo("")
    stage.remark(
        "Real here: the payment gateway and a worker, in processes of their own on loopback; the "
        "ledger, a file; signal 9. Fake: the money, and the clock, which is moved by hand so "
        "that a night takes seconds. Everything is kept in"
    )
    stage.echo(f"  {stage.folder}")


def _count(stage: Stage, first: ActOne, third: ActThree) -> Counts:
    """Count in the gateway's books and the ledger, and print what was counted."""
    charges, refunds = stage.shop.gateway.charges(), stage.shop.gateway.refunds()
    payments = {charge["payment_id"] for charge in charges}
    counts = Counts(
        asked=first.asked + third.asked,
        made=len(charges),
        duplicated=len(charges) - len(payments),
        refunded=len({refund["charge_id"] for refund in refunds}),
        in_doubt=len(stage.ledger.in_doubt()),
    )
    stage.open_act("What was counted, in the gateway's books and in the ledger")
    rows = (
        ("", "no key", "with a key", "together"),
        ("payments asked for", first.asked, third.asked, counts.asked),
        ("charges made", first.made, third.made, counts.made),
        ("duplicated", first.made - first.asked, third.made - third.asked, counts.duplicated),
        ("refunded", len(refunds), 0, counts.refunded),
        ("in doubt for a while", "-", third.doubted, third.doubted),
        ("in doubt now", "-", counts.in_doubt, counts.in_doubt),
    )
    for name, *cells in rows:
        stage.echo(f"  {name:<22}" + "".join(f"{cell!s:>12}" for cell in cells))
    stage.claim(counts.asked == len(payments), "every payment that was asked for was charged")
    stage.claim(counts.made == first.made + third.made, "the two evenings are all there is")
    stage.claim(counts.refunded == counts.duplicated > 0, "every duplicate was refunded")
    stage.claim(third.made == third.asked, "nothing is duplicated with a key")
    stage.claim(counts.in_doubt == 0, "nothing is in doubt")
    return counts


def _verify(ledger: Path) -> rml.Verification:
    """Verify what is in the file, as `rml verify` does, rather than what this process believes."""
    with rml.Ledger(ledger, create=False) as reopened:
        return reopened.verify()


def _drop_curtain(stage: Stage, result: DemoResult) -> None:
    verdict = result.verification
    said = "ok" if verdict.ok else f"NOT ok, {verdict.problems[0]}"
    stage.echo("")
    stage.echo(f"rml verify: {said}, {verdict.size} entries, level {verdict.level}")
    if stage.untrue:
        stage.echo(f"NOT ok: {len(stage.untrue)} thing(s) above should hold and do not")
    stage.echo("case file:")
    stage.echo(f"  {result.case_file}")
    stage.echo("")
    stage.echo("Type next:")
    ledger = f"--ledger {shlex.quote(str(result.ledger))}"
    for command in ("cases", f"case {result.case_file.stem} --yaml", "verify"):
        for line in _to_type([program(), command, ledger]):
            stage.echo(line)


def _to_type(words: list[str]) -> list[str]:
    """Return a command on one line if it fits, else on several that a shell reads as one."""
    whole = f"  {' '.join(words)}"
    if len(whole) <= COLUMNS:
        return [whole]
    first, *rest = words
    return [f"  {first} \\", *(f"    {word} \\" for word in rest[:-1]), f"    {rest[-1]}"]


def program() -> str:
    """Return how `rml` is called from here: as it was called just now, if it was."""
    given = Path(sys.argv[0])
    if given.name != "rml" or not given.exists():
        return f"{shlex.quote(sys.executable)} -m rml"
    found = shutil.which("rml")
    return "rml" if found is not None and given.samefile(found) else shlex.quote(str(given))
