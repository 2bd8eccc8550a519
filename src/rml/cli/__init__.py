"""The command `rml`: look into a ledger, verify it, decide what is in doubt, read its cases.

Exit status: 0 fine, 1 the answer is no, 2 could not tell, 130 interrupted. A command writes its
answer to stdout, and one line about what went wrong to stderr; with ``--json`` stdout is one JSON
document. What a ledger recorded is untrusted text: it reaches a terminal only through
:mod:`rml.cli.output`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any, Final

import click

from rml.cli.backup import backup
from rml.cli.bundle import verify_bundle
from rml.cli.case import case
from rml.cli.cases import cases
from rml.cli.checkpoint import checkpoint
from rml.cli.copy import copy
from rml.cli.correct import correct
from rml.cli.demo import demo
from rml.cli.doctor import doctor
from rml.cli.effects import effects
from rml.cli.ending import end
from rml.cli.erase import erase
from rml.cli.export import export
from rml.cli.init import init
from rml.cli.keygen import keygen
from rml.cli.lever import lever
from rml.cli.lint import lint
from rml.cli.listing import Commands
from rml.cli.output import examples
from rml.cli.pending import pending
from rml.cli.place import ledger_option
from rml.cli.prove import prove
from rml.cli.prune import prune
from rml.cli.reconcile import reconcile
from rml.cli.resolve import resolve
from rml.cli.resume import resume
from rml.cli.show import show
from rml.cli.tail import tail
from rml.cli.verify import verify

__all__ = ["main"]

# Set by a shell that asks how a word may be completed.
COMPLETE_VARIABLE: Final = "_RML_COMPLETE"


class _CommandLine(Commands):
    """The whole command line, which ends in one of our exit statuses."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: FBT001, FBT002 - click's signature
        **extra: Any,
    ) -> Any:
        """Run a command line; unless told otherwise, exit with the status of its answer."""
        if not standalone_mode or os.environ.get(complete_var or COMPLETE_VARIABLE):
            return super().main(args, prog_name, complete_var, standalone_mode, **extra)
        words = list(sys.argv[1:] if args is None else args)

        def answer() -> Any:
            with self.make_context(prog_name or "rml", words, **extra) as context:
                return self.invoke(context)

        raise SystemExit(end(answer))


@click.group(
    cls=_CommandLine,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples(
        "rml demo                                   see it happen",
        "rml verify --ledger payments.db            was it tampered with?",
        "rml effects --in-doubt                     what nobody knows",
        "rml case INC-2026-0001 --yaml > case.yaml  the case file",
    ),
)
@click.version_option(package_name="rml", prog_name="rml")
@ledger_option
@click.pass_context
def main(context: click.Context) -> None:
    """Keep a history of effects that nobody can quietly rewrite.

    The ledger is named by --ledger, before or after the command, or by RML_LEDGER.

    Exit status: 0 fine, 1 the answer is no, 2 could not tell.
    """
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        context.color = False


for _command in (
    *(
        demo,
        verify,
        tail,
        show,
        effects,
        reconcile,
        resolve,
        resume,
        correct,
        pending,
        erase,
        prune,
    ),
    *(lever, cases, case),
    *(keygen, checkpoint, prove, export, verify_bundle, backup, init, copy, doctor, lint),
):
    main.add_command(_command)
