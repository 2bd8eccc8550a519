"""The documentation is true: its Python runs, its commands exist, its links lead somewhere."""

import doctest
import importlib
import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
OUTPUTS = {"text", "yaml", "json"}
MARK = "<shown>"
LINK = re.compile(r"\[[^\]]*\]\((?!https?:|mailto:)(?P<target>[^)#\s]*)(?:#(?P<anchor>[^)\s]*))?\)")


def ids(path: Path) -> str:
    """A page's or module's name as the test's id."""
    return str(path.relative_to(ROOT))


def blocks(page: Path) -> Iterator[tuple[int, str, str]]:
    """Each fenced block of a page: the line where its body starts, its info string, its body."""
    text = page.read_text(encoding="utf-8")
    for fence in FENCE.finditer(text):
        yield text.count("\n", 0, fence.start("body")), fence["info"].strip(), fence["body"]


def shown(page: Path) -> Iterator[tuple[int, str]]:
    """Each block that shows what Python printed: its fence's line, its body.

    It is a block of text, YAML or JSON that follows a block of Python at once.
    """
    text = page.read_text(encoding="utf-8")
    for before, fence in pairwise(FENCE.finditer(text)):
        follows = before["info"].strip() == "python" and fence["info"].strip() in OUTPUTS
        if follows and not text[before.end() : fence.start()].strip():
            yield text.count("\n", 0, fence.start()), fence["body"]


def script(page: Path) -> str:
    """All Python of a page as one script, each line where it stands on the page.

    Where the page shows what has been printed so far, the script prints a mark.
    """
    parts = [(start, body) for start, info, body in blocks(page) if info == "python"]
    if parts:
        parts += [(line, f'print("{MARK}", end="")') for line, _ in shown(page)]
    lines: list[str] = []
    for start, body in sorted(parts):
        lines += [""] * (start - len(lines)) + body.splitlines()
    return "\n".join(lines)


@pytest.mark.parametrize("page", [page for page in PAGES if script(page)], ids=ids)
def test_python_on_the_page_runs(page: Path, tmp_path: Path) -> None:
    """The page's blocks run in order, in one interpreter, in an empty folder, and print this."""
    copy = tmp_path / page.name.replace(".md", "_md.py")
    copy.write_text(script(page), encoding="utf-8")
    (tmp_path / "here").mkdir()

    command = [sys.executable, "-W", "error", str(copy)]
    finished = subprocess.run(
        command, cwd=tmp_path / "here", capture_output=True, text=True, check=False, timeout=120
    )

    assert 0 == finished.returncode, (
        f"{ids(page)} (the line numbers are the page's)\n{finished.stderr}"
    )
    if page.parent == ROOT:  # a README shows what is printed in comments
        return
    *printed, rest = finished.stdout.split(MARK)
    for (line, expected), actual in zip(shown(page), printed, strict=True):
        same = doctest.OutputChecker().check_output(expected, actual, doctest.ELLIPSIS)
        assert same, f"{ids(page)}, line {line + 1}: what is printed is\n{actual}"
    assert "" == rest, f"{ids(page)} prints what it does not show"


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_python_that_is_not_run_says_why(page: Path) -> None:
    """A block is `python`, or `python no-run: <the reason>`; nothing else slips past the tests."""
    infos = [info for _, info, _ in blocks(page) if info.startswith(("py", "Py"))]

    reasoned = re.compile(r"python|pycon|python no-run: \w.{10,}")
    assert [] == [info for info in infos if not reasoned.fullmatch(info)]


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_links_lead_to_a_page_and_a_heading(page: Path) -> None:
    """Every link inside the repository has a file, and every anchor a heading, at its other end."""
    broken = []
    for link in LINK.finditer(FENCE.sub("", page.read_text(encoding="utf-8"))):
        target = (page.parent / link["target"]).resolve() if link["target"] else page
        if not target.exists() or (link["anchor"] and link["anchor"] not in anchors(target)):
            broken.append(link[0])

    assert [] == broken


def anchors(page: Path) -> set[str]:
    """The anchors that a forge makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def has_examples(module: Path) -> bool:
    """Whether a module's docstrings hold examples."""
    return ">>> " in module.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "module", [path for path in sorted(SOURCE.rglob("*.py")) if has_examples(path)], ids=ids
)
def test_examples_in_docstrings_run(module: Path) -> None:
    """What a docstring shows is what Python prints."""
    parts = module.relative_to(SOURCE).with_suffix("").parts
    name = ".".join(part for part in parts if part != "__init__")

    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)

    assert 0 == result.failed
    assert result.attempted


def commands() -> list[str]:
    """The names of the commands of `rml`, none before there is a command line."""
    if importlib.util.find_spec("rml.cli") is None:
        return []
    group = importlib.import_module("rml.cli").main
    return sorted(group.list_commands(None)) if hasattr(group, "list_commands") else []


@pytest.mark.parametrize("command", commands())
def test_command_is_documented_and_shows_an_example(command: str) -> None:
    """Each command is on a page, and its help says what it does and shows how."""
    import click.testing  # optional, and not there before the command line is

    main = importlib.import_module("rml.cli").main
    shown = click.testing.CliRunner().invoke(main, [command, "--help"], prog_name="rml")

    assert 0 == shown.exit_code, shown.output
    assert re.search(rf"^\s*(\$ )?rml {command}\b", shown.output.split("\n", 1)[1], re.MULTILINE)
    assert any(f"rml {command}" in page.read_text(encoding="utf-8") for page in PAGES)


def test_readme_has_two_set_up_commands() -> None:
    """One line installs and shows the main job, one line installs and runs the tests."""
    readme = ROOT / "README.md"
    lines = [
        line.removeprefix("$ ")
        for _, info, body in (blocks(readme) if readme.exists() else ())
        if info == "console"
        for line in body.splitlines()
        if line.removeprefix("$ ").startswith("python3 -m venv")
    ]

    assert ["rml demo", "-m pytest"] == [re.split(r"/bin/(?:python )?", line)[-1] for line in lines]
