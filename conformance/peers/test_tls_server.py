"""`sockeye serve` with certificates, as `openssl s_client`, curl and Python see it; both backends on every driver."""
from __future__ import annotations

import hashlib
import itertools
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Sequence

import pytest
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from harness import SOON, Process, Server, binary
from tls import BACKENDS, ROOT, certificate, common_name, s_client, serving, trusting
from wire import Wire, upgrade

REQUEST = b'GET /small.txt HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'
LARGE = bytes(itertools.islice(itertools.cycle(range(251)), 20 << 20))
PAIRS = [f'{backend} {driver}' for backend in BACKENDS for driver in ('epoll', 'uring', 'poll')]


def start(pair: str, *arguments: str, names: Sequence[str] = ('server',)) -> Server:
    backend, driver = pair.split()
    return Server('--driver', driver, *serving(backend, *names), *arguments)


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp('site')
    (folder / 'small.txt').write_bytes(b'small\n')
    (folder / 'large.bin').write_bytes(LARGE)
    return folder


@pytest.fixture(scope='module', params=PAIRS)
def secure(request: pytest.FixtureRequest, folder: pathlib.Path) -> Iterator[Server]:
    """Serves a folder over TLS."""
    server = start(request.param, str(folder))
    yield server
    server.stop()


@pytest.fixture(scope='module', params=PAIRS)
def names(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Has a certificate for each of several names."""
    server = start(request.param, names=('server', 'a', 'b'))
    yield server
    server.stop()


@pytest.fixture(scope='module', params=[f'{pair} {how}' for pair in PAIRS for how in ('required', 'optional')])
def members(request: pytest.FixtureRequest) -> Iterator[tuple[Server, str]]:
    """Asks clients for a certificate."""
    pair, how = request.param.rsplit(' ', 1)
    server = start(pair, '--client-ca', certificate('clients.pem'), '--client-cert', how)
    yield server, how
    server.stop()


def curl(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(['curl', '--silent', '--show-error', '--noproxy', '*', '--max-time', '30', '--cacert', ROOT, *arguments],
                          capture_output=True)


def got(*arguments: str) -> bytes:
    done = curl(*arguments)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


# openssl s_client

@pytest.mark.parametrize('version', ['1.2', '1.3'])
def test_s_client_speaks_to_us(secure: Server, version: str) -> None:
    done = s_client(secure, '-alpn', 'h2,http/1.1', stdin=REQUEST, version=version)
    assert done.returncode == 0, done.stderr
    assert f'New, TLSv{version}, Cipher is' in done.stdout
    assert 'Verify return code: 0 (ok)' in done.stdout
    assert 'ALPN protocol: http/1.1' in done.stdout
    assert 'Secure Renegotiation IS supported' in done.stdout or version == '1.3'
    assert 'Compression: NONE' in done.stdout
    assert 'HTTP/1.1 200 ' in done.stdout and '\r\n\r\nsmall' in done.stdout.replace('\n', '\r\n').replace('\r\r', '\r')
    # The whole chain is sent, and the end is announced.
    assert re.search(r'(?m)^ 1 s:CN ?= ?between', done.stdout), done.stdout
    assert 'unexpected eof' not in done.stderr, done.stderr


@pytest.mark.parametrize('version', ['1', '1.1'])
def test_old_versions_are_refused(secure: Server, version: str) -> None:
    done = s_client(secure, '-cipher', 'ALL:@SECLEVEL=0', stdin=REQUEST, version=version)
    assert done.returncode != 0
    assert re.search('alert (protocol version|handshake failure)', done.stderr), done.stderr


def test_ciphers_without_forward_secrecy_are_refused(secure: Server) -> None:
    done = s_client(secure, '-cipher', 'AES128-GCM-SHA256:AES256-SHA', stdin=REQUEST, version='1.2')
    assert done.returncode != 0
    assert 'alert handshake failure' in done.stderr, done.stderr


def test_alpn_without_what_we_speak_is_refused(secure: Server) -> None:
    """RFC 7301 section 3.2."""
    done = s_client(secure, '-alpn', 'h2', stdin=REQUEST)
    assert done.returncode != 0
    assert 'no application protocol' in done.stderr, done.stderr


@pytest.mark.parametrize('version', ['1.2', '1.3'])
def test_sessions_are_resumed(secure: Server, tmp_path: pathlib.Path, version: str) -> None:
    file = str(tmp_path / 'session')
    first = s_client(secure, '-sess_out', file, stdin=REQUEST, version=version)
    assert f'New, TLSv{version}, Cipher' in first.stdout
    for _ in range(2):
        again = s_client(secure, '-sess_in', file, '-sess_out', file, stdin=REQUEST, version=version)
        assert f'Reused, TLSv{version}, Cipher' in again.stdout, again.stdout + again.stderr
        assert 'HTTP/1.1 200 ' in again.stdout


def test_renegotiation_is_refused(secure: Server) -> None:
    """The letter R makes s_client ask for it. RFC 9325 section 3.5: at best, nobody does it."""
    process = Process(['openssl', 's_client', '-connect', secure.host, '-CAfile', ROOT, '-tls1_2'], stdin=None)
    try:
        process.feed(b'R\n')
        status = process.wait()
    finally:
        process.kill()
    said = process.stdout().decode() + process.stderr()
    assert 'RENEGOTIATING' in said
    assert status != 0 and 'no renegotiation' in said, said


@pytest.mark.parametrize(('name', 'shown'), [
    ('a.test', 'a'), ('b.test', 'b'), ('deep.b.test', 'b'), ('localhost', 'server'), ('unknown.test', 'server'), (None, 'server')])
def test_the_certificate_of_the_name_that_is_asked_for(names: Server, name: str | None, shown: str) -> None:
    asked = ['-servername', name] if name else ['-noservername']
    for version in ('1.2', '1.3'):
        done = s_client(names, *asked, stdin=REQUEST, version=version)
        assert re.search(rf'(?m)^subject=CN ?= ?{shown}$', done.stdout), done.stdout + done.stderr


@pytest.mark.parametrize('names', [pair for pair in PAIRS if pair.startswith('rustls')], indirect=True)
def test_a_session_of_one_name_is_none_of_another(names: Server, tmp_path: pathlib.Path) -> None:
    """RFC 6066 section 3. (With TLS 1.3 it is the client who must not ask for that.) OpenSSL resumes a session without a
    look at the name, here as in its own s_server; what it asks of clients is the same for all names of a server."""
    file = str(tmp_path / 'session')
    s_client(names, '-servername', 'a.test', '-sess_out', file, stdin=REQUEST, version='1.2')
    same = s_client(names, '-servername', 'a.test', '-sess_in', file, stdin=REQUEST, version='1.2')
    assert 'Reused, ' in same.stdout, same.stdout
    other = s_client(names, '-servername', 'b.test', '-sess_in', file, stdin=REQUEST, version='1.2')
    assert 'New, ' in other.stdout and re.search(r'(?m)^subject=CN ?= ?b$', other.stdout), other.stdout


@pytest.mark.parametrize('version', ['1.2', '1.3'])
@pytest.mark.parametrize(('client', 'complaint'), [
    ('client', None), (None, r'certificate required|handshake failure'),
    ('client-stranger', r'unknown ca|bad certificate|decrypt error'), ('client-expired', 'certificate expired')])
def test_certificates_of_clients(members: tuple[Server, str], version: str, client: str | None, complaint: str | None) -> None:
    server, how = members
    shown = ['-cert', certificate(f'{client}.pem'), '-key', certificate(f'{client}.key')] if client else []
    done = s_client(server, *shown, stdin=REQUEST, version=version)
    if complaint is None or (client is None and how == 'optional'):
        assert done.returncode == 0, done.stderr
        assert 'HTTP/1.1 404 ' in done.stdout
        assert re.search(r'Acceptable client certificate CA names\nCN ?= ?clients\n', done.stdout), 'it is told whom they trust'
    else:
        assert 'HTTP/' not in done.stdout
        assert re.search(f'alert ({complaint})', done.stderr), done.stderr


# curl

@pytest.mark.parametrize('version', ['1.2', '1.3'])
def test_curl_gets_files(secure: Server, version: str) -> None:
    only = ['--tlsv' + version, '--tls-max', version]
    assert got(*only, secure.http('/small.txt')) == b'small\n'
    large = got(*only, secure.http('/large.bin'))
    assert hashlib.sha256(large).digest() == hashlib.sha256(LARGE).digest()
    assert got(*only, '--range', '1000000-1099999', secure.http('/large.bin')) == LARGE[1_000_000:1_100_000]
    head = got(*only, '--head', secure.http('/large.bin')).decode().lower()
    assert f'content-length: {len(LARGE)}' in head


def test_curl_keeps_the_connection(secure: Server) -> None:
    urls = [word for _ in range(5) for word in ('--output', '/dev/null', secure.http('/small.txt'))]
    assert got('--write-out', '%{http_version} %{http_code} %{num_connects}\n', *urls).decode() == '1.1 200 1\n' + '1.1 200 0\n' * 4


def test_curl_knows_whom_it_trusts(secure: Server) -> None:
    done = curl('--cacert', certificate('stranger.pem'), secure.http('/small.txt'))
    assert done.returncode == 60, done.stderr.decode()


def test_curl_with_a_certificate(members: tuple[Server, str]) -> None:
    server, how = members
    own = ['--cert', certificate('client.pem'), '--key', certificate('client.key')]
    assert b'board' in got(*own, server.http('/'))
    assert (curl(server.http('/')).returncode == 0) == (how == 'optional')


# Python

@pytest.mark.parametrize('version', ['1.2', '1.3'])
def test_websockets_over_wss(secure: Server, version: str) -> None:
    with connect(secure.ws('/echo'), ssl=trusting(version), compression=None, max_size=None) as peer:
        assert peer.socket.version() == f'TLSv{version}'
        for size in (0, 1, 125, 126, 16_384, 65_536, 1 << 20, 16 << 20):
            peer.send(LARGE[:size])
            assert peer.recv(SOON) == LARGE[:size]
        for number in range(1000):
            peer.send(str(number))
        for number in range(1000):
            assert peer.recv(SOON) == str(number)


def test_websockets_with_a_certificate(members: tuple[Server, str]) -> None:
    server, how = members
    with connect(server.ws('/echo'), ssl=trusting(client='client')) as peer:
        peer.send('hi')
        assert peer.recv(SOON) == 'hi'
    for client in ('client-stranger', 'client-expired', *([None] if how == 'required' else [])):
        with pytest.raises((OSError, WebSocketException)):
            with connect(server.ws('/echo'), ssl=trusting(client=client)) as peer:
                pass


def test_our_own_page_may_connect(secure: Server) -> None:
    origin = secure.http('').rstrip('/')
    with connect(secure.ws('/echo'), ssl=trusting(), origin=origin) as peer:  # type: ignore[arg-type]
        peer.send('hi')
        assert peer.recv(SOON) == 'hi'


# What is no TLS, or stops being it.

@pytest.mark.parametrize('data', [REQUEST, upgrade('here'), b'\x81\x85abcd', b'\n' * 100, bytes(3000)])
def test_plain_text_on_the_port_of_tls_is_refused_at_once(secure: Server, data: bytes) -> None:
    before = time.monotonic()
    with Wire(secure.address) as wire:
        wire.send_unless_closed(data)
        answer = wire.read_to_end()
    assert time.monotonic() - before < 2
    # An alert, or nothing; but if it is words, they are HTTP.
    assert answer == b'' or answer[0] == 21 or answer.startswith(b'HTTP/1.1 400 '), answer


def test_a_peer_that_breaks_off_is_forgotten(secure: Server) -> None:
    before = secure.descriptors()
    for cut in (1, 5, 6, 100, 200):
        with Wire(secure.address) as wire:
            wire.send(hello()[:cut])
    for _ in range(20):
        plain = socket.create_connection(secure.address, SOON)
        peer = trusting().wrap_socket(plain, server_hostname='localhost')
        peer.sendall(REQUEST[:30])
        # Without the alert that announces the end.
        socket.socket(fileno=peer.detach()).close()
    end = time.monotonic() + SOON
    while secure.descriptors() > before:
        assert time.monotonic() < end, f'{secure.descriptors()} descriptors, {before} before'
    assert got(secure.http('/small.txt')) == b'small\n'


def hello() -> bytes:
    """A ClientHello."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting().wrap_bio(incoming, outgoing, server_hostname='localhost')
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def test_a_hello_byte_by_byte(secure: Server) -> None:
    with Wire(secure.address) as wire:
        wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in hello():
            wire.send(bytes([byte]))
        kind, major, _ = wire.take(3)
        assert (kind, major) == (22, 3), 'a handshake record comes back'


@pytest.mark.parametrize('pair', PAIRS)
def test_the_end_of_the_server_is_announced(pair: str) -> None:
    server = start(pair)
    try:
        with connect(server.ws('/echo'), ssl=trusting()) as peer:
            peer.send('hi')
            assert peer.recv(SOON) == 'hi'
            assert common_name(peer.socket) == 'server'
            server.signal(signal.SIGTERM)
            assert list(peer) == []
            assert peer.close_code == 1001
        assert server.wait() == 0, server.stderr()
    finally:
        server.kill()


@pytest.mark.parametrize(('arguments', 'told'), [
    (['--tls-cert', 'NONE'], 'NONE'), (['--tls-cert', 'server.pem', '--tls-key', 'NONE'], 'NONE'),
    (['--tls-cert', 'server.pem', '--tls-key', 'a.key'], 'server.pem|key'), (['--tls-cert', 'server.key', '--tls-key', 'server.key'], 'server.key'),
    (['--tls-cert', 'server.pem', '--tls-cert', 'a.pem', '--tls-key', 'server.key'], 'tls-key'),
    (['--tls-cert', 'server.pem', '--tls-key', 'server.key', '--client-ca', 'server.key'], 'server.key')])
@pytest.mark.parametrize('backend', BACKENDS)
def test_bad_files_are_told(backend: str, arguments: list[str], told: str) -> None:
    there = [certificate(word) if re.search(r'\.(pem|key)$', word) else word for word in arguments]
    process = Process([binary(), 'serve', '--listen', '127.0.0.1:0', '--tls-backend', backend, *there])
    try:
        assert process.wait() in (1, 2)
    finally:
        process.kill()
    assert process.stdout() == b''
    assert re.search(told, process.stderr()) and 'panicked' not in process.stderr(), process.stderr()
    assert 'PRIVATE KEY' not in process.stderr()
