"""`sockeye connect`: the client on its own terms, against Python's `websockets` and our own server."""
from __future__ import annotations

import contextlib
import os
import pty
import queue
import re
import select
import signal
import socket
import subprocess
import termios
import threading
from collections.abc import Callable, Iterator

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server as PeerServer, ServerConnection, serve as serve_peer

from harness import SOON, Process, Server, binary
from wire import Wire

Handler = Callable[[ServerConnection], None]


class Peer:
    """A `websockets` server; what its connections were like is kept for the test."""

    def __init__(self, handler: Handler, **options: object):
        self.closes: queue.Queue[tuple[int | None, str | None]] = queue.Queue()
        self.requests: queue.Queue[ServerConnection] = queue.Queue()

        def handle(connection: ServerConnection) -> None:
            self.requests.put(connection)
            with contextlib.suppress(ConnectionClosed):
                handler(connection)
            connection.close()
            self.closes.put((connection.close_code, connection.close_reason))

        self.server: PeerServer = serve_peer(handle, '127.0.0.1', 0, compression=None, max_size=None, **options)  # type: ignore[arg-type]
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        self.url = f'ws://127.0.0.1:{self.server.socket.getsockname()[1]}'

    def closed(self) -> tuple[int | None, str | None]:
        return self.closes.get(timeout=SOON)


def echo(connection: ServerConnection) -> None:
    for message in connection:
        connection.send(message)


@pytest.fixture
def peer() -> Iterator[Callable[..., Peer]]:
    with contextlib.ExitStack() as stack:
        def start(handler: Handler = echo, **options: object) -> Peer:
            peer = Peer(handler, **options)
            stack.callback(peer.server.shutdown)
            return peer
        yield start


def connect(*arguments: str, stdin: bytes | None = b'') -> Process:
    return Process([binary(), 'connect', *arguments], stdin=stdin)


def succeeded(process: Process, seconds: float = SOON) -> bytes:
    try:
        status = process.wait(seconds)
    finally:
        process.kill()
    assert status == 0, f'exit status {status}: {process.stderr()}'
    assert process.stderr() == '', 'silent in a pipe'
    return process.stdout()


def failed(process: Process, seconds: float = SOON) -> str:
    """The one line that says why."""
    try:
        status = process.wait(seconds)
    finally:
        process.kill()
    assert status == 1, f'exit status {status}: {process.stderr()}'
    lines = process.stderr().splitlines()
    assert len(lines) == 1, process.stderr()
    assert 'panicked' not in lines[0]
    return lines[0]


def test_the_example_of_the_contract(server: Server) -> None:
    done = subprocess.run(f'echo hello | "$SOCKEYE_BIN" connect {server.ws("/echo")} --count 1',
                          shell=True, capture_output=True, timeout=SOON, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b'hello\n', b'')


def test_lines_become_messages_and_messages_lines(peer) -> None:
    got: list[str | bytes] = []

    def note(connection: ServerConnection) -> None:
        connection.send('zero')
        connection.send('')
        got.extend(connection)

    other = peer(note)
    process = connect(other.url, stdin=None)
    assert [process.line(), process.line()] == ['zero', '']
    process.feed('one\n\n drei ✓ \nlast without a line feed'.encode(), last=True)
    assert succeeded(process) == b'zero\n\n'
    assert other.closed() == (1000, '')
    assert got == ['one', '', ' drei ✓ ', 'last without a line feed']


def test_the_end_of_input_closes_after_all_has_been_sent(peer) -> None:
    seen: queue.Queue[list[str]] = queue.Queue()

    def collect(connection: ServerConnection) -> None:
        got: list[str] = []
        try:
            while True:
                got.append(connection.recv())
        except ConnectionClosed:
            seen.put(got)

    lines = [f'line {number} ' + 'x' * 1000 for number in range(5000)]
    other = peer(collect)
    assert succeeded(connect(other.url, stdin='\n'.join(lines).encode() + b'\n'), 30) == b''
    assert seen.get(timeout=SOON) == lines
    assert other.closed() == (1000, '')


def test_what_arrives_until_the_close_is_answered_is_printed(server: Server) -> None:
    """The answers to lines sent just before the end of input are not lost.

    `websockets` answers a Close before its program has seen the messages in front of it; our server
    answers in order, and `ws` is asked the same in node/server.test.js.
    """
    lines = b''.join(b'%d\n' % number for number in range(2000))
    assert succeeded(connect(server.ws('/echo'), stdin=lines), 30) == lines


def test_count_closes_after_so_many_messages(peer) -> None:
    def talk(connection: ServerConnection) -> None:
        for number in range(5):
            connection.send(str(number))
        connection.recv()

    other = peer(talk)
    # Input stays open: it is the count that ends it.
    assert succeeded(connect(other.url, '--count', '3', stdin=None)).startswith(b'0\n1\n2\n')
    assert other.closed()[0] == 1000


