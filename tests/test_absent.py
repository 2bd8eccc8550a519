"""`import rml` needs attrs alone, and a missing extra is one clear command away.

Every check runs in a fresh interpreter in which a finder hides the optional packages, as if nobody
had installed them.
"""

import subprocess
import sys

import pytest

OPTIONAL = [
    "IPython",
    "aiohttp",
    "cattr",
    "cattrs",
    "click",
    "cryptography",
    "httpx",
    "matplotlib",
    "numpy",
    "opentelemetry",
    "pandas",
    "polars",
    "psycopg",
    "pyarrow",
    "requests",
    "sqlalchemy",
    "sqlite_utils",
    "stamina",
    "stripe",
    "structlog",
    "typing_extensions",
    "yaml",
]

HIDE = """
import sys

class Hidden:
    def __init__(self, names):
        self.names = names

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hidden({names!r}))
"""


def run_without(names: list[str], code: str) -> str:
    """Run code in a new interpreter that cannot import these packages; return what it printed."""
    command = [sys.executable, "-W", "error", "-c", HIDE.replace("{names!r}", repr(names)) + code]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert 0 == finished.returncode, finished.stderr
    return finished.stdout


def test_import_works_without_any_optional_package() -> None:
    """The front door opens with nothing but attrs installed, and every name behind it is there."""
    code = """
import rml
print(sum(getattr(rml, name) is None for name in rml.__all__))
"""

    assert "0\n" == run_without(OPTIONAL, code)


def test_import_loads_only_attrs_and_the_standard_library() -> None:
    """With everything installed, `import rml` still leaves it alone."""
    code = """
before = set(sys.modules)
import rml
loaded = {name.partition(".")[0] for name in set(sys.modules) - before}
print(sorted(loaded - sys.stdlib_module_names - {"attr", "attrs", "rml"}))
"""

    assert "[]\n" == run_without([], code)


ROWS = """
import rml
rows = rml.Ledger(":memory:").entries()
"""


SIGNING = """
import rml
from rml.ledger.proofs.note import SignerKey as key
text = "PRIVATE+KEY+acme+3cc396f7+AQABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
"""
VERIFYING = """
import rml
from rml.ledger.proofs.note import VerifierKey
key = VerifierKey.from_text("acme+3cc396f7+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4")
call = lambda: key.verifies(b"text", bytes(64))
"""


@pytest.mark.parametrize(
    ("hidden", "code", "command"),
    [
        ("pandas", ROWS + "call = rows.to_pandas", "pip install 'rml[pandas]'"),
        ("polars", ROWS + "call = rows.to_polars", "pip install 'rml[polars]'"),
        ("pyarrow", ROWS + "call = rows.to_arrow", "pip install 'rml[arrow]'"),
        ("cryptography", SIGNING + "call = lambda: key.generate('acme')", "'rml[sign]'"),
        ("cryptography", SIGNING + "call = lambda: key.from_text(text)", "'rml[sign]'"),
        ("cryptography", VERIFYING, "'rml[sign]'"),
    ],
    ids=["pandas", "polars", "arrow", "make a key", "read a key", "verify"],
)
def test_a_missing_extra_names_its_command(hidden: str, code: str, command: str) -> None:
    """What needs an absent package says which command installs it, as an ImportError of ours."""
    check = """
try:
    call()
except ImportError as error:
    assert isinstance(error, rml.RmlError), type(error)
    print(error.message)
"""

    assert command in run_without([hidden], code + check)
