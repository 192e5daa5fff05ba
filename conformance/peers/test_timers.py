"""The deadlines of a server with its defaults, on a real clock; all at once, for they are long."""
from __future__ import annotations

import concurrent.futures
import time
from collections.abc import Callable

from harness import Server
from tls import BACKENDS, serving
from wire import CLOSE, PING, Wire, close_payload


def silent(server: Server) -> None:
    """Nothing said: closed without a word after the time for a head (10 s)."""
    with Wire(server.address, seconds=30) as wire:
        start = time.monotonic()
        assert wire.read_to_end() == b''
        assert 9 < time.monotonic() - start < 14


def half_a_head(server: Server) -> None:
    """Bytes that arrive do not extend the time: 408 after 10 s."""
    with Wire(server.address, seconds=0.5) as wire:
        start = time.monotonic()
        wire.send(b'GET / HTTP/1.1\r\nHost: here\r\nX: ')
        while time.monotonic() - start < 20:
            wire.send_unless_closed(b'a')
            try:
                if not wire.more():
                    break
            except TimeoutError:
                continue
            except ConnectionResetError:
                break
        assert 9 < time.monotonic() - start < 14
        assert wire.pending.startswith(b'HTTP/1.1 408 ')


def kept_alive(server: Server) -> None:
    """After an answer the connection is kept for 15 s."""
    with Wire(server.address, seconds=30) as wire:
        wire.send(b'GET / HTTP/1.1\r\nHost: here\r\n\r\n')
        assert wire.read_response().status == 200
        start = time.monotonic()
        assert wire.read_to_end() == b''
        assert 14 < time.monotonic() - start < 19


def close_without_end(server: Server) -> None:
    """A peer that has closed, but never ends TCP, is left behind within the time for closing (5 s)."""
    with Wire(server.address, seconds=30) as wire:
        wire.upgrade()
        wire.send_frame(CLOSE, close_payload(1000))
        assert wire.read_close().code == 1000
        start = time.monotonic()
        assert wire.read_to_end() == b''
        assert time.monotonic() - start < 8


def violation_and_deaf(server: Server) -> None:
    """After a violation what still comes is thrown away, and extends nothing."""
    with Wire(server.address, seconds=0.5) as wire:
        wire.upgrade()
        wire.send(b'\x83\x80abcd')
        assert wire.read_close().code == 1002
        start = time.monotonic()
        while time.monotonic() - start < 20:
            try:
                wire.socket.send(b'more')
                time.sleep(0.1)  # the pace of the sender, not a wait for anything
            except (BrokenPipeError, ConnectionResetError):
                break
        assert time.monotonic() - start < 8


def pinged(server: Server) -> None:
    """A quiet peer is pinged after 30 s, and lost 20 s later when no pong comes."""
    with Wire(server.address, seconds=60) as wire:
        wire.upgrade()
        start = time.monotonic()
        ping = wire.read_frame()
        assert ping.opcode == PING
        assert 28 < time.monotonic() - start < 36
        asked = time.monotonic()
        rest = wire.read_to_end()
        assert 18 < time.monotonic() - asked < 27
        assert rest == b'' or rest[0] == 0x88, rest


def half_a_handshake(server: Server) -> None:
    """TLS has no time of its own: it is part of the time for a head."""
    with Wire(server.address, seconds=30) as wire:
        start = time.monotonic()
        wire.send(b'\x16\x03\x01\x02')
        assert len(wire.read_to_end()) <= 7, 'an alert at most'
        assert 9 < time.monotonic() - start < 14


def test_deadlines(serve: Callable[..., Server]) -> None:
    plain = serve()
    cases = [(case, plain) for case in (silent, half_a_head, kept_alive, close_without_end, violation_and_deaf, pinged)]
    for backend in BACKENDS:
        secure = serve(*serving(backend, 'server'))
        cases += [(silent, secure), (half_a_handshake, secure)]
    with concurrent.futures.ThreadPoolExecutor(len(cases)) as pool:
        running = {f'{case.__name__} {server.command}': pool.submit(case, server) for case, server in cases}
        failures = {name: case.exception() for name, case in running.items()}
    assert not any(failures.values()), {name: repr(why) for name, why in failures.items() if why}
