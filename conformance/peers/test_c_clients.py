"""test-client and test-ping in C, against our servers in C."""
from __future__ import annotations

import re
import signal
import threading
from collections.abc import Iterator

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from c_examples import BUILDS, LONG, MIRROR, SERVERS, Example, ExampleServer, running
from harness import eventually

VERSIONS = ['0', '4', '5', '6', '7', '8', '13']
CIRCLE = re.compile(r'c #[0-9A-F]{6} \d{1,3} \d{1,3} \d{1,2};')


@pytest.fixture(scope='module', params=[(name, tls) for name in SERVERS for tls in (False, True)],
                ids=lambda way: f'{way[0]}-{"tls" if way[1] else "plain"}')
def server(request: pytest.FixtureRequest) -> Iterator[ExampleServer]:
    name, tls = request.param
    server = ExampleServer(name, tls=tls)
    with running(server):
        yield server
        server.stop()


@pytest.fixture(scope='module', params=[False, True], ids=['plain', 'tls'])
def one_server(request: pytest.FixtureRequest) -> Iterator[ExampleServer]:
    server = ExampleServer('test-server-nofork', tls=request.param)
    with running(server):
        yield server
        server.stop()


@pytest.fixture(scope='module')
def any_server() -> Iterator[ExampleServer]:
    server = ExampleServer('test-server-nofork')
    with running(server):
        yield server
        server.stop()


def start(name: str, server: ExampleServer, *arguments: str, build: str = 'c', host: str = '127.0.0.1') -> Example:
    ssl = {'test-client': '--ssl', 'test-ping': '-t'}[name]
    options = [f'--port={server.port}', *([ssl] if server.tls else []), *arguments]
    return Example(name, host, *options, build=build)


# ---------------------------------------------------------------- test-client

WATCHED = [build for build in BUILDS if build != 'c']


def test_the_client_counts_and_draws(server: ExampleServer) -> None:
    count_and_draw(server, 'c')


@pytest.mark.parametrize('build', WATCHED)
def test_the_client_is_watched(one_server: ExampleServer, build: str) -> None:
    count_and_draw(one_server, build)


def count_and_draw(server: ExampleServer, build: str) -> None:
    with server.connect(MIRROR) as watching:
        client = start('test-client', server, build=build)
        with running(client):
            client.says(r"Websocket connections opened\n(.|\n)*rx 1 '0'\n(.|\n)*rx 1 '1'\n(.|\n)*rx 1 '2'\n")
            for _ in range(50):
                circle = watching.recv(LONG)
                assert CIRCLE.fullmatch(circle), circle
                x, y, radius = map(int, circle.rstrip(';').split()[2:])
                assert x < 500 and y < 250 and radius < 24
            assert 'Exiting' in client.stop()


@pytest.mark.parametrize('build', BUILDS)
def test_the_client_ends_with_its_server(build: str) -> None:
    server = ExampleServer('test-server-nofork')
    with running(server):
        client = start('test-client', server, build=build)
        with running(client):
            client.says("rx 1 '0'")
            server.stop()
            assert client.ends().rstrip().endswith('Exiting')


@pytest.mark.parametrize('option', [['-v', version] for version in VERSIONS] + [['--killmask'], ['-k', '--version', '5']], ids=' '.join)
def test_the_client_speaks_every_version(any_server: ExampleServer, option: list[str]) -> None:
    with any_server.connect(MIRROR) as watching:
        client = start('test-client', any_server, *option)
        with running(client):
            client.says(r"rx 1 '1'\n")
            assert CIRCLE.fullmatch(watching.recv(LONG))
            client.stop()


@pytest.mark.parametrize('build', BUILDS)
def test_a_client_without_a_server_ends_with_255(build: str) -> None:
    server = ExampleServer('test-server-nofork')
    with running(server):
        server.stop()
    client = Example('test-client', '127.0.0.1', f'--port={server.port}', build=build)
    with running(client):
        assert 'libwebsocket dumb connect failed' in client.ends(255)


def test_a_client_refuses_unknown_versions_and_tls_where_there_is_none(any_server: ExampleServer) -> None:
    client = start('test-client', any_server, '--version', '3')
    with running(client):
        assert 'libwebsocket dumb connect failed' in client.ends(255)


@pytest.mark.parametrize('arguments', [[], ['--help'], ['-h'], ['127.0.0.1', '--no-such-option']], ids=' '.join)
def test_the_clients_usage(arguments: list[str]) -> None:
    client = Example('test-client', *arguments)
    with running(client):
        assert 'Usage: ' in client.ends(1)


# ------------------------------------------------------------------ test-ping

ANSWER = r'{size} bytes from 127\.0\.0\.1: req={number} time=\d+\.\dms\n'
SUMMARY = (r'--- \S* websocket ping statistics using {connections} connections ---\n'
           r'(\d+) packets transmitted, (\d+) received, {loss}% packet loss, time \d+ms\n'
           r'rtt min/avg/max = (\d+\.\d{{3}})/(\d+\.\d{{3}})/(\d+\.\d{{3}}) ms\n'
           r'payload bandwidth average \d+\.\d{{3}} KiBytes/sec\n$')


