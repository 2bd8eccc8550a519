"""Types are API: a strict checker sees in user code what the docs promise."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def check(*arguments: str) -> None:
    """Run a checker in the repository; what it printed is the message of a failure."""
    command = [sys.executable, "-m", *arguments]
    # basedpyright looks at the packages of the `python` that it finds first.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    finished = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert 0 == finished.returncode, finished.stdout + finished.stderr


def needs(module: str) -> pytest.MarkDecorator:
    """Skip where the checker is not installed."""
    absent = importlib.util.find_spec(module) is None
    return pytest.mark.skipif(absent, reason=f"{module} is not installed: pip install -e '.[dev]'")


@needs("mypy")
def test_user_code_has_the_types_we_promise() -> None:
    """Code like our users' passes mypy --strict, with the types that it asserts."""
    check("mypy", "tests/typing")


@needs("basedpyright")
def test_every_public_name_has_a_complete_type() -> None:
    """No parameter, return value or attribute that users can reach is left to a guess."""
    check("basedpyright", "--verifytypes", "rml", "--ignoreexternal")
