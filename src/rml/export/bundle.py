"""A signed bundle: what a ledger holds about one thing, in one file that is checked without it.

It is a zip archive of plain files, which :mod:`rml.export.pages` lists: everybody can open it, the
bytes in it are the very bytes that were hashed and signed, and a proof is a file as the tools of
transparency logs take it. JSON would have wrapped all of that in base64 once more.

A bundle shows that its entries are in the ledger, word for word and at their places, that disclosed
values are those that the entries commit to, and that every entry belongs to what the bundle is
about. It does not show that there are no others: nobody can show that without the whole ledger.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any, Final, Self

import attrs

from rml.codec import compact_json, parse_json
from rml.error import InvalidInputError, RmlError
from rml.export.archive import read_archive, write_archive
from rml.export.belonging import CORRECTS, EFFECT, ENTRY, INCIDENT, KIND, Find, among, belonging
from rml.export.pages import CASEFILE, FORMAT, MANIFEST, README, pages
from rml.files import as_path
from rml.ledger.argument import flag, listed
from rml.ledger.content import PERSONAL_BYTES_MAX
from rml.ledger.entry import ENTRY_BYTES_MAX, Entry, check_text, flaw_of
from rml.ledger.errors import LimitError, ProofError, SignatureError, UnknownIdError
from rml.ledger.exports.disclosure import Disclosure
from rml.ledger.ledger import Ledger
from rml.ledger.proofs.checkpoint import Checkpoint, read_checkpoint
from rml.ledger.proofs.note import NOTE_BYTES_MAX, Keys
from rml.ledger.proofs.proof import InclusionProof

# A case of a bad day; an export of tiles is for whole ledgers.
ENTRIES_MAX: Final = 10_000
_CHECKPOINT: Final = "checkpoint"
_PAGE_BYTES_MAX: Final = 16 << 20
_SINGLE: Final = {
    README: _PAGE_BYTES_MAX,
    MANIFEST: _PAGE_BYTES_MAX,
    CASEFILE: _PAGE_BYTES_MAX,
    _CHECKPOINT: NOTE_BYTES_MAX,
}
_BY_INDEX: Final = {
    "entries": ("json", ENTRY_BYTES_MAX),
    "proofs": ("tlog-proof", NOTE_BYTES_MAX),
    "disclosed": ("json", PERSONAL_BYTES_MAX),
}
_PAGES: Final = (README, MANIFEST, CASEFILE)
_NAME: Final = re.compile(r"([a-z]+)/(0|[1-9][0-9]{0,18})\.([a-z-]+)", re.ASCII)


@attrs.frozen(kw_only=True)
class BundledEntry:
    """One entry of a bundle, as it came: its bytes, its proof, and what is disclosed of it."""

    data: bytes
    proof: InclusionProof
    disclosed: tuple[Disclosure, ...] = ()

    @property
    def index(self) -> int:
        """The entry's place in the ledger, as its proof has it."""
        return self.proof.index

    def verify(self, checkpoint: Checkpoint, text: str) -> Entry:
        """Return the entry, with the values disclosed, if the checkpoint's tree holds it.

        Raises:
            ProofError: it is not shown.
        """
        if self.proof.checkpoint != text:
            raise ProofError("the proof is against another checkpoint than the bundle's")
        self.proof.verify(self.data, trusted=checkpoint)
        try:
            entry = Entry.from_bytes(self.data, index=self.index)
            flaw = flaw_of(entry) or (entry.to_bytes() != self.data and "it is not canonical")
        except RmlError as error:
            raise ProofError(error.message) from error
        if flaw or entry.origin != checkpoint.origin:
            raise ProofError(flaw or f"it belongs to the ledger {entry.origin!a:.80}")
        for field in self.disclosed:
            if not field.opens(entry):
                raise ProofError(f"{field.name!a:.80} is not what the entry commits to")
        return attrs.evolve(entry, personal={one.name: one.value for one in self.disclosed})


