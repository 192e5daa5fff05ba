"""`sockeye connect` and `ping` over wss://, to `openssl s_server` and Python servers; both backends."""
from __future__ import annotations

import contextlib
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from websockets.sync.server import Server as PythonServer, ServerConnection, serve as serve_python

from harness import SOON, Process, binary, eventually
from tls import BACKENDS, ROOT, SServer, certificate, s_server, shown_by_python
from wire import masking

HELLO = b'hello\n'


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    return request.param


def run(backend: str, url: str, *arguments: str, stdin: bytes = HELLO, ca: str | None = ROOT, command: str = 'connect') -> tuple[int, bytes, str]:
    """Exit status, output and errors of the command."""
    trusted = ['--ca', ca] if ca else []
    process = Process([binary(), command, url, '--tls-backend', backend, *trusted, *arguments], stdin=stdin)
    try:
        status = process.wait()
    finally:
        process.kill()
    assert 'panicked' not in process.stderr(), process.stderr()
    return status, process.stdout(), process.stderr()


def refused(backend: str, url: str, *arguments: str, **options: str | None) -> str:
    """The one line in which it says why it does not talk to that server; at once."""
    start = time.monotonic()
    status, out, err = run(backend, url, *arguments, **options)  # type: ignore[arg-type]
    assert (status, out, len(err.splitlines())) == (1, b'', 1), (status, out, err)
    assert time.monotonic() - start < 5
    return err


@contextlib.contextmanager
def python(talk: Callable[[ServerConnection], None] | None = None, context: ssl.SSLContext | None = None, **options: object) -> Iterator[str]:
    """A server of Python's `websockets`; an echo unless told else."""
    def echo(peer: ServerConnection) -> None:
        for message in peer:
            peer.send(message)
    server: PythonServer = serve_python(talk or echo, '127.0.0.1', 0, ssl=context or shown_by_python(), max_size=None, **options)  # type: ignore[arg-type]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f'wss://127.0.0.1:{server.socket.getsockname()[1]}/'
    finally:
        server.shutdown()
        thread.join(SOON)


# openssl s_server

def greeted(backend: str, server: SServer, *arguments: str, host: str = 'localhost', ca: str | None = ROOT) -> None:
    """It gets in, and a message comes through."""
    trusted = ['--ca', ca] if ca else []
    client = Process([binary(), 'connect', server.url(host), '--tls-backend', backend, *trusted, *arguments], stdin=None)
    try:
        server.upgrade(b'hello from openssl')
        assert client.line() == 'hello from openssl'
        client.feed(b'and back\n')
        eventually(lambda: b'and back' in unmasked(server.stdout()), 'what we say arrives')
    finally:
        client.kill()


def unmasked(said: bytes) -> bytes:
    """The payload of the short text frame in what s_server printed."""
    found = re.search(rb'\x81\x88(.{4})(.{8})', said, re.DOTALL)
    return masking(found[2], found[1]) if found else b''


@pytest.mark.parametrize('version', ['1.2', '1.3'])
@pytest.mark.parametrize('host', ['localhost', '127.0.0.1'])
def test_s_server_speaks_to_us(backend: str, version: str, host: str) -> None:
    with s_server('-tls' + version.replace('.', '_'), '-alpn', 'h2,http/1.1') as server:
        greeted(backend, server, host=host)
        assert b'ALPN protocols selected: http/1.1' in server.stdout()


@pytest.mark.parametrize(('name', 'complaint'), [
    ('expired', 'certificate expired 3 days ago'), ('future', r'certificate becomes valid only in (2|3) days'),
    ('impostor', 'certificate is signed by nobody that is trusted here'), ('a', r'certificate is for another name: a\.test, not localhost')])
def test_a_server_with_a_bad_certificate(backend: str, name: str, complaint: str) -> None:
    with s_server(name=name) as server:
        assert re.search(f'TLS to localhost: {complaint}', refused(backend, server.url()))
    with s_server(name=name) as server:
        greeted(backend, server, '--insecure', ca=None)


