"""The benchmarks say what was missed, and put their figures where the page has a place for them."""

import importlib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent
PAGE = """# Page

<!-- figures: python benchmarks/ledger.py -->

old

<!-- end of figures -->

<!-- figures: python benchmarks/effects.py -->
<!-- end of figures -->
"""


@pytest.fixture
def measure(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The benchmarks are scripts beside each other, not a package."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("measure")


@pytest.mark.parametrize(
    ("figure", "reach", "said"),
    [
        (1.2, {"at_most": 1.25}, "at most 1.25"),
        (1.3, {"at_most": 1.25}, "at most 1.25 (missed)"),
        (2.6, {"at_least": 2.5}, "at least 2.5"),
        (2.4, {"at_least": 2.5}, "at least 2.5 (missed)"),
        (9.9, {}, ""),
    ],
)
def test_a_line_says_what_was_missed(
    measure: ModuleType, figure: float, reach: dict[str, float], said: str
) -> None:
    """A figure stands beside its reach, and says when it is not there."""
    _, _, shown, _, _ = measure.Line("append", figure, **reach).cells()

    assert said == shown


def test_a_figure_is_the_median_of_the_rounds_ratios(measure: ModuleType) -> None:
    """One slow round moves neither the ratio nor the times."""
    beside = measure.Beside.of([(1.0, 2.0), (100.0, 900.0), (1.0, 3.0)])

    assert measure.Beside(ratio=3.0, floor=1.0, ours=3.0) == beside


def test_figures_replace_those_of_the_same_command_alone(
    measure: ModuleType, tmp_path: Path
) -> None:
    """What stands outside the marks, and other commands' figures, stay."""
    page = tmp_path / "page.md"
    page.write_text(PAGE, "utf-8")

    measure.publish(page, "python benchmarks/ledger.py", "new")

    assert PAGE.replace("old", "new") == page.read_text("utf-8")


def test_a_page_without_a_place_is_refused_before_anything_is_measured(
    measure: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody waits for minutes to hear that the page was the wrong one."""
    page = tmp_path / "page.md"
    page.write_text("# Page\n", "utf-8")
    parser = measure.arguments("", "python benchmarks/ledger.py")

    with pytest.raises(SystemExit):
        parser.parse_args(["--page", str(page)])

    assert "has no place for the figures" in capsys.readouterr().err


def test_a_ledger_is_filled_with_keys_as_far_as_the_time_goes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A slow disk shortens the last table, and does not lengthen the run."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    keys = importlib.import_module("keys")

    sizes = keys.grow(tmp_path, (5, 10, 20), rounds=1, times=1, patience=0.0)

    calls_while_measuring = 3
    assert [5, 5 + calls_while_measuring] == [size.keys for size in sizes]


@pytest.mark.parametrize(
    "command",
    [f"python benchmarks/{name}.py" for name in ("ledger", "effects", "postgres")],
)
def test_the_page_has_a_place_for_each_command(measure: ModuleType, command: str) -> None:
    """The figures in the documentation can be taken again by one command."""
    assert measure.has_place(ROOT / "docs" / "explanation" / "performance.md", command)
