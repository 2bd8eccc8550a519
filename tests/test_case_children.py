"""A large incident is led in parts: each part is a case, and the larger one is closed after it."""

import json
from pathlib import Path

import pytest
from casework import through

import rml
from rml.cli import main


@pytest.fixture
def book(ledger: rml.Ledger) -> rml.Casebook:
    """Return a book of two cases."""
    rml.escalate("the region is down", ledger=ledger)
    rml.escalate("checkout is down", ledger=ledger)
    return rml.Casebook(ledger)


@pytest.fixture
def parent(book: rml.Casebook) -> rml.Case:
    """Return the larger case."""
    return next(iter(book))


@pytest.fixture
def child(book: rml.Casebook, parent: rml.Case) -> rml.Case:
    """Return the case that is part of the larger one."""
    _, child = book
    child.link("part_of", parent.id.lower(), by="ann")
    return child


def test_a_parent_shows_where_its_children_stand(parent: rml.Case, child: rml.Case) -> None:
    """Status, severity and commander of each, as they are now; what nobody said is unknown."""
    (before,) = parent.children
    assert (None, None, True) == (before.severity, before.commander, before.is_open)
    assert f"part    {child.id} checkout is down: ongoing, severity unknown, nobody" in repr(parent)
    child.take("commander", by="bob")
    child.understand("x", by="tom", severity="SEV-2", users=3)
    child.move("monitoring", by="bob", reason="quiet")

    (found,) = parent.children
    assert ("SEV-2", "bob", "monitoring") == (found.severity, found.commander, found.status)
    assert f"{child.id} checkout is down: monitoring, SEV-2, led by bob" == str(found)
    row = "<td>monitoring</td><td>SEV-2</td><td>bob</td>"
    assert f"<th>{child.id}</th><td>checkout is down</td>{row}" in parent.to_html()
    assert () == child.children


def test_an_open_child_bars_closing_its_parent(parent: rml.Case, child: rml.Case) -> None:
    """The child is named with who leads it, until it is closed."""
    through(child).take("commander", by="bob")
    through(parent)
    line = f"{child.id} is part of it (ongoing, SEV-2, led by bob): close it first"
    assert [line] == parent.missing()
    with pytest.raises(rml.StepRefusedError) as refused:
        parent.close(by="ann")
    assert (["children-closed"], [line]) == (
        refused.value.details["rules"],
        refused.value.details["missing"],
    )

    child.close(by="bob")
    assert [] == parent.missing()
    parent.close(by="ann")
    assert ["closed, SEV-2, led by bob"] == [one.state for one in parent.children]


def test_a_parent_is_closed_knowingly_before_its_child(parent: rml.Case, child: rml.Case) -> None:
    """With a name and a reason, and what is left goes on being named."""
    through(parent).close(by="ann", override="checkout is another team's now")

    assert ["children-closed"] == parent.read().overrides[0].facts["rules"]
    assert [child.id] == [line.split()[0] for line in parent.missing()]
    child.detect("still open")


def test_only_parts_are_children(book: rml.Casebook, parent: rml.Case) -> None:
    """What caused it, or is like it, is closed by itself; a part that is linked twice is one."""
    _, other = book
    other.link("caused_by", parent.id, by="ann")
    other.link("similar_to", parent.id, by="ann")
    assert () == parent.children
    other.link("part_of", parent.id, by="ann")
    other.link("part_of", parent.id, by="bob")

    assert [other.id] == [one.id for one in parent.children]


def test_the_title_of_a_private_child_is_not_told(parent: rml.Case, child: rml.Case) -> None:
    """Neither in a prompt nor on the page of the larger case, which everybody reads."""
    child.set_private(True, by="ann", reason="an intruder")

    assert [None] == [one.title for one in parent.children]
    assert "checkout" not in repr(parent) + parent.to_html()
    assert f"{child.id} private: ongoing" in repr(parent)


def test_no_case_is_part_of_its_own_part(
    ledger: rml.Ledger, book: rml.Casebook, parent: rml.Case, child: rml.Case
) -> None:
    """However many lie between: none of them could be closed."""
    grandchild = book[rml.escalate("no cards", ledger=ledger).id]
    grandchild.link("part_of", child.id, by="ann")
    size = ledger.size
    for upper in (child, grandchild):
        with pytest.raises(rml.InvalidInputError, match=f"{upper.id} is part of {parent.id}"):
            parent.link("part_of", upper.id, by="ann")

    assert size == ledger.size
    grandchild.link("part_of", parent.id, by="ann")
    assert [child.id, grandchild.id] == [one.id for one in parent.children]


def test_the_shell_shows_the_parts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As lines for people, and as `children` for programs."""
    place = str(tmp_path / "shop.db")
    with rml.Ledger(place) as ledger:
        one, two = (rml.escalate(title, ledger=ledger).id for title in ("all", "a part"))

    def shell(*words: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main([*words, "--ledger", place])
        assert 0 == ended.value.code
        return capsys.readouterr().out

    shell("case", two, "link", "part_of", one, "--by", "ann")

    assert f"  {two} a part: ongoing, severity unknown, nobody leads it\n" in shell("case", one)
    (row,) = json.loads(shell("case", one, "show", "--json"))["children"]
    assert {
        "id": two,
        "title": "a part",
        "status": "ongoing",
        "severity": None,
        "commander": None,
        "is_open": True,
    } == row
