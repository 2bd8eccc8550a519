"""The reference of verdicts is complete and true."""

import re
from pathlib import Path

from rml.clients import REFUSED_STATUSES, RULES, Inner, Rule

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "verdicts.md"
ROW = re.compile(r"^\| (?P<names>`[^|]+) \| (?P<effect>[^|]+) \|", re.MULTILINE)


def word(rule: Rule | Inner) -> str:
    """Return the page's word for a rule."""
    return {False: "not done", None: "unknown"}.get(rule, "depends")  # type: ignore[call-overload]


def test_every_rule_has_a_row_and_every_row_a_rule() -> None:
    """With the word that is true of it."""
    rows = [
        (name, row["effect"])
        for row in ROW.finditer(PAGE.read_text(encoding="utf-8"))
        for name in re.findall(r"`([^`]+)`", row["names"])
    ]
    assert sorted((name, word(rule)) for name, rule in RULES.items()) == sorted(rows)


def test_the_statuses_that_refuse_are_all_there() -> None:
    """In their sentence."""
    told = re.search(r"not carried out: ([\d, ]+)\.", PAGE.read_text(encoding="utf-8"))
    assert told is not None
    assert sorted(REFUSED_STATUSES) == [int(status) for status in told[1].split(",")]
