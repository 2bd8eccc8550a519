"""SignLedger and auditchain in the matrix: as they come, and in their strongest local mode."""

from __future__ import annotations

import asyncio
import warnings
from pathlib import Path
from typing import Any, Final

import attrs

from tampering.attacks import ROWS, Table
from tampering.matrix import Found

SEED: Final = bytes(range(32))
SEAL: Final = b"k" * 32


def amounts(rows: int, changed: int | None) -> list[int]:
    """The content of a log: an amount a row."""
    return [9_000 + row if row == changed else 1_000 + row for row in range(rows)]


@attrs.frozen
class SignLedger:
    """SignLedger 2.0b0 on SQLite; strongest: Ed25519 signatures and a head kept elsewhere."""

    strongest: bool
    identity: str = "11111111-1111-4111-8111-111111111111"
    table = Table(
        name="ledger_entries",
        order="sequence",
        content="data",
        text="metadata",
        derived=("timestamp", "timestamp_us", "format_version", "ledger_id"),
        unique=("entry_id", "previous_hash", "hash"),
        index="ledger_entries_timestamp_us",
    )

    @property
    def name(self) -> str:
        """Its column in the table."""
        return "SignLedger, " + ("signed and anchored" if self.strongest else "default")

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """Its own errors."""
        from signledger import SignLedgerError

        return (SignLedgerError,)

    def _opened(self, path: Path, seed: bytes, identity: str) -> Any:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import (
            Ed25519PrivateKey,
        )
        from signledger import Ledger
        from signledger.anchor import FileAnchorSink
        from signledger.backends import SQLiteBackend
        from signledger.crypto.signatures import Ed25519Signer

        extra: dict[str, Any] = {}
        if self.strongest:
            anchors = path.parent.parent / "elsewhere"
            anchors.mkdir(exist_ok=True)
            extra = {
                "enable_signatures": True,
                "signer": Ed25519Signer(Ed25519PrivateKey.from_private_bytes(seed)),
                "anchor_sink": FileAnchorSink(str(anchors / f"{path.parent.name}.jsonl")),
            }
        return Ledger(SQLiteBackend(str(path)), ledger_id=identity, **extra)

    def build(
        self,
        folder: Path,
        *,
        rows: int = ROWS,
        changed: int | None = None,
        another: bool = False,
        stolen: bool = False,
    ) -> Path:
        """Make a log."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "log.db"
        seed = bytes(32) if another or stolen else SEED
        identity = self.identity.replace("1", "2") if another else self.identity
        with self._opened(path, seed, identity) as log:
            for amount in amounts(rows, changed):
                log.append({"event": "charge", "amount": amount})
            if self.strongest:
                log.checkpoint()
        return path

    def verify(self, path: Path) -> Found:
        """Ask it."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with self._opened(path, SEED, self.identity) as log:
                report = log.check_integrity()
        failures = sorted(f.sequence for f in report.failures if f.sequence is not None)
        return Found(not report.ok, failures[0] if failures else None, report.assurance.value)


@attrs.frozen
class Auditchain:
    """auditchain 0.3.0 on SQLite; strongest: sealed, signed, with a checkpoint kept elsewhere."""

    strongest: bool
    table = Table(
        name="audit_records",
        order="seq",
        content="meta",
        text="actor",
        derived=("ts", "actor", "action", "subject", "key_id", "signer_id"),
    )

    @property
    def name(self) -> str:
        """Its column in the table."""
        return "auditchain, " + ("sealed, signed, checkpoint" if self.strongest else "default")

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """Its own errors."""
        from auditchain import BackendError, LogCorruptedError

        return (BackendError, LogCorruptedError)

    def build(
        self,
        folder: Path,
        *,
        rows: int = ROWS,
        changed: int | None = None,
        another: bool = False,
        stolen: bool = False,
    ) -> Path:
        """Make a log."""
        folder.mkdir(parents=True, exist_ok=True)
        elsewhere = folder.parent / "elsewhere"
        elsewhere.mkdir(exist_ok=True)
        return asyncio.run(self._build(folder, amounts(rows, changed), another or stolen))

    async def _build(self, folder: Path, values: list[int], own_keys: bool) -> Path:
        from auditchain import AuditLog, SqliteBackend, save_checkpoint

        path = folder / "log.db"
        seed, seal = (bytes(32), b"x" * 32) if own_keys else (SEED, SEAL)
        keys: dict[str, Any] = {"seal_key": seal, "signing_key": seed} if self.strongest else {}
        async with AuditLog(SqliteBackend(str(path)), **keys) as log:
            for amount in values:
                await log.append("shop", "charge", "customer", metadata={"amount": amount})
            if self.strongest:
                kept = folder.parent / "elsewhere" / f"{folder.name}.checkpoint"
                save_checkpoint(await log.checkpoint(), kept)
        return path

    def verify(self, path: Path) -> Found:
        """Ask it."""
        return asyncio.run(self._verify(path))

    async def _verify(self, path: Path) -> Found:
        from auditchain import AuditLog, SqliteBackend, load_checkpoint
        from cryptography.hazmat.primitives.asymmetric.ed25519 import (
            Ed25519PrivateKey,
        )

        if not self.strongest:
            async with AuditLog(SqliteBackend(str(path))) as log:
                report = await log.verify()
        else:
            kept = path.parent.parent / "elsewhere" / f"{path.parent.name}.checkpoint"
            public = Ed25519PrivateKey.from_private_bytes(SEED).public_key()
            async with AuditLog(SqliteBackend(str(path)), seal_key=SEAL) as log:
                report = await log.verify(
                    signers={"s0": public}, checkpoint=load_checkpoint(kept, SEAL, public)
                )
        return Found(not report.ok, report.first_error_seq)


PEERS: Final = (SignLedger(False), SignLedger(True), Auditchain(False), Auditchain(True))
