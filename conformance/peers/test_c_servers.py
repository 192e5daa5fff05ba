"""The three test servers in C: the page, the counter, the mirror; plain and with TLS; as C, as C++, under valgrind and sanitizers."""
from __future__ import annotations

import http.client
import signal
import socket
from collections.abc import Iterator

import pytest
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage

from c_examples import BUILDS, INCREMENT, LONG, MIRROR, PORTS, SERVERS, Example, ExampleServer, folder, running
from harness import Process, eventually


def title(value: tuple[str, bool, str]) -> str:
    name, tls, build = value
    return f'{name}-{"tls" if tls else "plain"}-{build}'


# Every way to serve with and without TLS, and every way to watch with every way to serve.
WAYS = [(name, tls, build) for name in SERVERS for tls in (False, True) for build in BUILDS if build != 'cxx' or not tls]


@pytest.fixture(scope='module', params=WAYS, ids=title)
def server(request: pytest.FixtureRequest) -> Iterator[ExampleServer]:
    name, tls, build = request.param
    server = ExampleServer(name, tls=tls, build=build)
    with running(server):
        yield server
        server.stop()


def get(server: ExampleServer, path: str) -> tuple[http.client.HTTPResponse, bytes]:
    if server.tls:
        connection = http.client.HTTPSConnection('localhost', server.port, timeout=LONG, context=server.trusting())
    else:
        connection = http.client.HTTPConnection('localhost', server.port, timeout=LONG)
    connection.request('GET', path)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response, body


@pytest.mark.parametrize(('path', 'file', 'kind'), [
    ('/', 'test.html', 'text/html'),
    ('/anything/../etc/passwd?x', 'test.html', 'text/html'),
    ('/favicon.ico', 'favicon.ico', 'image/x-icon'),
])
def test_the_page_and_its_icon(server: ExampleServer, path: str, file: str, kind: str) -> None:
    response, body = get(server, path)
    assert (response.status, response.version) == (200, 10)
    expected = (folder('c') / 'libwebsockets-test-server' / file).read_bytes()
    assert response.getheaders() == [('Server', 'libwebsockets'), ('Content-Type', kind), ('Content-Length', str(len(expected)))]
    assert body == expected


def test_the_counter_counts_for_each_and_can_be_reset(server: ExampleServer) -> None:
    with server.connect(INCREMENT) as first, server.connect(INCREMENT) as second:
        assert first.subprotocol == INCREMENT
        assert [first.recv(LONG) for _ in range(4)] == ['0', '1', '2', '3']
        first.send('reset\n')
        eventually(lambda: first.recv(LONG) == '0', 'the counter starts again', LONG)
        assert first.recv(LONG) == '1'
        # The other has a counter of its own.
        assert [second.recv(LONG) for _ in range(6)] == ['0', '1', '2', '3', '4', '5']
        first.send('reset')
        server.says(r'rx 6\n(.|\n)*rx 5\n')


def test_the_mirror_sends_to_all(server: ExampleServer) -> None:
    with server.connect(MIRROR) as first, server.connect(MIRROR) as second:
        for text in ('d #ff0000 1 2 3 4;', 'c #00FF00 5 6 7;'):
            first.send(text)
            assert first.recv(LONG) == text
            assert second.recv(LONG) == text
        # By chunks of 4096 bytes, and as text whatever it was.
        second.send(b'x' * 10000)
        for peer in (first, second):
            assert [len(peer.recv(LONG)) for _ in range(3)] == [4096, 4096, 1808]


def test_the_mirror_holds_up_who_sends_too_much(server: ExampleServer) -> None:
    count = 300 if server.build == 'valgrind' else 2000
    with server.connect(MIRROR) as peer:
        # More than the ring has room for: a fast sender loses none of its own.
        for number in range(count):
            peer.send(str(number))
        assert [peer.recv(LONG) for _ in range(count)] == [str(number) for number in range(count)]


def test_it_tells_who_comes(server: ExampleServer) -> None:
    with server.connect(MIRROR, origin='http://example.org') as peer:
        peer.send('x')
        peer.recv(LONG)
        server.says(r'Received network connect from \S* \(127\.0\.0\.1\)')
        server.says(r'GET URI = /\n')
        server.says(r'Origin = http://example\.org\n')
        server.says(r'Protocol = lws-mirror-protocol\n')


def test_other_protocols_are_refused(server: ExampleServer) -> None:
    with pytest.raises((InvalidHandshake, InvalidMessage, ConnectionClosed, EOFError, OSError)):
        server.connect('chat')


@pytest.mark.parametrize('name', SERVERS)
def test_a_port_that_is_taken_ends_it_with_255(name: str) -> None:
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        taken.listen()
        process = Example(name, f'--port={taken.getsockname()[1]}')
        with running(process):
            assert 'libwebsocket init failed' in process.ends(255)


@pytest.mark.parametrize('name', SERVERS)
@pytest.mark.parametrize('option', ['--help', '-h', '--no-such-option'])
def test_help_ends_it_with_1(name: str, option: str) -> None:
    process = Example(name, option)
    with running(process):
        assert 'Usage: ' in process.ends(1)


@pytest.mark.parametrize('name', SERVERS)
def test_an_interrupt_ends_it_and_closes_its_connections(name: str) -> None:
    server = ExampleServer(name, '--killmask')
    with running(server):
        with server.connect(INCREMENT) as peer:
            peer.recv(LONG)
            server.stop(signal.SIGINT)
            with pytest.raises(ConnectionClosed):
                while True:
                    peer.recv(LONG)


def test_who_asks_without_forking_is_served_by_the_process_that_was_started() -> None:
    for name, processes in (('test-server', 2), ('test-server-nofork', 1), ('test-server-extpoll', 1)):
        server = ExampleServer(name)
        with running(server):
            with server.connect(MIRROR) as peer:
                peer.send('x')
                peer.recv(LONG)
            listed = Process(['ps', '-o', 'pid=', '--sid', str(server.pid)])
            assert listed.wait() == 0
            assert len(listed.stdout().split()) == processes
            server.stop()


def test_ports_are_not_given_twice() -> None:
    taken = {PORTS.take() for _ in range(50)}
    assert len(taken) == 50