def test_nobody_is_trusted_unasked(backend: str) -> None:
    for ca in (None, certificate('stranger.pem')):
        with s_server() as server:
            assert 'certificate is signed by nobody that is trusted here' in refused(backend, server.url(), ca=ca)


def test_the_name_that_is_asked_for(backend: str) -> None:
    """s_server breaks off unless it is asked for b.test, and shows the second certificate then."""
    second = ['-cert2', certificate('b.pem'), '-key2', certificate('b.key')]
    with s_server('-servername', 'b.test', '-servername_fatal', *second) as server:
        assert 'unrecogni' in refused(backend, server.url())
        greeted(backend, server, '--resolve', f'b.test:{server.port}:127.0.0.1', host='b.test')


@pytest.mark.parametrize('version', ['1.2', '1.3'])
@pytest.mark.parametrize('client', ['client', None, 'client-stranger', 'client-expired'])
def test_a_server_that_wants_a_certificate(backend: str, version: str, client: str | None) -> None:
    own = ['--cert', certificate(f'{client}.pem'), '--key', certificate(f'{client}.key')] if client else []
    with s_server('-Verify', '1', '-verify_return_error', '-CAfile', certificate('clients.pem'), '-tls' + version.replace('.', '_')) as server:
        if client == 'client':
            greeted(backend, server, *own)
        else:
            error = refused(backend, server.url(), *own)
            assert 'the peer refused: ' in error or 'showed no certificate' in error, error


@pytest.mark.parametrize('version', ['1', '1.1'])
def test_old_versions_are_not_spoken(backend: str, version: str) -> None:
    with s_server('-tls' + version.replace('.', '_'), '-cipher', 'ALL:@SECLEVEL=0') as server:
        assert re.search('version|refused', refused(backend, server.url()))


# Python

@pytest.mark.parametrize('version', ['1.2', '1.3'])
@pytest.mark.parametrize('size', [0, 1, 125, 126, 16_384, 65_536, 1 << 20, (16 << 20) - 1])
def test_echo(backend: str, version: str, size: int) -> None:
    with python(context=shown_by_python(version=version)) as url:
        line = b'x' * size + b'\n'
        assert run(backend, url, '--count', '1', stdin=line) == (0, line, '')


def test_many_lines(backend: str) -> None:
    lines = b''.join(b'line %d\n' % number for number in range(5000))
    with python() as url:
        assert run(backend, url, '--count', '5000', stdin=lines) == (0, lines, '')


def test_a_server_that_says_goodbye(backend: str) -> None:
    def talk(peer: ServerConnection) -> None:
        peer.send('bye')
        peer.close(1001)
    with python(talk) as url:
        assert run(backend, url, '--wait') == (0, b'bye\n', '')


def test_a_client_certificate(backend: str) -> None:
    context = shown_by_python()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(certificate('clients.pem'))
    names = []

    def talk(peer: ServerConnection) -> None:
        names.append(peer.socket.getpeercert()['subject'])
        peer.send('welcome')
    with python(talk, context) as url:
        own = ['--cert', certificate('client.pem'), '--key', certificate('client.key')]
        assert run(backend, url, '--wait', *own) == (0, b'welcome\n', '')
        assert names == [((('commonName', 'client'),),)]
        assert 'certificate' in refused(backend, url)


@pytest.mark.parametrize('backend', ['rustls'], indirect=True)
def test_the_second_connection_resumes_the_session(backend: str) -> None:
    """With OpenSSL we do not resume as a client: the documentation of `Backend` says so."""
    seen: list[bool] = []

    def talk(peer: ServerConnection) -> None:
        seen.append(peer.socket.session_reused)
        peer.send(str(len(seen)))
        assert peer.recv(SOON) == 'hello'
        peer.close(1012)
    with python(talk) as url:
        process = Process([binary(), 'connect', url, '--ca', ROOT, '--tls-backend', backend, '--reconnect', '--count', '2'], stdin=None)
        try:
            for number in ('1', '2'):
                assert process.line() == number
                process.feed(HELLO)
            process.wait()
        finally:
            process.kill()
    assert seen == [False, True]


