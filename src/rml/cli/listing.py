"""How a group of commands lists them: in the order of need, each by one whole sentence."""

from __future__ import annotations

from typing import Any, Final

import click

# More than any first sentence has: click would cut it where a line ends, and does wrap it.
_WHOLE: Final = 1_000


class Commands(click.Group):
    """A group whose commands stand in its help as they were added to it."""

    def list_commands(self, ctx: click.Context | None) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the commands in the order in which a newcomer needs them."""
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that is named; what is wrong with its words is said in its own name."""
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            named = ctx.invoked_subcommand
            if error.ctx is None and named is not None:  # click's parser forgets where it was
                error.ctx = click.Context(self.commands[named], parent=ctx, info_name=named)
            raise

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        formatter: click.HelpFormatter,
    ) -> None:
        """Write each command with the first sentence of its help."""
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, one.get_short_help_str(_WHOLE)) for name, one in self.commands.items()]
            )
