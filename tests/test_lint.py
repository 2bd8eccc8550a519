"""What `rml lint` reports, what it does not, and that its own words about it are true."""

import ast
import inspect
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rml
from rml.lint import catalog, definition_rule, errors, vocabulary
from rml.lint.run import check, check_source
from rml.lint.settings import Settings
from rml.lint.violation import Violation
from rml.lint.vocabulary import EFFECTFUL, Patterns

ROOT = Path(__file__).parent.parent
CASES = sorted((Path(__file__).parent / "lint_cases").glob("*.py"))
PARTS = [node for case in CASES for node in ast.parse(case.read_bytes()).body]
EXPECT = re.compile(r"\s*# expect: (?P<codes>RML\d+(?:, RML\d+)*)$", re.MULTILINE)
FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)


def found_in(source: str | bytes, path: str = "shop.py", *more: str) -> list[Violation]:
    """The violations in a file of this content, where `more` has an effect too."""
    data = source.encode() if isinstance(source, str) else source
    return list(check_source(data, Path(path), Patterns((*EFFECTFUL, *more))))


def codes(source: str | bytes, path: str = "shop.py", *more: str) -> list[str]:
    """The codes of what is found."""
    return [violation.code for violation in found_in(source, path, *more)]


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_each_line_is_reported_as_it_is_marked(case: Path) -> None:
    """Every line that says what to expect gets just that, and no other line gets anything."""
    text = case.read_text(encoding="utf-8")
    expected = {
        (text.count("\n", 0, match.start("codes")) + 1, code)
        for match in EXPECT.finditer(text)
        for code in match["codes"].split(", ")
    }

    actual = found_in(EXPECT.sub("", text), str(case))

    assert expected == {(violation.line, violation.code) for violation in actual}
    assert len(expected) == len(actual)


def test_every_code_has_a_case() -> None:
    """No rule goes untested."""
    text = "".join(case.read_text(encoding="utf-8") for case in CASES)

    assert set(catalog.CODES) == set(re.findall(r"# expect: (RML\d+)", text))


@pytest.mark.parametrize("entry", catalog.CATALOG.values(), ids=lambda entry: entry.code)
def test_what_explains_a_code_is_true(entry: catalog.Entry) -> None:
    """The bad example has this violation and no other, the good one has none."""
    assert [entry.code] == codes(entry.bad)
    assert [] == found_in(entry.good)


def test_reference_has_every_code_with_its_examples() -> None:
    """The page says what `--explain` says."""
    page = (ROOT / "docs" / "reference" / "lint.md").read_text(encoding="utf-8")
    sections = re.findall(r"^## `(RML\d+)`: (.+)\n\n(.+)\n", page, re.MULTILINE)
    blocks = [match["body"] for match in FENCE.finditer(page) if match["info"].startswith("python")]

    assert [(e.code, e.title, e.why) for e in catalog.CATALOG.values()] == sections
    assert [text for e in catalog.CATALOG.values() for text in (e.bad, e.good)] == blocks


def test_own_code_is_clean() -> None:
    """The library, its examples and its tools pass their own check."""
    places = [str(ROOT / name) for name in ("src", "examples", "tools", "benchmarks")]

    report = check(places, Settings(folder=ROOT))

    assert ([], {}) == (report.violations, report.unread)


@pytest.mark.parametrize(
    "page",
    sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]),
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_documentation_is_clean(page: Path) -> None:
    """What readers copy passes the check, but for the bad examples of the reference."""
    if page.name == "lint.md":
        return
    text = page.read_text(encoding="utf-8")
    lines = [""] * text.count("\n")
    for fence in FENCE.finditer(text):
        if fence["info"].startswith("python"):
            start = text.count("\n", 0, fence.start("body"))
            lines[start : start + fence["body"].count("\n")] = fence["body"].splitlines()

    assert [] == found_in("\n".join(lines), str(page))


# What the rules know of rml ----------------------------------------------------------------------


