"""`python -m rml`: the same command line as `rml`."""

from rml.cli import main

if __name__ == "__main__":
    main(prog_name="rml")
