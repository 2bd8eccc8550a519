"""`rml`, and `python -m rml`: the command line, which may be interrupted before it is all imported.

Nothing else is imported here first: most of the time of a short command goes into imports. Once it
runs, :mod:`rml.cli.ending` ends it in the same words.
"""

import sys


def run() -> None:
    """Run the command line that this process was given, and exit with its status."""
    try:
        from rml.cli import main

        main(prog_name="rml")
    except KeyboardInterrupt:
        sys.stderr.write("rml: interrupted\n")
        raise SystemExit(130) from None


if __name__ == "__main__":
    run()
