"""`sockeye ping`: like ping(8), over WebSocket pings."""
from __future__ import annotations

import re
import signal
import socket
import threading
from collections.abc import Iterator

import pytest

from harness import SOON, Process, Server, binary
from wire import Wire

SENT = re.compile(r'(\d+) \w+ transmitted, (\d+) (?:\w+ )?received, ([\d.]+)% (?:\w+ )?loss')
TIMES = re.compile(r'rtt min/avg/max/mdev = ([\d.]+)/([\d.]+)/([\d.]+)/([\d.]+) ms')


def ping(*arguments: str) -> Process:
    return Process([binary(), 'ping', *arguments])


def summary(text: str) -> tuple[int, int, float]:
    match = SENT.search(text)
    assert match, text
    return int(match[1]), int(match[2]), float(match[3])


def test_so_many_pings_and_a_summary(server: Server) -> None:
    process = ping(server.ws('/echo'), '-c', '4', '-i', '0.05')
    assert process.wait() == 0, process.stderr()
    out = process.stdout().decode()
    assert summary(out) == (4, 4, 0.0)
    least, mean, most, deviation = map(float, TIMES.search(out).groups())
    assert 0 <= least <= mean <= most < 5000 and deviation <= most
    assert process.stderr() == ''


@pytest.mark.parametrize('size', ['0', '8', '56', '125'])
def test_sizes(server: Server, size: str) -> None:
    process = ping(server.ws('/echo'), '-c', '2', '-i', '0.05', '-s', size)
    assert process.wait() == 0, process.stderr()
    assert summary(process.stdout().decode()) == (2, 2, 0.0)


def test_a_size_that_no_ping_can_have(server: Server) -> None:
    process = ping(server.ws('/echo'), '-c', '1', '-s', '126')
    assert process.wait() in (1, 2)
    assert '125' in process.stderr()


def test_ctrl_c_sums_up(server: Server) -> None:
    process = ping(server.ws('/echo'), '-i', '0.05')
    for _ in range(4):
        process.line()
    process.signal(signal.SIGINT)
    assert process.wait() == 0
    sent, received, _ = summary(process.stdout().decode())
    assert sent >= received >= 3


@pytest.fixture
def deaf() -> Iterator[str]:
    """A server that shakes hands, and then says nothing to anything."""
    listening = socket.create_server(('127.0.0.1', 0))
    listening.settimeout(SOON)
    kept: list[socket.socket] = []

    def serve() -> None:
        import base64
        import hashlib
        connection, _ = listening.accept()
        kept.append(connection)
        request = b''
        while b'\r\n\r\n' not in request:
            request += connection.recv(4096)
        key = re.search(rb'(?i)sec-websocket-key: *(\S+)', request)[1]
        accept = base64.b64encode(hashlib.sha1(key + b'258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest())
        connection.sendall(b'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
                           b'Sec-WebSocket-Accept: ' + accept + b'\r\n\r\n')

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f'ws://127.0.0.1:{listening.getsockname()[1]}/'
    thread.join(SOON)
    for sock in [listening, *kept]:
        sock.close()


def test_no_pong_at_all_is_a_failure(deaf: str) -> None:
    process = ping(deaf, '-c', '2', '-i', '0.05')
    assert process.wait(40) == 1
    assert summary(process.stdout().decode()) == (2, 0, 100.0)


def test_nobody_listens() -> None:
    with socket.create_server(('127.0.0.1', 0)) as closed:
        port = closed.getsockname()[1]
    process = ping(f'ws://127.0.0.1:{port}/', '-c', '1')
    assert process.wait() == 1
    assert len(process.stderr().splitlines()) == 1


def test_pings_of_others_are_answered_meanwhile(server: Server) -> None:
    with Wire(server.address) as wire:
        wire.upgrade()
        process = ping(server.ws('/echo'), '-c', '3', '-i', '0.05')
        wire.send_frame(9, b'me too')
        assert wire.read_frame().payload == b'me too'
        assert process.wait() == 0
