"""`rml lint`: its output, its exit statuses, its settings."""

import json
import os
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from rml.cli import main
from rml.lint.catalog import CATALOG, CODES
from rml.lint.settings import Settings
from rml.lint.vocabulary import EFFECTFUL

ROOT = Path(__file__).parent.parent
BAD = 'import requests\nrequests.post("u")\n'
FINE = 'import requests\nrequests.get("u")\n'
BROKEN = "def (:\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with settings that say nothing, from which commands are run."""
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, **files: str) -> None:
    """Write Python files; two underscores in a name separate folders."""
    for name, text in files.items():
        path = folder / (name.replace("__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def settle(folder: Path, *lines: str) -> None:
    """Write settings."""
    (folder / "pyproject.toml").write_text("\n".join(["[tool.rml.lint]", *lines]))


def lint(*args: str, status: int = 0) -> Result:
    """Run `rml lint`."""
    result = CliRunner().invoke(main, ["lint", *args], prog_name="rml")
    assert status == result.exit_code, result.output
    return result


def places(*args: str) -> list[str]:
    """The paths of the violations."""
    result = CliRunner().invoke(main, ["lint", *args, "--json"], prog_name="rml")
    return [violation["path"] for violation in json.loads(result.stdout)["violations"]]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_not_waited_for(here: Path) -> None:
    """Nobody writes into it: status 2 says that it was not read, and the others were."""
    write(here, fine=FINE)
    os.mkfifo("pipe.py")

    for args in (["pipe.py"], ["."]):
        result = lint(*args, status=2)
        assert "pipe.py: not a regular file" in result.stderr


def test_nothing_found(here: Path) -> None:
    """Status 0, and one line that says so."""
    write(here, fine=FINE)

    assert "no violations in 1 file\n" == lint("fine.py").stdout


def test_violations_are_lines_that_editors_read(here: Path) -> None:
    """Status 1; the folder is searched if nothing is named."""
    write(here, shop__b=BAD, shop__a=BAD, fine=FINE)

    first, second, last = lint(status=1).stdout.splitlines()

    assert re.fullmatch(r"shop/a\.py:2:1: RML101 requests\.post has .+", first)
    assert second.startswith("shop/b.py:2:1: RML101 ")
    assert "2 violations in 3 files" == last


def test_json_is_one_document(here: Path) -> None:
    """What the text says, for programs."""
    write(here, bad=BAD, broken=BROKEN)

    read: Any = json.loads(lint("bad.py", "broken.py", "--json", status=2).stdout)

    assert 2 == read["files"]
    (violation,) = read["violations"]
    assert ("bad.py", 2, 1, "RML101") == tuple(
        violation[name] for name in ("path", "line", "column", "code")
    )
    assert [{"path": "broken.py", "reason": "line 1: invalid syntax"}] == read["unread"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (BROKEN.encode(), "line 1: invalid syntax"),
        (b"x = '\0'\n", "null byte"),
        (b"x = '\xff'\n", "utf-?8"),
        (b"# coding: klingon\n", "klingon"),
        (b"x = " + b"(" * 5000 + b")" * 5000, ""),
        (b"x = " + b"-" * 50_000 + b"1", ""),  # each Python says it in its own words
    ],
    ids=["syntax", "null byte", "not its encoding", "unknown encoding", "brackets", "minus signs"],
)
def test_file_that_cannot_be_read_is_named_and_the_rest_checked(
    here: Path, content: bytes, reason: str
) -> None:
    """Status 2, and one line a file on stderr."""
    write(here, bad=BAD)
    (here / "broken.py").write_bytes(content)

    result = lint("broken.py", "bad.py", status=2)

    assert "bad.py:2:1: RML101" in result.stdout
    (line,) = result.stderr.splitlines()
    assert re.fullmatch(rf"rml lint: cannot read broken\.py: .*{reason}.*", line)


def test_path_that_is_not_there(here: Path) -> None:
    """Status 2 before anything is checked."""
    assert "nowhere" in lint("nowhere", status=2).stderr


@pytest.mark.parametrize("code", CODES)
def test_explain(code: str) -> None:
    """A code in either case, with an example of each kind."""
    text = lint("--explain", code.lower()).stdout

    assert text.startswith(f"{code}: {CATALOG[code].title}\n")
    assert "\nBad:\n    import " in text
    assert "\nGood:\n    import " in text
    assert CATALOG[code].to_dict() == json.loads(lint("--explain", code, "--json").stdout)


@pytest.mark.parametrize("args", [("--explain", "RML7"), ("--explain", "RML101", "x.py")])
def test_explain_of_nothing(here: Path, args: tuple[str, ...]) -> None:
    """An unknown code, or files to check, are refused in one line."""
    write(here, x=FINE)

    assert 1 == len(lint(*args, status=2).stderr.splitlines())


# Settings ----------------------------------------------------------------------------------------


def test_own_clients_have_effects(here: Path) -> None:
    """`extend-effectful` adds names, `effectful` replaces those that are known."""
    write(here, own="import shop\nshop.Client().charge()\n", bad=BAD)

    assert ["bad.py"] == places("own.py", "bad.py")
    settle(here, 'extend-effectful = ["shop.Client.charge"]')
    assert ["bad.py", "own.py"] == places("own.py", "bad.py")
    settle(here, 'effectful = ["shop.*"]')
    assert ["own.py"] == places("own.py", "bad.py")


@pytest.mark.parametrize(
    ("excluded", "left"),
    [
        ("tests", ["src/shop/old.py", "src/shop/pay.py"]),
        ("src/shop", ["src/tests/x.py", "tests/a.py"]),
        ("src/*/old.py", ["src/shop/pay.py", "src/tests/x.py", "tests/a.py"]),
        ("pay.py", ["src/shop/old.py", "src/tests/x.py", "tests/a.py"]),
        ("shop/old.py", ["src/shop/old.py", "src/shop/pay.py", "src/tests/x.py", "tests/a.py"]),
    ],
)
def test_exclude(here: Path, excluded: str, left: list[str]) -> None:
    """By the path from the settings, or by a name alone; also what is named on the command line."""
    write(here, src__shop__old=BAD, src__shop__pay=BAD, src__tests__x=BAD, tests__a=BAD)
    settle(here, f'exclude = ["{excluded}"]')
    files = [path.relative_to(here).as_posix() for path in here.rglob("*.py")]

    assert left == [path.removeprefix("./") for path in places(".")]
    assert left == places(*files)


def test_other_peoples_code_is_left_out(here: Path) -> None:
    """Folders that begin with a dot, and those of packages."""
    write(here, _venv__a=BAD, node_modules__b=BAD, venv__c=BAD)
    (here / "_venv").rename(here / ".venv")

    assert [] == places(".")


def test_select_and_ignore(here: Path) -> None:
    """Codes are chosen by how they begin; an accepted violation stays accepted."""
    marked = 'requests.post("u")  # rml: ok twice does no harm\n'
    write(here, bad=f"{BAD}{marked}requests.get('u')  # rml: ok\n")

    assert 2 == len(places("bad.py"))
    settle(here, 'select = ["RML10"]')
    assert 1 == len(places("bad.py"))
    settle(here, 'ignore = ["RML10"]')
    assert 1 == len(places("bad.py"))
    settle(here, 'select = ["RML1"]', 'ignore = ["RML101", "RML199"]')
    assert [] == places("bad.py")


def test_settings_are_those_above_the_files(here: Path) -> None:
    """Wherever the command is run from."""
    write(here, inner__bad=BAD)
    settle(here / "inner", 'ignore = ["RML101"]')

    assert [] == places("inner")
    assert ["RML101"] == [*Settings.beside(here / "inner" / "bad.py").ignore]
    assert EFFECTFUL == Settings.beside(here).effectful


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('effectfull = ["x"]', "no setting 'effectfull'"),
        ('effectful = "x"', "must be a list of texts"),
        ("exclude = [7]", "must be a list of texts"),
        ('select = ["RML777"]', "begins no code"),
        ('ignore = ["E501"]', "begins no code"),
        ("select = [", "cannot read"),
    ],
)
def test_wrong_settings_are_one_line(here: Path, line: str, said: str) -> None:
    """Status 2, and the file and the setting are named."""
    write(here, fine=FINE)
    settle(here, line)

    result = lint("fine.py", status=2)

    assert "" == result.stdout
    (told,) = result.stderr.splitlines()
    assert said in told
    assert "pyproject.toml" in told


def test_table_that_is_none(here: Path) -> None:
    """`lint = 3` is told as well."""
    write(here, fine=FINE)
    (here / "pyproject.toml").write_text("[tool.rml]\nlint = 3\n")

    assert "must be a table" in lint("fine.py", status=2).stderr


def test_hook_runs_the_command() -> None:
    """What pre-commit is told is there."""
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    script, command = hook["entry"].split()

    assert script in project["scripts"]
    assert command in main.list_commands(None)
