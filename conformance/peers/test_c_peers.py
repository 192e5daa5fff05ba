"""Our programs in C among others: `sockeye`, Debian's libwebsockets; who serves and who is a client."""
from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator

import pytest

from c_examples import INCREMENT, LONG, MIRROR, Example, ExampleServer, folder, running
from harness import Process, Server, binary, eventually
from tls import serving

PING_ANSWER = r'64 bytes from 127\.0\.0\.1: req=3 time='


@pytest.fixture(scope='module', params=[False, True], ids=['plain', 'tls'])
def c_server(request: pytest.FixtureRequest) -> Iterator[ExampleServer]:
    server = ExampleServer('test-server', tls=request.param)
    with running(server):
        yield server
        server.stop()


# --------------------------------------------------- the command at our C server

def command(verb: str, server: ExampleServer, *arguments: str) -> Process:
    trust = ['--ca', server.certificate] if server.tls else []
    return Process([binary(), verb, server.url, *trust, *arguments], stdin=None)


def test_connect_counts(c_server: ExampleServer) -> None:
    process = command('connect', c_server, '--subprotocol', INCREMENT, '--count', '5')
    with running(process):
        assert [process.line(LONG) for _ in range(5)] == ['0', '1', '2', '3', '4']
        assert process.wait() == 0, process.stderr()


def test_connect_mirrors(c_server: ExampleServer) -> None:
    process = command('connect', c_server, '--subprotocol', MIRROR)
    with running(process):
        process.feed(b'd #ff0000 1 2 3 4;\n')
        assert process.line(LONG) == 'd #ff0000 1 2 3 4;'


def test_the_commands_ping(c_server: ExampleServer) -> None:
    process = command('ping', c_server, '--subprotocol', MIRROR, '-c', '3', '-i', '0.05')
    with running(process):
        assert process.wait(LONG) == 0, process.stderr()


# ------------------------------------------------------- our C clients elsewhere

def self_signed() -> tuple[str, str]:
    """The certificate of the examples, and its key."""
    base = folder('c') / 'libwebsockets-test-server/libwebsockets-test-server'
    return f'{base}.pem', f'{base}.key.pem'


def options_of(way: str) -> list[str]:
    # The programs' origins are none of the web: their address alone, and the word "origin".
    options = ['--origin', 'any']
    if way != 'plain':
        certificate, key = self_signed()
        options += ['--tls-backend', way, '--tls-cert', certificate, '--tls-key', key]
    return options


@pytest.mark.parametrize('way', ['plain', 'rustls', 'openssl'])
def test_the_client_at_sockeye(serve: Callable[..., Server], way: str) -> None:
    server = serve(*options_of(way))
    client = Example('test-client', '127.0.0.1', f'--port={server.address[1]}', *(['--ssl'] if server.tls else []))
    with running(client):
        client.says(r"rx 1 '0'\n(.|\n)*rx 1 '3'\n")
        client.stop()


@pytest.mark.parametrize('backend', ['rustls', 'openssl'])
def test_the_client_takes_no_certificate_of_an_unknown_authority(serve: Callable[..., Server], backend: str) -> None:
    server = serve('--origin', 'any', *serving(backend, 'server'))
    client = Example('test-client', 'localhost', f'--port={server.address[1]}', '--ssl')
    with running(client):
        assert 'libwebsocket dumb connect failed' in client.ends(255)


@pytest.mark.parametrize('way', ['plain', 'rustls', 'openssl'])
@pytest.mark.parametrize('option', [[], ['--mirror']], ids=str)
def test_ping_at_sockeye(serve: Callable[..., Server], way: str, option: list[str]) -> None:
    server = serve(*options_of(way))
    ping = Example('test-ping', '127.0.0.1', f'--port={server.address[1]}', '-i', '0.02', *(['-t'] if server.tls else []), *option)
    with running(ping):
        ping.says(PING_ANSWER)
        ping.stop(signal.SIGINT)


@pytest.fixture(scope='module')
def debian() -> Iterator[int]:
    """The port of Debian's server, which it tells only in its debugging output (16)."""
    process = Process(['libwebsockets-test-server', '--port=0', '--interface=lo', '-d', '16'])
    with running(process):
        def port() -> str | None:
            found = re.search(r'lws_socket_bind says (\d+)', process.stderr())
            return found[1] if found else None
        yield int(eventually(port, 'libwebsockets-test-server listens'))


def test_the_client_at_debians_server(debian: int) -> None:
    client = Example('test-client', '127.0.0.1', f'--port={debian}')
    with running(client):
        client.says(r"Websocket connections opened\n(.|\n)*rx \d+ '\d+'\n(.|\n)*rx \d+ '\d+'\n")
        client.stop()


@pytest.mark.parametrize('option', [[], ['--mirror'], ['--flood']], ids=str)
def test_ping_at_debians_server(debian: int, option: list[str]) -> None:
    ping = Example('test-ping', '127.0.0.1', f'--port={debian}', '-i', '0.05', *option)
    with running(ping):
        if option == ['--flood']:
            eventually(lambda: ping.stderr().count('.\b \b') > 20, 'answers', LONG)
        else:
            ping.says(PING_ANSWER)
        ping.stop(signal.SIGINT)


@pytest.mark.parametrize('name', ['test-server', 'test-server-nofork', 'test-server-extpoll'])
def test_debians_client_at_our_server(name: str) -> None:
    server = ExampleServer(name)
    with running(server):
        client = Process(['libwebsockets-test-client', f'--port={server.port}', '-d', '1039', '127.0.0.1'])
        with running(client):
            eventually(lambda: re.search(r'(?m)^.*rx \d+ ', client.stderr()) or re.search(r'dumb.*?\d', client.stderr()),
                       'the client counts', LONG)
        with server.connect(INCREMENT) as peer:
            assert peer.recv(LONG) == '0'
        server.stop()