def finish(ping: Example, connections: int = 1) -> int:
    """Interrupts it, and returns how many pings were answered: all of them."""
    said = ping.stop(signal.SIGINT)
    found = re.search(SUMMARY.format(connections=connections, loss=0), said)
    assert found, said
    sent, received = int(found[1]), int(found[2])
    assert sent == received > 0
    low, middle, high = map(float, found.groups()[2:])
    assert 0 < low <= middle <= high
    return received


def test_ping(server: ExampleServer) -> None:
    send_pings(server, 'c')


@pytest.mark.parametrize('build', WATCHED)
def test_ping_is_watched(one_server: ExampleServer, build: str) -> None:
    send_pings(one_server, build)


def send_pings(server: ExampleServer, build: str) -> None:
    ping = start('test-ping', server, '-i', '0.05', build=build)
    with running(ping):
        ping.says(r'Websocket PING \S* \(127\.0\.0\.1\) 64 bytes of data\.\n')
        for number in range(1, 5):
            ping.says(ANSWER.format(size=64, number=number))
        assert finish(ping) >= 4


@pytest.mark.parametrize(('option', 'size'), [
    (['-s', '125'], 125),
    (['--size=8', '--killmask'], 8),
    (['--mirror'], 64),
    (['-m', '--size', '4096'], 4096),
    (['-m', '-n', MIRROR], 64),
    *[(['-v', version], 64) for version in VERSIONS[1:]],
], ids=str)
def test_ping_options(any_server: ExampleServer, option: list[str], size: int) -> None:
    ping = start('test-ping', any_server, '-i', '0.02', *option)
    with running(ping):
        for number in (1, 2, 3):
            ping.says(ANSWER.format(size=size, number=number))
        finish(ping)


def test_ping_over_many_connections(any_server: ExampleServer) -> None:
    ping = start('test-ping', any_server, '-i', '0.05', '--replicate=20')
    with running(ping):
        eventually(lambda: len(re.findall(r'req=2 ', ping.stderr())) >= 20, 'all have their second answer', LONG)
        finish(ping, connections=20)


def test_a_mirror_repeats_the_pings_of_others(any_server: ExampleServer) -> None:
    ping = start('test-ping', any_server, '-i', '0.05', '--mirror', '--replicate=2')
    with running(ping):
        ping.says(r'DUP! 64 bytes from 127\.0\.0\.1: req=2 ')
        ping.stop(signal.SIGINT)


def test_a_flood_prints_dots(any_server: ExampleServer) -> None:
    ping = start('test-ping', any_server, '--flood')
    with running(ping):
        eventually(lambda: ping.stderr().count('.\b \b') > 100, 'more than 100 answers', LONG)
        assert finish(ping) > 100


def test_more_than_127_pings_get_through_a_mirror(any_server: ExampleServer) -> None:
    ping = start('test-ping', any_server, '-i', '0.002', '--mirror')
    with running(ping):
        ping.says(ANSWER.format(size=64, number=300))
        finish(ping)


def test_pings_without_an_answer_are_lost() -> None:
    """A mirror that keeps what it gets."""
    def swallow(peer: ServerConnection) -> None:
        for _ in peer:
            pass

    with serve(swallow, '127.0.0.1', 0, subprotocols=[MIRROR], compression=None, close_timeout=0) as server:  # type: ignore[list-item]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            ping = Example('test-ping', '127.0.0.1', f'--port={server.socket.getsockname()[1]}', '-i', '0.01', '-m', '-f')
            with running(ping):
                eventually(lambda: ping.stderr().count('.') > 10, 'some pings', LONG)
                said = ping.stop(signal.SIGINT)
                assert re.search(SUMMARY.format(connections=1, loss=100), said), said
        finally:
            server.shutdown()
            thread.join()


def test_ping_ends_when_the_server_closes_all_connections() -> None:
    server = ExampleServer('test-server-nofork')
    with running(server):
        ping = start('test-ping', server, '-i', '0.05', '-r', '3')
        with running(ping):
            ping.says('req=2 ')
            server.stop()
            assert re.search(r'statistics using 3 connections', ping.ends())


@pytest.mark.parametrize('build', BUILDS)
def test_ping_without_a_server_ends_with_1(build: str) -> None:
    server = ExampleServer('test-server-nofork')
    with running(server):
        server.stop()
    ping = Example('test-ping', '127.0.0.1', f'--port={server.port}', build=build)
    with running(ping):
        assert 'connect failed' in ping.ends(1)


@pytest.mark.parametrize('arguments', [
    [], ['--help'], ['127.0.0.1', '--help'], ['127.0.0.1', '-s', '126'], ['127.0.0.1', '-m', '-s', '4097'],
    ['127.0.0.1', '-r', '0'], ['127.0.0.1', '-r', '257'], ['127.0.0.1', '-i', '0'],
], ids=' '.join)
def test_what_ping_cannot_do_ends_it_with_1(arguments: list[str]) -> None:
    ping = Example('test-ping', *arguments)
    with running(ping):
        assert ping.ends(1)


def test_a_closed_mirror_is_told() -> None:
    server = ExampleServer('test-server')
    with running(server):
        with server.connect(MIRROR) as peer:
            server.stop()
            with pytest.raises(ConnectionClosed):
                peer.recv(LONG)