@attrs.frozen(kw_only=True)
class Bundle:
    """What a ledger holds about an incident, effects or entries, with the proofs.

    Nothing in a bundle that was read can be trusted before :meth:`verify` has returned.

    Attributes:
        about: the ids of what it is about.
        checkpoint: the signed checkpoint that all proofs are against, as text.
        items: the entries, in index order.
        made_by: the version of rml that made it, as it says itself.
        pages: what was generated for people to read, by the names in the archive.
    """

    about: tuple[str, ...]
    checkpoint: str = attrs.field(repr=False)
    items: tuple[BundledEntry, ...] = attrs.field(repr=False)
    made_by: str
    pages: Mapping[str, bytes] = attrs.field(repr=False)

    @classmethod
    def of(
        cls,
        ledger: Ledger,
        *about: str,
        disclose: Sequence[str] = (),
        progress: Callable[[int, int], None] | None = None,
    ) -> Self:
        """Make a bundle from a ledger that has its key.

        Args:
            ledger: the ledger, opened with ``signer=``.
            about: an incident's id, or ids of effects, or ids of entries; what corrects them comes
                with them.
            disclose: names of personal fields whose values go into the bundle, wherever an entry
                has them; none, if not given.
            progress: called with (entries proved, entries in all) after each.

        Raises:
            UnknownIdError: there is no such incident, effect or entry.
            InvalidInputError: the ledger has no key, the ids are a mixture, or no entry has a field
                to disclose.
            LedgerCorruptError: the ledger does not prove its own entries.
        """
        given: object = ledger  # whatever its annotation says
        if not isinstance(given, Ledger):
            raise InvalidInputError(f"ledger must be an rml.Ledger, not {type(given).__name__}")
        names = listed(disclose, "to disclose") if disclose else ()
        wanted = [check_text("a name in disclose", name) for name in names]
        ids = [check_text("about", one) for one in about]
        text = ledger.checkpoint()
        checkpoint, note = read_checkpoint(text)
        if note is None:
            raise InvalidInputError(
                "a bundle is signed, and this ledger has no key; open it with signer="
            )
        entries = belonging(ids, _asking(ledger, checkpoint.size))
        _check_wanted(entries, wanted)
        items = []
        for done, entry in enumerate(entries, 1):
            fields = [name for name in wanted if name in entry.personal]
            disclosed = ledger.disclose(entry.id, fields) if fields else ()
            proof = ledger.prove(entry.id, size=checkpoint.size)
            proof = attrs.evolve(proof, checkpoint=text)  # with all its signatures
            items.append(
                BundledEntry(data=entry.to_bytes(), proof=proof, disclosed=tuple(disclosed))
            )
            if progress is not None:
                progress(done, len(entries))
        own = version("rml")
        shown = [item.verify(checkpoint, text) for item in items]
        return cls(
            about=tuple(ids),
            checkpoint=text,
            items=tuple(items),
            made_by=own,
            pages=pages(ids, own, checkpoint, shown),
        )

    def verify(self, keys: Keys, *, generated: bool = True) -> Checkpoint:
        """Return the checkpoint whose tree holds every entry of the bundle, or raise.

        Args:
            keys: verifier keys, got elsewhere; one of the ledger's own must have signed.
            generated: whether the pages must be what this version of rml makes of the entries.

        Raises:
            SignatureError: no trusted key of the ledger's name has signed the checkpoint.
            ProofError: an entry, a disclosed value or a page is not what the bundle says.
            InvalidInputError: another version of rml made the pages, and this one makes others, so
                that it cannot tell; or the checkpoint or a key cannot be read.
            MissingExtraError: the extra ``sign`` is not installed.
        """
        checkpoint = self._signed(keys)
        entries = [self._shown(item, checkpoint) for item in self.items]
        try:
            belong = belonging(self.about, among(entries))
        except RmlError as error:
            raise ProofError(f"the bundle is not about {self._title}: {error.message}") from error
        if belong != entries:
            raise ProofError(f"an entry of the bundle does not belong to {self._title}")
        if generated:
            self._check_pages(checkpoint, entries)
        return checkpoint

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The entries, with the values that are disclosed; trust them once the bundle is verified.

        Raises:
            ProofError: one is not what the bundle says.
        """
        checkpoint = read_checkpoint(self.checkpoint)[0]
        return tuple(self._shown(item, checkpoint) for item in self.items)

    @property
    def _title(self) -> str:
        return f"{', '.join(self.about)!a:.80}"

    def _signed(self, keys: Keys) -> Checkpoint:
        checkpoint, note = read_checkpoint(self.checkpoint)
        if note is None:
            raise SignatureError("the bundle's checkpoint is not signed")
        signers = [key.name for key in note.verify(keys)]
        if checkpoint.origin not in signers:
            raise SignatureError(
                f"the bundle is of the ledger {checkpoint.origin!a:.80}, and the trusted key that "
                f"signed it is of {signers[0]!a:.80}"
            )
        return checkpoint

    def _shown(self, item: BundledEntry, checkpoint: Checkpoint) -> Entry:
        try:
            return item.verify(checkpoint, self.checkpoint)
        except ProofError as error:
            raise ProofError(f"entry {item.index} of the bundle: {error.message}") from error

    def _check_pages(self, checkpoint: Checkpoint, entries: Sequence[Entry]) -> None:
        try:
            expected = pages(self.about, self.made_by, checkpoint, entries)
        except (RmlError, LookupError, TypeError, ValueError, AttributeError) as error:
            raise ProofError(f"the entries make no case: {error}") from error
        own = version("rml")
        for name in expected.keys() | self.pages.keys():
            if expected.get(name) == self.pages.get(name):
                continue
            if self.made_by == own:
                raise ProofError(f"{name} is not what the entries say")
            raise InvalidInputError(
                f"{name} was made by rml {self.made_by!a:.20}, and this is {own}, which cannot "
                "tell whether it follows from the entries; they and their proofs hold"
            )

    def write(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the bundle into a file; the same bundle gives the same bytes.

        Raises:
            FileNotWrittenError: the file is there already, or cannot be written.
        """
        place = as_path("path", path)
        write_archive(place, _files_of(self), overwrite=flag("overwrite", overwrite))

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Self:
        """Read a bundle from a file, without judging it.

        Raises:
            InvalidInputError: it cannot be read as a bundle.
        """
        place = as_path("path", path)
        files = read_archive(place, _bytes_max)
        try:
            about, made_by = _told(parse_json(files[MANIFEST]))
            bundle = cls(
                about=about,
                checkpoint=files[_CHECKPOINT].decode(),
                items=tuple(_items_of(files)),
                made_by=made_by,
                pages={name: files[name] for name in _PAGES if name in files},
            )
            if _files_of(bundle).keys() != files.keys():
                raise ValueError("a proof or a field without its entry")
        except (RmlError, LookupError, TypeError, ValueError, AttributeError) as error:
            why = f"{error} is missing" if isinstance(error, KeyError) else error
            raise InvalidInputError(f"the bundle {place} cannot be read: {why}") from error
        return bundle


