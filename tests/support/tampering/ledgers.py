"""Our ledger in the matrix, once for each level that its verification can reach."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import attrs
from witness import Witness, serving

import rml
from rml.ledger.entry import COLUMNS
from tampering.attacks import ROWS, VICTIM, Table
from tampering.matrix import Found

ORIGIN: Final = "example.com/ledger"
KEY: Final = rml.SignerKey.generate(ORIGIN)
THIEFS_KEY: Final = rml.SignerKey.generate(ORIGIN)


@attrs.frozen
class OurLedger:
    """A ledger that is looked after so well that an honest one reaches this level."""

    level: rml.Level
    errors: tuple[type[Exception], ...] = (rml.RmlError,)
    table = Table(
        name="entries",
        order="idx",
        content="bytes",
        text="operation",
        derived=COLUMNS,
        unique=("id",),
        index="entries_kind",
    )

    @property
    def name(self) -> str:
        """Its column in the table."""
        return self.level.value

    def build(
        self,
        folder: Path,
        *,
        rows: int = ROWS,
        changed: int | None = None,
        another: bool = False,
        stolen: bool = False,
    ) -> Path:
        """Make a ledger; its last entry is the intent of an effect that has not ended."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "ledger.db"
        clock = rml.FrozenClock("2026-06-01T12:00:00Z")
        origin = "example.com/other" if another else ORIGIN
        key = THIEFS_KEY if stolen else KEY
        with rml.Ledger(path, origin=origin, clock=clock) as ledger:
            ledger.write(lambda draft: _fill(draft, rows - 1, changed))
            ledger.write(_promise)
        if not another and self.level is not rml.Level.CONSISTENT:
            self._anchor(path, key, clock)
        return path

    def _anchor(self, path: Path, key: rml.SignerKey, clock: rml.FrozenClock) -> None:
        anchor = rml.FileAnchor(self._kept(path))
        if self.level is not rml.Level.WITNESSED:
            with rml.Ledger(path, signer=key, clock=clock, anchors=[anchor]) as ledger:
                ledger.checkpoint()
            return
        witness = Witness(key.verifier.to_text())
        anchor.path.with_name("witness.key").write_text(witness.key)
        with serving(witness) as url:
            anchors: list[rml.Anchor] = [anchor, rml.WitnessAnchor(url, witness.key)]
            with rml.Ledger(path, signer=key, clock=clock, anchors=anchors) as ledger:
                ledger.checkpoint()

    def _kept(self, path: Path) -> Path:
        """Beside the ledger, or elsewhere."""
        if self.level is rml.Level.SIGNED:
            return path.with_name("ledger.checkpoint")
        elsewhere = path.parent.parent / "elsewhere"
        elsewhere.mkdir(exist_ok=True)
        return elsewhere / "ledger.checkpoint"

    def verify(self, path: Path) -> Found:
        """Ask it, as somebody who has its key and knows where its checkpoint is kept."""
        extra: dict[str, Any] = {}
        if self.level is not rml.Level.CONSISTENT:
            extra["checkpoints"] = rml.FileAnchor(self._kept(path))
            extra["keys"] = KEY.verifier
        if self.level is rml.Level.WITNESSED:
            witness = self._kept(path).with_name("witness.key").read_text()
            extra["keys"] = (KEY.verifier, witness)
        with rml.Ledger(path, create=False) as ledger:
            found = ledger.verify(**extra)
        first = found.problems[0].index if found.problems else None
        remarked = any("a clock was set back" in remark for remark in found.remarks)
        return Found(not found.ok, first, found.level.value, remarked)


def _fill(draft: rml.Draft, rows: int, changed: int | None) -> None:
    """Append rows; the victim is in every index."""
    opened = draft.append("day.opened", world="RML1")
    indexed: dict[str, Any] = {
        "effect": "ef_" + "1" * 32,
        "corrects": opened.id,
        "incident": "INC-2026-0001",
        "correlation": "req-1",
    }
    for row in range(1, rows):
        draft.append(
            "payment.charged",
            world="RML3",
            operation="payment.charge",
            facts={"amount": 9_000 + row if row == changed else 1_000 + row},
            personal={"email": "ada@example.com"},
            **(indexed if row == VICTIM else {}),
        )


def _promise(draft: rml.Draft) -> None:
    effect = "ef_" + "0" * 32
    intent = draft.record(
        "effect.intent", world="RML3", effect=effect, attempt=1, operation="payment.charge", key="k"
    )
    draft.grant(effect, 1, intent.id, 60)


LEDGERS: Final = tuple(
    OurLedger(level)
    for level in (rml.Level.CONSISTENT, rml.Level.SIGNED, rml.Level.ANCHORED, rml.Level.WITNESSED)
)
