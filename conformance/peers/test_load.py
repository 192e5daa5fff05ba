"""What must stay bounded: peers that never read, and ten thousand that say nothing."""
from __future__ import annotations

import concurrent.futures
import selectors
import socket
import statistics
import threading
import time

import pytest

from harness import Server, eventually, raise_file_limit
from wire import BINARY, PING, TEXT, Ended, Wire, frame, upgrade

MIB = 1 << 20


def round_trips(server: Server, count: int) -> list[float]:
    """Seconds for each, on a connection of their own."""
    times = []
    with Wire(server.address) as wire:
        wire.upgrade()
        for number in range(count):
            start = time.perf_counter()
            wire.send_frame(TEXT, b'%d' % number)
            assert wire.read_message().payload == b'%d' % number
            times.append(time.perf_counter() - start)
    return times


def flood(wire: Wire, data: bytes, stop: threading.Event) -> int:
    """Sends without ever reading, until the peer has taken nothing for a second. Bytes taken."""
    wire.socket.setblocking(False)
    sent, last = 0, time.monotonic()
    with selectors.DefaultSelector() as selector:
        selector.register(wire.socket, selectors.EVENT_WRITE)
        position = 0
        while not stop.is_set() and time.monotonic() - last < 1:
            if not selector.select(0.05):
                continue
            try:
                count = wire.socket.send(data[position:])
            except BlockingIOError:
                continue
            except (BrokenPipeError, ConnectionResetError):
                break
            position = (position + count) % len(data)
            sent += count
            last = time.monotonic()
    return sent


@pytest.mark.parametrize('driver', ['epoll', 'uring', 'poll'])
@pytest.mark.parametrize(('what', 'data'), [
    ('messages of 64 KiB', frame(BINARY, bytes(65536))),
    ('messages of 10 bytes', frame(TEXT, b'0123456789') * 1000),
    ('pings', frame(PING, bytes(125)) * 500),
])
def test_an_echo_that_nobody_reads(serve, measured, driver: str, what: str, data: bytes) -> None:
    server = serve('--driver', driver)
    quiet = round_trips(server, 200)
    before = server.resident()
    stop = threading.Event()
    with Wire(server.address, receive_buffer=4096) as wire, concurrent.futures.ThreadPoolExecutor() as pool:
        wire.upgrade()
        flooding = pool.submit(flood, wire, data, stop)
        busy: list[float] = []
        peak = 0
        end = time.monotonic() + 10
        # Pings may be taken for ever, as only the newest pong is kept: then it is the clock that ends it.
        while not flooding.done() and time.monotonic() < end:
            busy += round_trips(server, 50)
            peak = max(peak, server.resident())
        stop.set()
        sent = flooding.result()
        grown = max(peak, server.resident()) - before
    measured(f'{driver}, an echo of {what} that nobody reads: {sent / MIB:.1f} MiB taken, memory grew by {grown / MIB:.1f} MiB; '
             f'round trip of others {statistics.median(busy) * 1e6:.0f} µs (median, {statistics.median(quiet) * 1e6:.0f} before), '
             f'{max(busy) * 1e3:.1f} ms at most')
    assert grown < 16 * MIB
    assert statistics.median(busy) < 0.02 and max(busy) < 1
    eventually(lambda: round_trips(server, 1), 'the server is well')


@pytest.mark.parametrize('driver', ['epoll', 'uring', 'poll'])
def test_a_broadcast_that_one_does_not_read(serve, measured, driver: str) -> None:
    server = serve('--driver', driver)
    before = server.resident()
    payload, count, window = bytes(65536), 3200, 8
    message = frame(BINARY, payload)
    with Wire(server.address, receive_buffer=4096) as deaf, Wire(server.address) as sender, Wire(server.address) as other:
        for wire in (deaf, sender, other):
            wire.upgrade('/broadcast')
        start, peak = time.monotonic(), 0
        # Both read all they get, a few messages behind what is sent: only the deaf one falls back.
        for number in range(count + window):
            if number < count:
                sender.send(message)
            if number >= window:
                assert sender.read_message().payload == payload
                assert other.read_message().payload == payload
            if number % 50 == 0:
                peak = max(peak, server.resident())
        took, grown = time.monotonic() - start, max(peak, server.resident()) - before
        echoes = round_trips(server, 100)
        measured(f'{driver}, a broadcast of {count * len(payload) / MIB:.0f} MiB that one of three does not read: memory grew by '
                 f'{grown / MIB:.1f} MiB, the two others got all at {count * len(payload) / MIB / took:.0f} MiB/s')
        # The bound for what waits for one peer is 32 MiB.
        assert grown < 48 * MIB
        assert statistics.median(echoes) < 0.02
        with pytest.raises((Ended, OSError)):
            while True:
                deaf.read_frame()
    eventually(lambda: server.descriptors() < 20, 'the deaf one has been dropped')


def hold(address: tuple[str, int], count: int) -> list[socket.socket]:
    """So many connections, each with its handshake done; a hundred handshakes at a time."""
    request = upgrade('here')
    held: list[socket.socket] = []
    while len(held) < count:
        batch = []
        for _ in range(min(100, count - len(held))):
            connection = socket.create_connection(address, 10)
            connection.sendall(request)
            batch.append(connection)
        for connection in batch:
            answer = b''
            while b'\r\n\r\n' not in answer:
                data = connection.recv(4096)
                assert data, 'refused'
                answer += data
            assert answer.startswith(b'HTTP/1.1 101 ')
        held += batch
    return held


@pytest.mark.timeout(240)
@pytest.mark.parametrize('driver', ['epoll', 'uring', 'poll'])
def test_ten_thousand_idle_connections(serve, measured, driver: str) -> None:
    count = 10_000
    limit = raise_file_limit()
    assert limit > count + 200, f'the hard limit of open files is {limit}: raise it for this test (ulimit -Hn)'
    server = serve('--driver', driver)
    hold(server.address, 1)[0].close()
    base = eventually(lambda: server.descriptors(), 'descriptors')
    before = server.resident()
    start = time.monotonic()
    held = hold(server.address, count)
    took = time.monotonic() - start
    try:
        assert server.descriptors() >= count
        grown = server.resident() - before
        used, asleep = server.processor_seconds(), time.monotonic()
        eventually(lambda: time.monotonic() - asleep > 1, 'a second passes')
        used = server.processor_seconds() - used
        for connection in held[::101]:
            connection.sendall(frame(TEXT, b'still here'))
        for connection in held[::101]:
            assert connection.recv(100) == b'\x81\x0astill here'
        times = round_trips(server, 100)
        measured(f'{driver}, {count} idle connections: {grown / count:.0f} bytes each ({grown / MIB:.1f} MiB), opened in {took:.1f} s, '
                 f'{used * 100:.0f} % of a core while idle, round trip {statistics.median(times) * 1e6:.0f} µs')
        assert grown / count < 4096
        assert used < 0.1
    finally:
        for connection in held:
            connection.close()
    eventually(lambda: server.descriptors() <= base + 1, 'all descriptors are given back', 30)
