"""What the tests of all clients start."""

from collections.abc import Callable, Iterator

import pytest
from hostile import Behaviour, HostileServer


@pytest.fixture
def serve() -> Iterator[Callable[..., HostileServer]]:
    """Start servers that end with the test."""
    running: list[HostileServer] = []

    def start(*behaviours: Behaviour) -> HostileServer:
        running.append(HostileServer(*behaviours))
        return running[-1]

    yield start
    for server in running:
        server.close()