# Making -------------------------------------------------------------------------------------------


def _asking(ledger: Ledger, size: int) -> Find:
    """Return how a ledger is asked for the entries that it had at a size."""
    questions: dict[str, Callable[[str], Iterable[Entry]]] = {
        ENTRY: lambda value: [ledger.entry(value)],
        EFFECT: lambda value: ledger.entries(effect=value),
        INCIDENT: lambda value: ledger.entries(incident=value),
        CORRECTS: lambda value: ledger.entries(corrects=value),
        KIND: lambda value: ledger.entries(kind=value),
    }

    def find(name: str, value: str) -> list[Entry]:
        try:
            found = list(questions[name](value))
        except UnknownIdError:
            return []
        return [entry for entry in found if entry.index is not None and entry.index < size]

    return find


def _check_wanted(entries: Sequence[Entry], wanted: Sequence[str]) -> None:
    if len(entries) > ENTRIES_MAX:
        raise LimitError(
            f"the bundle would have {len(entries)} entries, the limit is {ENTRIES_MAX} "
            "(ENTRIES_MAX); export tiles for a whole ledger"
        )
    known = {name for entry in entries for name in entry.commitments}
    for name in wanted:
        if name not in known:
            raise InvalidInputError(
                f"none of the entries has a personal field {name!r}; they have: "
                f"{', '.join(sorted(known)) or 'none'}"
            )


# In an archive ------------------------------------------------------------------------------------


def _files_of(bundle: Bundle) -> dict[str, bytes]:
    files = {**bundle.pages, _CHECKPOINT: bundle.checkpoint.encode()}
    for item in bundle.items:
        files[f"entries/{item.index}.json"] = item.data
        files[f"proofs/{item.index}.tlog-proof"] = item.proof.to_text().encode()
        if item.disclosed:
            fields = {one.name: [one.salt, one.value] for one in item.disclosed}
            files[f"disclosed/{item.index}.json"] = compact_json(fields)
    return files


def _bytes_max(name: str) -> int | None:
    """Return how large a file of a bundle may be; ``None`` if no bundle has a file of that name."""
    if name in _SINGLE:
        return _SINGLE[name]
    match = _NAME.fullmatch(name)
    ending, limit = _BY_INDEX.get(match[1], ("", 0)) if match else ("", 0)
    return limit if match and match[3] == ending else None


def _told(manifest: Any) -> tuple[tuple[str, ...], str]:
    """Return what a manifest says that a bundle is about, and who made it."""
    if manifest["format"] != FORMAT:
        told = f"it has the format {manifest['format']!a:.40}"
        raise InvalidInputError(f"{told}, and this rml reads {FORMAT!r}; upgrade rml")
    about, made_by = manifest["about"], manifest["made_by"]
    if not isinstance(about, list) or not all(isinstance(one, str) for one in (made_by, *about)):
        raise TypeError(f"{MANIFEST} does not say what it is about")
    return tuple(about), made_by


def _items_of(files: Mapping[str, bytes]) -> Iterator[BundledEntry]:
    names = filter(None, map(_NAME.fullmatch, files))
    for index in sorted(int(name[2]) for name in names if name[1] == "entries"):
        proof = InclusionProof.from_text(files[f"proofs/{index}.tlog-proof"])
        if proof.index != index:
            raise ValueError(f"the proof of entry {index} is about {proof.index}")
        fields = parse_json(files.get(f"disclosed/{index}.json", b"{}"))
        yield BundledEntry(
            data=files[f"entries/{index}.json"],
            proof=proof,
            disclosed=tuple(
                Disclosure(name, salt, value) for name, (salt, value) in fields.items()
            ),
        )
