"""A case file reads the same with libyaml and without: value, places, and every refusal."""

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rml.error import InvalidInputError
from rml.incident.pages.casefile_yaml import parse_yaml

PIECES = (
    *("a", "b: ", "- ", "? ", ": ", "\n", "\n  ", "\n    ", "'", '"', "|", "|-\n", ">", "#", " #c"),
    *("[", "]", "{", "}", ",", "!", "!!str ", "!!int ", "&a ", "*a", "%YAML 1.1\n", "---\n", "..."),
    *("\t", " ", "1", "1e3", "0x1F", "012", "1_000", "yes", "~", "null", "2025-06-01", "<<", "="),
    *(
        "2025-06-01T10:00:00Z",
        "\\x41",
        "\\u263a",
        "\\UFFFFFFFF",
        "\x07",
        "\u2028",
        "\ufeff",
        "\r\n",
    ),
    *(
        "\xe9",
        "\U0001f600",
        "@",
        "`",
        "key: value\n",
        "- x\n",
        "\x85",
        "\xa0",
        ".inf",
        "0o7",
        "1:30",
    ),
)


def told(text: str) -> tuple[object, ...]:
    """Return what a text says, or why it says nothing."""
    try:
        found = parse_yaml(text)
    except InvalidInputError as refused:
        return (refused.message,)
    return repr(found.value), dict(found._keys), dict(found._values)


@pytest.mark.skipif(not yaml.__with_libyaml__, reason="this PyYAML has no libyaml")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(text=st.lists(st.sampled_from(PIECES), max_size=14).map("".join))
def test_both_read_the_same(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which of the two read it is nothing that a page may depend on."""
    quick = told(text)
    with monkeypatch.context() as without:
        without.setattr(yaml, "__with_libyaml__", False)
        assert told(text) == quick


def test_bounds_hold_with_both() -> None:
    """Depth is looked at before C recurses."""
    with pytest.raises(InvalidInputError, match="NESTING_MAX"):
        parse_yaml("[" * 100_000)
