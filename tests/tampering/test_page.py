"""The page on tampering says what comes of the attacks, on our ledger and on its peers."""

import importlib.util
import warnings
from pathlib import Path

import pytest

TOOL = Path(__file__).parent.parent.parent / "tools" / "tampering_page.py"


def test_the_page_is_current() -> None:
    """Its tables are what `python tools/tampering_page.py` writes."""
    for peer in ("signledger", "auditchain"):
        pytest.importorskip(peer, reason=f"{peer} is not installed: its column cannot be checked")
    spec = importlib.util.spec_from_file_location("tampering_page", TOOL)
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    page = tool.PAGE.read_text(encoding="utf-8")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the peers' own
        assert page == tool.page(page)
