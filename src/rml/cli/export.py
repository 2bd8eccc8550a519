"""`rml export`: what leaves a ledger, for other tools and for people who do not have it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from rml.cli.bundle import bundle
from rml.cli.ending import FINE
from rml.cli.key import key_option, read_signer
from rml.cli.listing import Commands
from rml.cli.output import examples, fields, json_option, progress_bar, say, say_json
from rml.cli.place import ledger_option, named_ledger, opened_ledger
from rml.cli.shape import effect_shape, entry_shape
from rml.cli.vouching import a_file
from rml.error import InvalidInputError
from rml.export.table import FORMATS, Table, write_table
from rml.files import writing
from rml.ledger.entry import COLUMNS, Entry

F = TypeVar("F", bound=Callable[..., Any])

_TIMES: Final = ("at", "recorded_at", "started_at", "lease_until")
_NUMBERS: Final = ("index", "attempt")
_ENTRY: Final = ("index", *COLUMNS, "origin", "facts", "kept", "erased")
_EFFECT: Final = (
    *("id", "operation", "scope", "key", "provider_key", "state", "attempt", "world"),
    *("started_at", "recorded_at", "lease_until", "corrects", "incident", "error", "replay"),
    *("why_not", "facts"),
)


@click.group(
    cls=Commands,
    epilog=examples(
        "rml export bundle INC-2026-0001 case.zip --key payments.key",
        "rml export tiles public/ --key payments.key",
        "rml export entries entries.parquet",
        "rml export effects effects.csv --json",
        "rml export datasette datasette.yaml",
    ),
)
def export() -> None:
    """Write what leaves the ledger: for auditors, for tables, for Datasette.

    Each form is a command of its own, and shows its own help. No personal value leaves unless it is
    asked for.
    """


export.add_command(bundle)


@export.command(
    epilog=examples(
        "rml export tiles public/ --key payments.key --ledger payments.db",
        "rml export tiles public/ --json",
    )
)
@click.argument("folder", type=a_file)
@key_option()
@ledger_option
@json_option
def tiles(*, folder: Path, key: Path | None, as_json: bool) -> int:
    """Write the whole ledger as a log of C2SP tlog-tiles.

    In a folder that holds such an export already, what is new is added. What leaves are the bytes
    of entries, with commitments in place of personal values. Without --key the log's checkpoint is
    not signed, and other tools refuse it.
    """
    signer = None if key is None else read_signer(key)
    with opened_ledger(signer=signer) as ledger, progress_bar("exporting") as progress:
        done = ledger.export_tiles(folder, progress=progress)
    lines = done.checkpoint.splitlines()
    document = {
        "folder": str(done.folder),
        "origin": lines[0],
        "size": int(lines[1]),
        "added": done.entries,
        "files": done.files,
        "signed": "" in lines,
    }
    return _answer(document, as_json=as_json)


def _table_options(command: F) -> F:
    for option in (
        json_option,
        ledger_option,
        click.option("--overwrite", is_flag=True, help="Replace a file that is there."),
        click.option(
            "--format",
            "form",
            type=click.Choice(FORMATS),
            help="The form; by default what the file's name ends in.",
        ),
        click.argument("file", type=a_file),
    ):
        command = option(command)
    return command


@export.command(
    epilog=examples(
        "rml export entries entries.jsonl --ledger payments.db",
        "rml export entries entries.csv --with-personal",
        "rml export entries entries.parquet --overwrite --json",
    )
)
@_table_options
@click.option(
    "--with-personal", is_flag=True, help="Write personal values, too; no erasure reaches them."
)
def entries(
    *, file: Path, form: str | None, with_personal: bool, overwrite: bool, as_json: bool
) -> int:
    """Write every entry into a table.

    FILE is JSON Lines, CSV or Parquet, with one entry a row. What is kept beside an entry is named
    in `kept`, and in `erased` what is gone.
    """
    shape = _with_personal if with_personal else entry_shape
    names = (*_ENTRY, "personal") if with_personal else _ENTRY
    with opened_ledger() as ledger:
        rows = ledger.as_of(ledger.size).entries()  # what comes in meanwhile is for the next time
        table = Table(
            rows=lambda: rows, shape=shape, columns=_types(names), count=lambda: len(rows)
        )
        return _written(table, file, form, overwrite=overwrite, as_json=as_json)


@export.command(
    epilog=examples(
        "rml export effects effects.jsonl --ledger payments.db",
        "rml export effects effects.csv --overwrite --json",
    )
)
@_table_options
def effects(*, file: Path, form: str | None, overwrite: bool, as_json: bool) -> int:
    """Write every effect and where it stands into a table.

    FILE is JSON Lines, CSV or Parquet, with one effect a row.
    """
    with opened_ledger() as ledger:
        rows = ledger.effects()
        table = Table(
            rows=lambda: rows,
            shape=effect_shape,
            columns=_types(_EFFECT),
            count=lambda: len(ledger.entries(kind="effect.intent")),
        )
        return _written(table, file, form, overwrite=overwrite, as_json=as_json)


def _with_personal(entry: Entry) -> dict[str, Any]:
    return {**entry_shape(entry), "personal": dict(entry.personal)}


def _types(names: tuple[str, ...]) -> Mapping[str, type]:
    known = dict.fromkeys(_TIMES, datetime) | dict.fromkeys(_NUMBERS, int) | {"replay": bool}
    return {name: known.get(name, str) for name in names}


def _written(
    table: Table[Any], file: Path, form: str | None, *, overwrite: bool, as_json: bool
) -> int:
    told = form or file.suffix.removeprefix(".")
    if told not in FORMATS:
        endings = ", ".join(f".{one}" for one in FORMATS)
        raise click.UsageError(f"which form? give --format, or a name that ends in {endings}")
    with progress_bar("writing") as progress:
        count = write_table(table, file, told, overwrite=overwrite, progress=progress)
    return _answer({"file": str(file), "format": told, "rows": count}, as_json=as_json)


@export.command(
    epilog=examples(
        "rml export datasette datasette.yaml --ledger payments.db",
        "datasette payments.db -m datasette.yaml",
        "rml export datasette datasette.json --overwrite --json",
    )
)
@click.argument("file", type=a_file)
@click.option(
    "--database",
    metavar="NAME",
    help="What Datasette will call the ledger's file; by default its name without the ending.",
)
@click.option("--overwrite", is_flag=True, help="Replace a file that is there.")
@ledger_option
@json_option
def datasette(*, file: Path, database: str | None, overwrite: bool, as_json: bool) -> int:
    """Write metadata for Datasette: questions ready to ask.

    FILE is for Datasette 0.65, and explains tables and columns, too. Personal values are shown to
    Datasette's root account alone. JSON if FILE ends in .json, else YAML.
    """
    from rml.export.datasette import datasette_metadata, dump_metadata

    with opened_ledger() as ledger:
        if database is None and ledger.url.startswith("postgresql:"):
            raise InvalidInputError(
                "Datasette opens SQLite files, and this ledger has none; `rml copy` makes one, "
                "then name that with --ledger"
            )
        name = database or Path(named_ledger().partition("?")[0]).stem
        metadata = datasette_metadata(name, ledger.origin)
    as_yaml = file.suffix != ".json"
    text = dump_metadata(metadata) if as_yaml else json.dumps(metadata, indent=2) + "\n"
    with writing(file, overwrite=overwrite) as made:
        made.write(text.encode())
    queries = list(metadata["databases"][name]["queries"])
    return _answer({"file": str(file), "database": name, "queries": queries}, as_json=as_json)


def _answer(document: Mapping[str, Any], *, as_json: bool) -> int:
    if as_json:
        say_json(document)
    else:
        shown = {name: _word(value) for name, value in document.items()}
        say(fields(shown.items()))
    return FINE


def _word(value: object) -> object:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(value) if isinstance(value, list) else value