def test_count_waits_for_messages_beyond_the_end_of_input(peer) -> None:
    def talk(connection: ServerConnection) -> None:
        assert connection.recv() == 'go'
        for number in range(3):
            assert connection.ping().wait(SOON)
            connection.send(str(number))
        connection.recv()

    assert succeeded(connect(peer(talk).url, '--count', '3', stdin=b'go\n')) == b'0\n1\n2\n'


def test_wait_stays_until_the_server_closes(peer) -> None:
    def talk(connection: ServerConnection) -> None:
        for number in range(3):
            assert connection.ping().wait(SOON)
            connection.send(str(number))

    other = peer(talk)
    assert succeeded(connect(other.url, '--wait')) == b'0\n1\n2\n'


def test_binary_messages_are_raw_bytes(peer) -> None:
    data = bytes(range(256)) * 300

    def talk(connection: ServerConnection) -> None:
        connection.send(data)
        connection.send(b'')
        connection.send(b'\n')

    assert succeeded(connect(peer(talk).url, '--binary', '--wait')) == data + b'\n'


def test_text_of_all_sizes(peer) -> None:
    for size in (0, 125, 126, 65535, 65536, 1 << 20):
        line = b'y' * size + b'\n'
        assert succeeded(connect(peer().url, '--count', '1', stdin=line)) == line


def test_fragments_and_pings_of_the_server(peer) -> None:
    def talk(connection: ServerConnection) -> None:
        connection.send(['frag', 'men', 'ted'])
        assert connection.ping().wait(SOON)
        connection.send(b'bytes as a line')

    assert succeeded(connect(peer(talk).url, '--wait')) == b'fragmented\nbytes as a line\n'


def test_the_request_says_what_it_was_told_to(peer) -> None:
    other = peer(subprotocols=['second', 'third'])
    process = connect(f'{other.url}/path?query=1', '--subprotocol', 'first', '--subprotocol', 'second',
                      '--header', 'X-One: 1', '--header', 'Cookie: a=b; c=d', '--origin', 'http://some.example')
    succeeded(process)
    connection = other.requests.get(timeout=SOON)
    headers = connection.request.headers
    assert connection.request.path == '/path?query=1'
    assert ', '.join(headers.get_all('Sec-WebSocket-Protocol')) == 'first, second'
    assert connection.subprotocol == 'second'
    assert (headers['X-One'], headers['Cookie'], headers['Origin']) == ('1', 'a=b; c=d', 'http://some.example')
    assert headers['Host'] == other.url.removeprefix('ws://')


def test_keys_and_masks_are_never_the_same_twice(peer) -> None:
    other = peer()
    keys = set()
    for _ in range(5):
        succeeded(connect(other.url))
        keys.add(other.requests.get(timeout=SOON).request.headers['Sec-WebSocket-Key'])
    assert len(keys) == 5


# What goes wrong: exit status 1 and one line.

def listener() -> socket.socket:
    listening = socket.create_server(('127.0.0.1', 0))
    listening.settimeout(SOON)
    return listening


def test_nobody_listens() -> None:
    with listener() as closed:
        port = closed.getsockname()[1]
    assert str(port) in failed(connect(f'ws://127.0.0.1:{port}/'))


@pytest.mark.parametrize('url', ['http//nowhere', 'ftp://127.0.0.1/', 'ws://', 'ws://127.0.0.1:99999/', 'ws://127.0.0.1:x/', ''])
def test_no_address(url: str) -> None:
    process = connect(url)
    assert process.wait() in (1, 2)
    assert process.stderr().strip()
    assert 'panicked' not in process.stderr()


