"""Three processes that call, end badly, die, decide and erase at once, while connections are ended.

What each does follows from a seed; in which order it happens does not. So this asks for no order,
but for what holds in any: nothing runs again without a reason, and nothing acknowledged is lost.
"""

import random
import subprocess
import sys
from collections import defaultdict
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

import psycopg
import pytest

import rml
from rml.stores.postgres_place import place_of

SEED, PROCESSES, STEPS, LIVES = 2026, 3, 45, 3
DIED = 7
# Where a process ends at the exit code above, another one takes its place.
WORKER = f"""
import logging, os, random, sys, time
import psycopg, rml
from rml.stores.postgres_place import place_of

url, told, seed = sys.argv[1], os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND), sys.argv[3]
logging.disable()
draw = random.Random(seed)
ledger = rml.Ledger(url, timeout=30)

def say(*words):
    os.write(told, ("\\t".join(map(str, words)) + "\\n").encode())

def carry_out(key):
    number = rml.current_effect().attempt
    say("ran", key, number)
    how = draw.random()
    if how < 0.03:
        os._exit({DIED})
    if how < 0.1:
        time.sleep(draw.choice([0.01, 0.25]))  # within the lease, with beats, or beyond it
    if how < 0.25:
        raise rml.DialogError("no", happened=False)
    if how < 0.4:
        raise TimeoutError("lost")
    if how < 0.45:
        raise rml.HistoryError("moved", code="MOVED")
    return f"{{key}}/{{number}}"

def ask(effect):
    return rml.Finding(draw.choice([True, False, None]))

@rml.idempotent("payment.charge", key="key", lease=0.2, reconcile=ask, ledger=ledger)
def charge(key):
    return carry_out(key)

@rml.idempotent("order.place", key="key", connection="db", ledger=ledger)
def place(db, key):
    return key

def step(number):
    key, what = f"k{{draw.randrange(3)}}.{{number // 9}}", draw.random()
    if what < 0.7:
        say("charged", charge(key))
    elif what < 0.8:
        with psycopg.connect(place_of(url).conninfo) as db:
            place(db, key)
            if draw.random() < 0.4:
                db.rollback()
            else:
                db.commit()
                say("placed", key)
    elif what < 0.85:
        rml.reconcile(ledger=ledger)
    elif what < 0.95:
        for effect in ledger.in_doubt():
            ledger.resolve(effect, happened=draw.random() < 0.5, by="ada", reason="seen")
    else:
        for effect in ledger.effects(operation="payment.charge", state="done"):
            if effect.replay:
                ledger.erase(effect.id, ["rml.result"], by="bob", reason="asked to")

for number in range({STEPS}):
    try:
        step(number)
    except (rml.RmlError, TimeoutError, psycopg.OperationalError):
        pass
ledger.close()
"""


@pytest.fixture
def told(tmp_path: Path) -> Path:
    """Where the processes say what they did."""
    path = tmp_path / "told"
    path.touch()
    return path


def keep_alive(url: str, told: Path, number: int) -> str:
    """Run a process, and others after it if it dies; return what it complained of."""
    for life in range(LIVES):
        command = [sys.executable, "-c", WORKER, url, str(told), f"{SEED}/{number}/{life}"]
        ended = subprocess.run(command, check=False, stderr=subprocess.PIPE, text=True, timeout=200)
        if ended.returncode != DIED:
            break
    return ended.stderr


def end_connections(server: str, name: str, running: list[Future[str]]) -> None:
    """End one now and then, whatever it is doing, until all processes have ended."""
    draw = random.Random(SEED)
    find = "SELECT pid FROM pg_stat_activity WHERE application_name = %s ORDER BY pid"
    with psycopg.connect(server, autocommit=True) as connection:
        while wait(running, draw.uniform(0.05, 0.2)).not_done:
            found = connection.execute(find, [name]).fetchall()
            if found:
                connection.execute("SELECT pg_terminate_backend(%s)", draw.choice(found))


def permitted(entries: list[rml.Entry]) -> set[int]:
    """The attempts of an effect; somebody must have said before each that it is safe."""
    attempts: set[int] = set()
    may_run = True
    for entry in entries:
        if entry.kind == "effect.intent":
            assert may_run
            assert entry.attempt is not None
            attempts.add(entry.attempt)
        if entry.kind == "effect.in_doubt":
            assert entry.incident is not None
        decided = entry.kind == "effect.resolved" and not entry.facts["happened"]
        if entry.kind in {"effect.intent", "effect.not_done", "effect.resolved"}:
            may_run = decided or entry.kind == "effect.not_done"
    return attempts


def test_nothing_runs_twice_and_nothing_is_lost(server: str, url: str, told: Path) -> None:
    """Every run is the one run of a permitted attempt; what was given back is recorded."""
    with ThreadPoolExecutor(PROCESSES) as threads:
        name = place_of(url).schema
        theirs = f"{url}&application_name={name}"
        running = [threads.submit(keep_alive, theirs, told, n) for n in range(PROCESSES)]
        end_connections(server, name, running)
    assert [""] * PROCESSES == [one.result() for one in running]

    said: dict[str, list[list[str]]] = defaultdict(list)
    for line in told.read_text().splitlines():
        what, *words = line.split("\t")
        said[what].append(words)
    with rml.Ledger(url) as ledger:
        effects = {(one.operation, one.key): one for one in ledger.effects()}
        entries = {at: list(ledger.entries(effect=one.id)) for at, one in effects.items()}
        assert () == ledger.verify().problems
    runs = [(key, int(number)) for key, number in said["ran"]]
    attempts = {
        (key, number)
        for (operation, key), found in entries.items()
        if operation == "payment.charge"
        for number in permitted(found)
    }
    done = {
        f"{key}/{one.attempt}"
        for (operation, key), found in entries.items()
        for one in found
        if operation == "payment.charge" and one.kind == "effect.done"
    }

    assert len(set(runs)) == len(runs) > PROCESSES
    assert set(runs) <= attempts
    assert {value for (value,) in said["charged"]} <= done
    assert all(effects["order.place", key].state == "done" for (key,) in said["placed"])
