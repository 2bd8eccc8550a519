"""Run the real localstripe, a stateful fake of Stripe, on a free port of 127.0.0.1.

    with running_localstripe() as address:
        client = stripe.StripeClient("sk_test_...", base_addresses={"api": address})

Its own command, `python -m localstripe --port 8420 --from-scratch`, listens on every network
interface and writes everything it holds to one fixed file, `/tmp/localstripe.pickle`, which it also
unpickles when it starts without `--from-scratch`. An example should do neither, so this one serves
the same application on loopback alone and keeps it in memory.
"""

import contextlib
import os
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

STOP_SECONDS_MAX = 5.0


@contextlib.contextmanager
def running_localstripe() -> Iterator[str]:
    """Yield the address of a fresh localstripe in a process of its own; stop it afterwards."""
    with subprocess.Popen(
        [sys.executable, __file__],
        stdin=subprocess.PIPE,  # its end is the child's sign to end: it never outlives us
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for us, and we stop the child
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            line = server.stdout.readline()
            if not line:
                raise RuntimeError("localstripe did not start; its error is above.")
            yield f"http://127.0.0.1:{int(line)}"
        finally:
            server.stdin.close()
            try:
                server.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                server.kill()


def serve() -> None:
    """Serve until standard input ends; the first line printed is the port."""
    from aiohttp import web
    from localstripe import resources, server  # type: ignore[import-untyped]

    resources.Store.dump_to_disk = lambda _store: None
    random.seed(0)  # its ids are drawn from here: the same story has the same ids
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        # Callers may connect from now on: they wait in the backlog until the application runs.
        print(listener.getsockname()[1], flush=True)
        threading.Thread(target=_end_with_standard_input, daemon=True).start()
        web.run_app(server.app, sock=listener, access_log=None, print=None)


def _end_with_standard_input() -> None:
    sys.stdin.buffer.read()
    os._exit(0)  # there is nothing to save


if __name__ == "__main__":
    serve()
