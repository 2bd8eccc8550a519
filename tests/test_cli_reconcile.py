"""`rml reconcile`: what it asks, what it says about it, how it ends."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import rml
from rml.cli import main
from rml.effect import reconcile as reconciling

HANDLERS = """
import rml

def ask(effect):
    if effect.key == "unknown":
        return rml.Finding(None, evidence="no trace, which is no proof")
    assert rml.current_ledger().look(effect.id) == effect
    return rml.Finding(True, "ch-1", "ch-1 in its books")

@rml.idempotent("payment.charge", key="key", reconcile=ask)
def charge(key):
    raise TimeoutError("no answer")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with handlers and a ledger in which two effects are in doubt."""
    tmp_path.joinpath("shop_handlers.py").write_text(HANDLERS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    sys.modules.pop("shop_handlers", None)
    doubt(tmp_path, "known", "unknown")
    monkeypatch.setattr("rml.effect.reconcile._operations", {})
    return tmp_path


def doubt(folder: Path, *keys: str, operation: str = "payment.charge") -> None:
    """Leave effects in doubt, as another process would."""

    @rml.idempotent(operation, key="key")
    def charge(key: str) -> None:
        raise TimeoutError("no answer")

    with rml.Ledger(folder / "shop.db") as ledger, rml.use(ledger=ledger):
        for key in keys:
            with pytest.raises(TimeoutError):
                charge(key)


def run(*args: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(main, ["reconcile", "--ledger", "shop.db", *args], prog_name="rml")


def run_with_handlers(*args: str) -> Result:
    """Run the command with the handlers."""
    return run("--module", "shop_handlers", *args)


@pytest.mark.usefixtures("folder")
def test_it_settles_what_can_be_settled() -> None:
    """It says what came of each effect; status 1 as long as one is in doubt."""
    result = run_with_handlers("--once")

    assert (1, "") == (result.exit_code, result.stderr)
    assert [
        "payment.charge 'known': happened (ch-1 in its books)",
        "payment.charge 'unknown': still in doubt (no trace, which is no proof)",
    ] == sorted(result.stdout.splitlines())
    assert ["payment.charge 'unknown'"] == [
        line.partition(":")[0] for line in run_with_handlers().stdout.splitlines()
    ]


def test_status_0_says_that_nothing_is_in_doubt(folder: Path) -> None:
    """Settled just now, or before."""
    with rml.Ledger("shop.db") as ledger:
        (unknown,) = [one for one in ledger.in_doubt() if one.key == "unknown"]
        ledger.resolve(unknown.id, happened=False, by="ada", reason="seen")

    assert 0 == run_with_handlers().exit_code
    result = run_with_handlers()
    assert (0, "nothing is in doubt\n", "") == (result.exit_code, result.stdout, result.stderr)


@pytest.mark.usefixtures("folder")
def test_json() -> None:
    """One document; effects as `rml effects` has them."""
    found: list[dict[str, Any]] = json.loads(run_with_handlers("--json").stdout)

    assert {("known", True, "done", 3), ("unknown", None, "in_doubt", 2)} == {
        (e["effect"]["key"], e["happened"], e["effect"]["state"], e["effect"]["version"])
        for e in found
    }
    assert {"happened", "why", "effect"} == set(found[0])


def test_only_one_operation(folder: Path) -> None:
    """Others are left alone; what has no reconciler here says so."""
    doubt(folder, "other", operation="payment.other")
    reconciling._operations.clear()

    result = run_with_handlers("--operation", "payment.other")

    said = "payment.other 'other': still in doubt (no reconciler is defined for this operation"
    assert 1 == result.exit_code
    assert result.stdout.replace("\n ", "").startswith(said)


def test_a_lost_worker_has_its_grace(folder: Path) -> None:
    """Ten seconds, unless said."""
    with rml.Ledger("shop.db") as ledger:
        lost = ledger.effects(key="known")[0]

        def promise(draft: Any) -> None:
            header = {"operation": lost.operation, "key": "slow", "effect": "ef_" + "0" * 32}
            intent = draft.record("effect.intent", world="RML3", attempt=1, **header)
            draft.grant(header["effect"], 1, intent.id, 0)

        ledger.write(promise)

    assert "its lease ended less than 10 s ago" in run_with_handlers().stdout.replace("\n ", "")
    assert "'slow': happened" in run_with_handlers("--grace", "0s").stdout


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--module", "shop_nowhere"], "shop_nowhere cannot be imported: ModuleNotFoundError"),
        (["--module", ".."], "cannot be imported"),
        (["--once", "--every", "5s"], "--once and --every contradict each other"),
        (["--every", "soon"], "'soon' is no length of time such as 30s, 5m or 1h"),
        (["--every", "0"], "every is 0.0; give more than 0 seconds"),
        (["--operation", ""], "operation"),
        (["--operation", "payment.chrage"], "no effect of operation 'payment.chrage' is in"),
    ],
    ids=["unknown module", "no module", "both", "no length", "no time", "no operation", "a typo"],
)
@pytest.mark.usefixtures("folder")
def test_what_cannot_be_asked(args: list[str], said: str) -> None:
    """Status 2, one line, and nothing was asked."""
    result = run(*args)

    assert (2, "") == (result.exit_code, result.stdout)
    assert said in result.stderr
    assert 1 == len(result.stderr.splitlines())


@pytest.mark.usefixtures("folder")
def test_an_operation_without_effects_is_known_if_it_is_defined() -> None:
    """A worker may be started before its first effect."""
    Path("shop_new.py").write_text(
        HANDLERS.replace("payment.charge", "payment.new"), encoding="utf-8"
    )

    result = run("--module", "shop_new", "--operation", "payment.new")

    assert (0, "nothing is in doubt\n") == (result.exit_code, result.stdout)


BROKEN = """
class Broken(BaseException):
    def __str__(self):
        raise OSError