def test_options_are_those_of_the_decorator() -> None:
    """A new option of `rml.idempotent` is known to RML109."""
    assert set(inspect.signature(rml.idempotent).parameters) == definition_rule.OPTIONS


def test_names_of_rml_exist() -> None:
    """The rules speak of nothing that has gone."""
    named = {*vocabulary.RAISING, *vocabulary.RETRYING, *vocabulary.ATTEMPTS}
    fronts = {name.split(".")[1] for name in named if name.startswith("rml.")} - {"effect"}

    assert [] == [name for name in fronts if name not in rml.__all__]
    assert all(hasattr(rml, family) for family in errors.FAMILIES)
    assert all(getattr(rml, f).world is world for f, world in errors.FAMILIES.items())


# Reading -----------------------------------------------------------------------------------------


def test_place_is_counted_in_characters_from_one() -> None:
    """An editor jumps there, whatever stands before it on the line."""
    (violation,) = found_in('import requests\nx = "é\N{PARTY POPPER}", requests.post("u")\n')

    assert (2, 11) == (violation.line, violation.column)
    assert str(violation).startswith("shop.py:2:11: RML101 requests.post ")


def test_a_page_break_is_no_line() -> None:
    """Lines are counted as Python counts them."""
    (violation,) = found_in('import requests\n\x0c\nx = "\x1c\x85"; requests.post("u")\n')

    assert 3 == violation.line


@pytest.mark.parametrize(
    "source",
    [
        "# coding: latin-1\nimport requests\nrequests.post('\xe9')\n".encode("latin-1"),
        b"\xef\xbb\xbfimport requests\nrequests.post('\xc3\xa9')\n",
        b"import requests\r\nrequests.post('u')\r\n",
    ],
    ids=["latin-1", "byte order mark", "carriage returns"],
)
def test_any_encoding_that_python_reads(source: bytes) -> None:
    """A file is read in the encoding it declares."""
    assert ["RML101"] == codes(source)


def test_relative_imports_are_names_of_the_package(tmp_path: Path) -> None:
    """A client of one's own is found however it is imported."""
    package = tmp_path / "shop" / "pay"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").touch()
    sources = {
        package / "a.py": "from .gateway import charge\ncharge()\n",
        package / "b.py": "from . import gateway as g\ng.charge()\n",
        package / "c.py": "from ..pay.gateway import charge as c\nc()\n",
        package / "__init__.py": "from .gateway import charge\ncharge()\n",
        package / "gateway.py": "def charge(): ...\ncharge()\n",
        tmp_path / "main.py": "import shop.pay.gateway\nshop.pay.gateway.charge()\n",
    }

    for path, source in sources.items():
        assert ["RML101"] == codes(source, str(path), "shop.pay.gateway.charge"), path


def test_pattern_that_begins_with_a_star_matches_what_nobody_knows() -> None:
    """A name of one's own is enough where the object cannot be followed."""
    source = "def pay(gateway):\n    gateway.charge_card()\n"

    assert [] == codes(source)
    assert ["RML101"] == codes(source, "shop.py", "*.charge_card")


def test_names_that_go_in_circles_end() -> None:
    """Definitions in terms of each other mean nothing, and cost nothing."""
    many = "\n".join(f"a = b.x{n}\nb = a.y{n}" for n in range(200))

    assert [] == codes(f"import requests\n{many}\na.post()\nclass C(C): pass\nC().post()\n")


@settings(max_examples=50)
@given(st.lists(st.sampled_from(PARTS), max_size=8))
def test_any_python_is_read(chosen: list[ast.stmt]) -> None:
    """Whatever parts of the cases are put together, the check ends without an error."""
    source = ast.unparse(ast.Module(body=chosen, type_ignores=[]))

    lines = source.count("\n") + 1
    for violation in found_in(source):
        assert 1 <= violation.line <= lines
        assert violation.code in catalog.CODES
