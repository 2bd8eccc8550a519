"""What `import rml` gives: sorted, documented, and unchanged unless somebody meant it.

After a change on purpose: `python tools/public_api.py`, read the diff, and tell users in the
changelog.
"""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import rml

ROOT = Path(__file__).parent.parent


def test_all_is_sorted_and_complete() -> None:
    """`__all__` lists each public name once, in the order of a dictionary."""
    assert sorted(set(rml.__all__)) == list(rml.__all__)


@pytest.mark.parametrize("name", rml.__all__)
def test_name_can_be_imported_and_explains_itself(name: str) -> None:
    """Every public name is there and has a docstring of its own."""
    value = getattr(rml, name)

    documented = value if callable(value) else type(value)
    assert (inspect.getdoc(documented) or "").strip()


@pytest.mark.parametrize("name", rml.__all__)
def test_name_is_in_the_reference(name: str) -> None:
    """Whoever looks a name up finds it under docs/reference/."""
    pages = [page.read_text(encoding="utf-8") for page in (ROOT / "docs/reference").glob("*.md")]

    assert any(re.search(rf"\brml\.{name}\b", page) for page in pages)


def test_help_finds_every_name_by_its_task() -> None:
    """But errors, of which it names those from which others are derived, and none that is gone."""
    _, _, lists = (rml.__doc__ or "").partition("To begin with:")
    words = set(re.findall(r"\b\w+\b", lists))
    several = {word for word in words if re.fullmatch(r"([A-Z][a-z]+){2,}", word)}

    assert [] == [name for name in rml.__all__ if name not in words and name[-5:] != "Error"]
    assert set() == several - set(rml.__all__)


def test_dir_offers_what_all_promises() -> None:
    """Completion in a shell or notebook shows every public name."""
    assert set() == set(rml.__all__) - set(dir(rml))


def test_snapshot_and_reference_are_up_to_date() -> None:
    """The names and signatures are those of the last commit, or the diff says what changed."""
    command = [sys.executable, str(ROOT / "tools" / "public_api.py"), "--check"]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    hint = "changed on purpose? run: python tools/public_api.py"
    assert "" == finished.stdout + finished.stderr, hint