@pytest.mark.parametrize(('answer', 'word'), [
    (b'HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nnope', '403'),
    (b'HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n', '302'),
    (b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok', '200'),
    (b'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n', ''),
    (b'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: wrong\r\n\r\n', ''),
    (b'SSH-2.0-OpenSSH\r\n', ''),
    (b'\0' * 100 + b'\r\n\r\n', ''),
    (b'', ''),
    (b'HTTP/1.1 101 Swit', ''),
    (b'HTTP/1.1 200 OK\r\nX: ' + b'a' * 100_000, ''),
], ids=['refused', 'redirect', 'plain page', 'no accept', 'wrong accept', 'another protocol', 'rubbish', 'nothing', 'cut', 'too long'])
def test_an_answer_that_is_no_upgrade(answer: bytes, word: str) -> None:
    with listener() as listening:
        process = connect(f'ws://127.0.0.1:{listening.getsockname()[1]}/')
        connection, _ = listening.accept()
        with connection:
            connection.settimeout(SOON)
            request = b''
            while b'\r\n\r\n' not in request:
                request += connection.recv(4096)
            with contextlib.suppress(OSError):
                connection.sendall(answer)
                connection.shutdown(socket.SHUT_WR)
            assert word in failed(process)


def test_a_mute_server_is_given_up_after_the_timeout() -> None:
    with listener() as listening:
        process = connect(f'ws://127.0.0.1:{listening.getsockname()[1]}/', '--timeout', '1')
        failed(process, 5)


def test_a_subprotocol_nobody_offered_is_a_failure(peer) -> None:
    other = peer(select_subprotocol=lambda connection, offered: 'surprise')
    failed(connect(other.url, '--subprotocol', 'first'))


def test_a_connection_that_is_lost(peer) -> None:
    def vanish(connection: ServerConnection) -> None:
        connection.send('last words')
        connection.recv()
        connection.socket.shutdown(socket.SHUT_RDWR)

    process = connect(peer(vanish).url, '--wait', stdin=b'go\n')
    failed(process)
    assert process.stdout() == b'last words\n'


@pytest.mark.parametrize('bad', [b'\x81\x02\xc3\x28', b'\x81\x82abcdhi', b'\xc1\x02hi', b'\x83\x00', b'\x88\x01\x03'],
                         ids=['UTF-8', 'masked', 'RSV1', 'opcode', 'close'])
def test_a_server_that_breaks_the_rules(peer, bad: bytes) -> None:
    def break_them(connection: ServerConnection) -> None:
        connection.socket.sendall(bad)
        connection.recv()

    failed(connect(peer(break_them).url, '--wait'))


def test_a_reader_that_goes_away_ends_it_quietly(server: Server) -> None:
    done = subprocess.run(f'"$SOCKEYE_BIN" connect {server.ws("/increment")} --wait < /dev/null | head -n 2',
                          shell=True, capture_output=True, timeout=SOON, check=False)
    assert len(done.stdout.splitlines()) == 2
    assert b'panicked' not in done.stderr


def test_input_that_is_no_utf_8_is_told(peer) -> None:
    line = failed(connect(peer().url, stdin=b'ok\n\xff\xfe\n'))
    assert 'UTF-8' in line or 'utf-8' in line


def test_ctrl_c_closes_properly(peer) -> None:
    other = peer()
    process = connect(other.url, '--wait', stdin=b'hello\n')
    assert process.line() == 'hello'
    process.signal(signal.SIGINT)
    process.wait()
    assert other.closed()[0] in (1000, 1001)


def test_ipv6_and_names(serve) -> None:
    own = serve(listen=['[::1]:0'])
    assert own.announced[0].startswith('listening on http://[::1]:')
    port = own.address[1]
    assert succeeded(connect(f'ws://[::1]:{port}/echo', '--count', '1', stdin=b'six\n')) == b'six\n'
    both = serve()
    assert succeeded(connect(f'ws://localhost:{both.address[1]}/echo', '--count', '1', stdin=b'name\n')) == b'name\n'


def test_a_terminal(server: Server) -> None:
    """On a terminal there is a prompt, colour, and the lines one types and gets."""
    control, terminal = pty.openpty()
    attributes = termios.tcgetattr(terminal)
    attributes[3] &= ~termios.ECHO
    termios.tcsetattr(terminal, termios.TCSANOW, attributes)
    # Without a size it is no place for editing a line.
    termios.tcsetwinsize(terminal, (24, 80))
    child = subprocess.Popen([binary(), 'connect', server.ws('/echo')], stdin=terminal, stdout=terminal, stderr=terminal,
                             start_new_session=True, env={**os.environ, 'TERM': 'xterm-256color'})
    os.close(terminal)
    seen = b''

    def until(pattern: bytes) -> None:
        nonlocal seen
        while not re.search(pattern, seen):
            ready, _, _ = select.select([control], [], [], SOON)
            assert ready, f'no {pattern!r} in {seen!r}'
            try:
                seen += os.read(control, 4096)
            except OSError:
                raise AssertionError(f'no {pattern!r} in {seen!r}') from None

    try:
        until(rb'\S')
        os.write(control, b'hello terminal\n')
        until(rb'hello terminal')
        os.write(control, b'\x04')
        assert child.wait(SOON) == 0
    finally:
        child.kill()
        child.wait()
        os.close(control)


def test_our_client_against_bytes_of_a_plain_server(server: Server) -> None:
    """The wire harness itself is right: our client talks to what it would send."""
    with Wire(server.address) as wire:
        wire.upgrade('/broadcast')
        process = connect(server.ws('/broadcast'), '--count', '1', stdin=None)
        try:
            while process.running() and not process.out:
                wire.send_frame(1, b'to all')
                assert wire.read_message().payload == b'to all'
            assert process.line() == 'to all'
            assert process.wait() == 0
        finally:
            process.kill()
