"""The example notebook runs from its first cell to its last, and shows what it says."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")
nbformat = pytest.importorskip("nbformat")
Config = pytest.importorskip("traitlets.config").Config

NOTEBOOK = Path(__file__).parents[1] / "examples" / "notebooks" / "first_look.ipynb"
CELL_SECONDS_MAX = 120  # of a kernel that hangs; the first cell imports polars


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Run the notebook in an empty folder, with this interpreter; return its cells by their ids."""
    folder = tmp_path_factory.mktemp("notebook")
    book = nbformat.read(NOTEBOOK, as_version=4)
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as short:
        # The kernel `python3` of this interpreter, and none of the developer's own settings.
        kernels = Path(sys.prefix, "share", "jupyter")
        patch.setenv("JUPYTER_PATH", str(kernels))
        for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
            patch.setenv(name, str(folder / name.lower()))
        nbclient.NotebookClient(
            book,
            kernel_name="python3",
            timeout=CELL_SECONDS_MAX,
            startup_timeout=CELL_SECONDS_MAX,
            resources={"metadata": {"path": str(folder)}},
            # Sockets in a folder: a free port may be taken before the kernel listens on it.
            config=Config(KernelManager={"transport": "ipc", "ip": f"{short}/kernel"}),
        ).execute()
    left = sorted(path.name for path in folder.iterdir() if not path.name.endswith("dir"))
    assert [] == left, "the notebook leaves files behind"
    return {cell.id: cell for cell in book.cells}


def shown(cell: Any, kind: str) -> str:
    """Return what a cell shows in one format."""
    return "".join(output.data.get(kind, "") for output in cell.outputs if "data" in output)


def printed(cell: Any) -> str:
    """Return what a cell prints."""
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


def test_the_stored_notebook_has_no_output() -> None:
    """Stored output goes stale and fills every diff."""
    book = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(book)
    code = [cell for cell in book.cells if cell.cell_type == "code"]

    assert [] == [cell.id for cell in code if cell.outputs or cell.execution_count]


def test_effects_are_shown_as_a_table(cells: dict[str, Any]) -> None:
    """Rows are HTML in a notebook: the effects' own fields, and facts."""
    table = shown(cells["effects"], "text/html")

    assert table.count("<tr>") == 1 + 5
    assert {"<th>customer_id</th>", "<td>in_doubt</td>"} <= set(
        table.replace("><", ">\n<").split("\n")
    )


def test_frames_have_the_facts(cells: dict[str, Any]) -> None:
    """The payments in pandas, and counted by polars."""
    assert "dora" in shown(cells["pandas"], "text/html")
    counted = shown(cells["polars"], "text/plain")
    assert all(state in counted for state in ("done", "in_doubt", "not_done"))


def test_the_doubt_and_its_case_are_shown(cells: dict[str, Any]) -> None:
    """One payment is in doubt, and its case says what comes next."""
    assert shown(cells["in-doubt"], "text/html").count("<tr>") == 1 + 1
    assert "INC-2026-0001" in shown(cells["case"], "text/html")
    assert "'ch-77'" == shown(cells["resolve"], "text/plain")


def test_the_entries_tell_how_the_doubt_ended(cells: dict[str, Any]) -> None:
    """The decision is the last entry of its effect."""
    rows = shown(cells["entries"], "text/html").split("<tr>")

    assert "effect.resolved" in rows[-1]
    assert "Mina Sato" in rows[-1]


def test_the_ledger_verifies(cells: dict[str, Any]) -> None:
    """The last cell says that everything follows from the bytes."""
    assert printed(cells["verify"]).startswith("ok: ")
    assert "True" == shown(cells["verify"], "text/plain")
