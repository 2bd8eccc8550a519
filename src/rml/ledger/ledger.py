"""The ledger itself: how it is opened and closed, how a person settles a doubt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Any, Final, Self
from uuid import uuid4

from rml.clock import Clock, IdSource, RandomIds, SystemClock
from rml.effect.resolution import resolve
from rml.effect.state import Effect
from rml.ledger.anchors.anchor import Anchor
from rml.ledger.anchors.anchoring import Anchors
from rml.ledger.argument import (
    as_clock,
    as_id_source,
    as_origin,
    as_seconds,
    as_signer,
    flag,
)
from rml.ledger.corrections.correcting import LedgerCorrecting
from rml.ledger.corrections.holding import LedgerHolding
from rml.ledger.enlisting import LedgerEnlisting
from rml.ledger.entry import check_text
from rml.ledger.erasures.forgetting import LedgerForgetting
from rml.ledger.exports.exporting import LedgerExports
from rml.ledger.proofs.notary import Notary
from rml.ledger.proofs.note import SignerKey
from rml.ledger.queries.upcast import NO_UPCASTERS, Upcaster, as_upcasters
from rml.ledger.store import Opening, open_store, to_url, without_password
from rml.redact import Secret

# How long a write waits for other writers, in seconds, unless the ledger is opened with another
# value.
TIMEOUT_SECONDS: Final = 10.0
UNSET: Final = object()


class Ledger(LedgerExports, LedgerCorrecting, LedgerHolding, LedgerForgetting, LedgerEnlisting):
    """An append-only history that shows when it was tampered with.

    Args:
        place: a path, or a URL: ``postgresql://...``, ``sqlite:///payments.db`` (relative),
            ``sqlite:////var/lib/payments.db`` (absolute), ``sqlite://:memory:``, ``memory:``.
        origin: the ledger's identity, inside every hash. A new ledger gets a random one; an
            existing one must match.
        service: recorded with every entry.
        clock: where ``recorded_at`` comes from.
        ids: where the ids of entries come from.
        timeout: seconds that a write waits for other writers.
        create: whether a missing ledger is created.
        adopt: whether it may be created in a database that has tables already, beside them, to
            be committed to together; see :meth:`on`.
        signer: the key that signs checkpoints, or its text; its name is the ledger's origin, also
            that of a new ledger.
        anchors: where its checkpoints are kept as well, such as an :class:`rml.FileAnchor`. A
            ledger that contradicts what one of them keeps is not opened, and a missing one that
            they know is not created.
        upcasters: for kinds whose facts look different today: a function of an
            :class:`~rml.Entry` of that kind, old or new, that returns its facts in today's form.

    A ledger may be shared between threads, and is a context manager that closes itself.

    Raises:
        InvalidInputError: the place is no path or known URL, the ledger there has another origin,
            the key is not this ledger's, or an upcaster is for a kind of the library's own.
        MissingExtraError: there is a key, and the extra ``sign`` is not installed.
        LedgerCorruptError: it contradicts a checkpoint that an anchor keeps: it was set back, cut
            off, exchanged or rebuilt.
        SignatureError: an anchor keeps a signature of the key that does not fit.
        LedgerUnavailableError: it cannot be opened.
        NotALedgerError: something else is there.
        NewerFormatError: it was written by a later rml.
    """

    def __init__(
        self,
        place: object,
        *,
        origin: str | None = None,
        service: str | None = None,
        clock: Clock | None = None,
        ids: IdSource | None = None,
        timeout: float | timedelta = TIMEOUT_SECONDS,
        create: bool = True,
        adopt: bool = False,
        signer: SignerKey | Secret[str] | str | None = None,
        anchors: Sequence[Anchor] = (),
        upcasters: Mapping[str, Upcaster] = NO_UPCASTERS,
    ) -> None:
        self.url: str = to_url(place)
        key = None if signer is None else as_signer(signer, origin)
        origin = origin if key is None else key.name
        self.clock: Clock = SystemClock() if clock is None else as_clock(clock)
        self._ids: IdSource = RandomIds() if ids is None else as_id_source(ids)
        self.service: str | None = None if service is None else check_text("service", service)
        self.timeout: float = as_seconds("timeout", timeout)
        self._upcasters = as_upcasters(upcasters)
        kept = Anchors.of(anchors, self.url)
        new_origin = f"rml-ledger/{uuid4()}"
        opening = Opening(
            url=self.url,
            origin=None if origin is None else as_origin(origin),
            new_origin=new_origin,
            clock=self.clock,
            ids=self._ids,
            create=flag("create", create) and not kept.know(origin, new_origin),
            timeout=self.timeout,
            adopt=flag("adopt", adopt),
        )
        self._store = open_store(opening)
        try:
            self._notary = Notary(self._store, key, kept)
        except BaseException:
            self._store.close()
            raise

    def resolve(
        self,
        effect_id: str | Effect,
        *,
        happened: bool,
        by: str,
        reason: str,
        result: Any = UNSET,
        version: int | None = None,
    ) -> Effect:
        """Record a person's decision about an effect in doubt: did it happen?

        Args:
            effect_id: the effect, as :meth:`in_doubt` lists it: then what was looked at is what is
                decided, as with ``version``. Or its id alone, which names whatever it is by now.
            happened: ``True``: it is done, and the handler will not run again for its key.
                ``False``: it is not, and the next call runs it.
            by: who decides.
            reason: on what evidence.
            result: with ``happened=True``, the value that later calls are given.
            version: the effect's, as it was looked at; anything that was recorded of it since
                then, such as a late report, has to be looked at first.

        Raises:
            UnknownIdError: there is no such effect.
            NotInDoubtError: it is not in doubt (any more); the state is named.
            EffectChangedError: it is another version now.
            InvalidInputError: a value is missing or of the wrong type.
        """
        extra = {} if result is UNSET else {"result": result}
        return self.write(
            lambda draft: resolve(
                draft,
                effect_id,
                happened=happened,
                by=by,
                reason=reason,
                version=version,
                **extra,
            )
        )

    def close(self) -> None:
        """Release files and connections."""
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Ledger({without_password(self.url)!r}, origin={self.origin!r})"
