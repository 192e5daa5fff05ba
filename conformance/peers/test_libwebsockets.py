"""Our client against Debian's test server of libwebsockets, and Debian's test client against our server."""
from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from harness import Process, Server, binary, eventually


@pytest.fixture(scope='module')
def url() -> Iterator[str]:
    """It takes a port of the kernel's choice, and tells it only in its debugging output (16)."""
    process = Process(['libwebsockets-test-server', '--port=0', '--interface=lo', '-d', '16'])

    def port() -> str | None:
        found = re.search(r'lws_socket_bind says (\d+)', process.stderr())
        return found[1] if found else None

    try:
        yield f'ws://127.0.0.1:{eventually(port, "libwebsockets-test-server listens")}/'
    finally:
        process.kill()


def connect(*arguments: str, stdin: bytes | None = b'') -> Process:
    return Process([binary(), 'connect', *arguments], stdin=stdin)


def test_increment(url: str) -> None:
    process = connect(url, '--subprotocol', 'dumb-increment-protocol', '--count', '5', stdin=None)
    counts = [int(process.line()) for _ in range(5)]
    assert counts == list(range(counts[0], counts[0] + 5))
    assert process.wait() == 0, process.stderr()


def test_mirror(url: str) -> None:
    listening = connect(url, '--subprotocol', 'lws-mirror-protocol', '--count', '3', stdin=None)
    speaking = connect(url, '--subprotocol', 'lws-mirror-protocol', stdin=None)
    try:
        # Until both are there: what is said before is not said to a later one.
        def both_hear() -> bool:
            speaking.feed(b'd #ff0000 1 2 3 4;\n')
            assert speaking.line() == 'd #ff0000 1 2 3 4;'
            return bool(listening.out)
        eventually(both_hear, 'the mirror reaches the other')
        while listening.running():
            both_hear()
        assert [listening.line() for _ in range(3)] == ['d #ff0000 1 2 3 4;'] * 3
        assert listening.wait() == 0, listening.stderr()
    finally:
        speaking.kill()
        listening.kill()


def test_an_unknown_subprotocol_is_not_agreed_to(url: str) -> None:
    process = connect(url, '--subprotocol', 'no-such-protocol', '--timeout', '5')
    try:
        assert process.wait() in (0, 1)
        assert 'panicked' not in process.stderr()
    finally:
        process.kill()


def test_ping(url: str) -> None:
    process = Process([binary(), 'ping', url, '-c', '3', '-i', '0.05'])
    try:
        assert process.wait() == 0, process.stderr()
    finally:
        process.kill()


def test_their_client_on_our_server(server: Server) -> None:
    """It wants dumb-increment-protocol and lws-mirror-protocol, by their names of 2011."""
    host, port = server.address
    client = Process(['libwebsockets-test-client', f'--port={port}', '-d', '1039', host])
    try:
        eventually(lambda: re.search(r'(?m)^.*rx \d+ ', client.stderr()) or re.search(r'dumb.*?\d', client.stderr()),
                   f'the client counts:\n{client.stderr()}')
    finally:
        client.kill()