raise Broken
"""


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("raise SystemExit(0)", "SystemExit: 0"),
        ("raise BaseException('no\\nway')", r"BaseException: no\nway"),
        ("raise GeneratorExit", "GeneratorExit: "),
        (BROKEN, "Broken: "),
    ],
    ids=["exit", "base", "generator", "no text"],
)
@pytest.mark.usefixtures("folder")
def test_a_module_that_ends_the_program_is_no_answer(script: str, said: str) -> None:
    """Its status 0 would say that nothing is in doubt, and a traceback nothing at all."""
    Path("shop_script.py").write_text(script, encoding="utf-8")

    result = run("--module", "shop_script")

    assert (2, "") == (result.exit_code, result.stdout)
    assert result.stderr.startswith(f"rml: shop_script cannot be imported: {said}")
    assert 1 == len(result.stderr.splitlines())


@pytest.mark.usefixtures("folder")
def test_a_path_in_place_of_a_module_is_told_apart() -> None:
    """It is what a shell completes; Python says only that there is no such module."""
    result = run("--module", "./shop_handlers.py")

    assert 2 == result.exit_code
    assert result.stderr.endswith("; give a module's name, such as shop.handlers, and no path\n")


def test_at_intervals_until_ctrl_c(folder: Path) -> None:
    """A line for each effect asked about, as JSON if wanted; status 0 in the end."""
    command = [sys.executable, "-m", "rml", "reconcile", "--ledger", "shop.db"]
    with subprocess.Popen(
        [*command, "--module", "shop_handlers", "--every", "0.01s", "--json"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout is not None
        lines = [json.loads(process.stdout.readline()) for _ in range(4)]
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)

    assert 0 == process.returncode
    assert ["unknown", "unknown"] == [line["effect"]["key"] for line in lines[2:]]
    assert [None, True] == sorted((line["happened"] for line in lines[:2]), key=str)


def test_at_intervals_people_are_told_once_what_stays_open(folder: Path) -> None:
    """A log that repeats itself in every round would hide what has changed."""
    asks = HANDLERS.replace("def ask", "import os, signal\nleft = [1] * 6\n\ndef ask", 1)
    stops = "    left.pop() if left else os.kill(os.getpid(), signal.SIGINT)\n    if effect.key"
    folder.joinpath("shop_handlers.py").write_text(asks.replace("    if effect.key", stops, 1))

    command = [sys.executable, "-m", "rml", "reconcile", "--ledger", "shop.db"]
    done = subprocess.run(
        [*command, "--module", "shop_handlers", "--every", "0.01s"],
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=60,
        check=True,
    )

    assert "" == done.stderr
    assert [
        "payment.charge 'known': happened (ch-1 in its books)",
        "payment.charge 'unknown': still in doubt (no trace, which is no proof)",
    ] == sorted(done.stdout.splitlines())
