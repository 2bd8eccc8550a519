"""`rml demo`: the story of a double charge, with real parts and fake money."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import click

from rml.cli.ending import FINE, NO
from rml.cli.output import examples, json_option, say, say_json


def _folder(_: click.Context, __: click.Parameter, value: str | None) -> Path | None:
    if value is not None and not value.strip():
        raise click.BadParameter("it is empty; name a folder")
    return None if value is None else Path(value)


@click.command(
    epilog=examples(
        "rml demo",
        "rml demo --out story && rml verify --ledger story/ledger.db",
    )
)
@click.option(
    "--out",
    metavar="DIR",
    type=click.Path(file_okay=False),
    callback=_folder,
    help="Keep the ledger and the case file in this folder.",
)
@json_option
def demo(*, out: Path | None, as_json: bool) -> int:
    """Watch a card being charged twice, and then not."""
    from rml.demo import story

    try:
        result = story.run(out, _silent if as_json else say)
    except BrokenPipeError as error:
        raise click.ClickException("the gateway or the worker went away in mid-story") from error
    if as_json:
        say_json(_shape(result))
    return FINE if result.ok else NO


def _silent(*_: object, **__: object) -> None:
    """Tell nobody: the story's result is what was asked for."""


def _shape(result: Any) -> Mapping[str, Any]:
    shape: Mapping[str, Any] = (
        result.to_dict() if hasattr(result, "to_dict") else attrs.asdict(result)
    )
    return {"ok": bool(result.ok), **shape}
