"""What the tests of anchors share: one key, a ledger's folder, and a folder elsewhere."""

from pathlib import Path

import attrs

import rml
from rml.ledger.proofs.checkpoint import read_checkpoint

SIGNER = rml.SignerKey.generate("acme")
STRANGER = rml.SignerKey.generate("acme")


@attrs.frozen
class Places:
    """Where a ledger lies, and where its checkpoints are kept."""

    root: Path

    @classmethod
    def under(cls, root: Path) -> "Places":
        """Make the folders."""
        for name in ("data", "safe"):
            (root / name).mkdir()
        return cls(root)

    @property
    def ledger(self) -> Path:
        """The ledger's file."""
        return self.root / "data" / "ledger.db"

    @property
    def kept(self) -> Path:
        """A file elsewhere."""
        return self.root / "safe" / "ledger.checkpoint"

    @property
    def anchor(self) -> rml.FileAnchor:
        """The anchor in that file."""
        return rml.FileAnchor(self.kept)

    def open(self, *anchors: rml.Anchor, signer: rml.SignerKey | None = SIGNER) -> rml.Ledger:
        """Open the ledger; with the file as anchor, if no other is named."""
        return rml.Ledger(self.ledger, signer=signer, anchors=anchors or [self.anchor])

    def bare(self) -> rml.Ledger:
        """Open the ledger as somebody does who has neither key nor anchors."""
        return rml.Ledger(self.ledger, origin="acme")

    def remove(self) -> None:
        """Remove the ledger's file and what lies beside it."""
        for path in self.ledger.parent.iterdir():
            path.unlink()


def fill(ledger: rml.Ledger, count: int) -> list[str]:
    """Append so many entries; return their ids."""
    return ledger.write(lambda draft: [draft.append("a.b", world="RML1").id for _ in range(count)])


def size_of(checkpoint: str | None) -> int:
    """How many entries a kept checkpoint covers."""
    assert checkpoint is not None
    return read_checkpoint(checkpoint)[0].size


class MemoryAnchor:
    """An anchor of somebody's own: two verbs."""

    def __init__(self) -> None:
        self.text: str | None = None

    def last(self, origin: str) -> str | None:
        """Return what was kept."""
        return self.text

    def keep(self, checkpoint: str, prove_from: object) -> None:
        """Keep it."""
        self.text = checkpoint

    def __str__(self) -> str:
        return "the vault"


class BrokenAnchor(MemoryAnchor):
    """An anchor whose network is down."""

    def last(self, origin: str) -> str | None:
        """Fail."""
        raise ConnectionResetError("gone")

    def keep(self, checkpoint: str, prove_from: object) -> None:
        """Fail."""
        raise ConnectionResetError("gone")