def test_ping(backend: str) -> None:
    with python() as url:
        status, out, err = run(backend, url, '-c', '3', '-i', '0.05', command='ping')
        assert (status, err) == (0, '')
        assert b'3 received' in out.replace(b'packets ', b'').replace(b'pings ', b'') or b'received, 0% ' in out, out


def test_verbose_tells_of_tls(backend: str) -> None:
    with python() as url:
        status, out, err = run(backend, url, '--count', '1', '-v')
        assert (status, out) == (0, HELLO)
        assert 'TLSv1.3' in err or 'TLS 1.3' in err, err


# What is no TLS, or stops being it.

@contextlib.contextmanager
def listener(talk: Callable[[socket.socket], None]) -> Iterator[str]:
    """A TCP server that does something to each connection."""
    with socket.create_server(('127.0.0.1', 0)) as server:
        server.settimeout(0.05)
        stop = threading.Event()

        def accept() -> None:
            while not stop.is_set():
                with contextlib.suppress(TimeoutError):
                    peer, _ = server.accept()
                    with peer:
                        peer.settimeout(SOON)
                        with contextlib.suppress(OSError):
                            talk(peer)
        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield f'wss://127.0.0.1:{server.getsockname()[1]}/'
        finally:
            stop.set()
            thread.join(2 * SOON)


def test_a_server_of_plain_text(backend: str) -> None:
    with listener(lambda peer: (peer.recv(1000), peer.sendall(b'HTTP/1.1 400 Bad Request\r\n\r\n'))) as url:
        assert 'does not speak TLS' in refused(backend, url)


@pytest.mark.parametrize('cut', [0, 1, 6, 100, 1000])
def test_a_server_that_breaks_off_in_the_handshake(backend: str, cut: int) -> None:
    def talk(peer: socket.socket) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = shown_by_python().wrap_bio(incoming, outgoing, server_side=True)
        while True:
            incoming.write(peer.recv(65536))
            try:
                session.do_handshake()
            except ssl.SSLWantReadError:
                if data := outgoing.read():
                    peer.sendall(data[:cut])
                    return
    with listener(talk) as url:
        refused(backend, url)


def test_a_server_that_says_nothing(backend: str) -> None:
    with listener(lambda peer: peer.recv(1) and eventually(lambda: not peer.recv(65536), 'the client leaves')) as url:
        start = time.monotonic()
        assert re.search('tim|deadline|late', refused(backend, url, '--timeout', '1'))
        assert time.monotonic() - start < 4


def test_a_stream_that_is_cut_is_no_clean_end(backend: str) -> None:
    """TCP ends without the alert that announces the end of TLS, and without a Close frame."""
    def talk(peer: ServerConnection) -> None:
        peer.send('one')
        assert peer.recv(SOON) == 'hello'
        peer.socket.shutdown(socket.SHUT_RDWR)
    with python(talk) as url:
        status, out, err = run(backend, url, '--wait')
        assert (status, out, len(err.splitlines())) == (1, b'one\n', 1), err
        assert 'cut off' in err


def test_plain_ws_to_a_server_of_tls(backend: str) -> None:
    with s_server() as server:
        process = Process([binary(), 'connect', f'ws://127.0.0.1:{server.port}/'], stdin=HELLO)
        try:
            assert process.wait() == 1
            assert len(process.stderr().splitlines()) == 1, process.stderr()
        finally:
            process.kill()


@pytest.mark.parametrize(('arguments', 'told'), [
    (['--ca', 'NONE'], 'NONE'), (['--ca', 'server.key'], 'server.key'), (['--cert', 'NONE'], 'NONE'),
    (['--cert', 'client.pem', '--key', 'server.key'], 'key')])
def test_bad_files_are_told(backend: str, arguments: list[str], told: str) -> None:
    there = [certificate(word) if re.search(r'\.(pem|key)$', word) else word for word in arguments]
    assert told in refused(backend, 'wss://127.0.0.1:1/', *there, ca=None)
