"""TLS with foreign peers, with either backend: `openssl s_client` and `s_server`, curl, Python's
`websockets` and npm's `ws`."""
from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import os
import pathlib
import queue
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect as connect_plainly
from websockets.sync.server import ServerConnection, serve as serve_peer

from certificates import Authority, Pair
from harness import SOON, Process, Server, binary, eventually
from wire import TEXT, Wire, frame, upgrade

GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'  # RFC 6455 section 1.3
REQUEST = b'GET /hello.txt HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'
HELLO = b'Hello over TLS!\n'
AT_ONCE = 3.0  # seconds, well below every deadline of the server


@functools.cache
def built_with(backend: str) -> bool:
    """Whether the command has this backend."""
    done = subprocess.run([binary(), 'ping', '--tls-backend', backend, '--count', '1', 'wss://127.0.0.1:1/'],
                          capture_output=True, timeout=SOON, check=False)
    return b'built without' not in done.stderr


@pytest.fixture(scope='module', params=['rustls', 'openssl'])
def backend(request: pytest.FixtureRequest) -> str:
    if not built_with(request.param):
        pytest.skip(f'the command is built without {request.param}')
    return request.param


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp('tls')
    (folder / 'files').mkdir()
    (folder / 'files/hello.txt').write_bytes(HELLO)
    (folder / 'files/large.bin').write_bytes(bytes(range(256)) * 4096 * 5)
    return folder


@pytest.fixture(scope='module')
def ca(folder: pathlib.Path) -> Authority:
    return Authority(folder, 'root')


@pytest.fixture(scope='module')
def clients(folder: pathlib.Path) -> Authority:
    return Authority(folder, 'clients')


@pytest.fixture(scope='module')
def localhost(ca: Authority) -> Pair:
    return ca.server('localhost', '127.0.0.1')


class TlsServer(Server):
    """`sockeye serve` with a certificate."""

    def __init__(self, backend: str, *arguments: str):
        super().__init__('--tls-backend', backend, *arguments)
        assert self.announced[0].startswith('listening on https://'), self.announced

    @staticmethod
    def address_of(line: str) -> tuple[str, int]:
        host, _, port = line.removeprefix('listening on https://').removesuffix('/').rpartition(':')
        return host.strip('[]'), int(port)

    def ws(self, path: str) -> str:
        return f'wss://localhost:{self.address[1]}{path}'

    def http(self, path: str) -> str:
        return f'https://localhost:{self.address[1]}{path}'


@pytest.fixture
def serve_tls(backend: str, folder: pathlib.Path) -> Iterator[Callable[..., TlsServer]]:
    """Starts servers with certificates; each must still be well at the end of the test."""
    started: list[TlsServer] = []

    def start(*pairs: Pair, options: tuple[str, ...] = ()) -> TlsServer:
        certificates = [option for pair in pairs for option in pair.serve]
        started.append(TlsServer(backend, *certificates, *options, str(folder / 'files')))
        return started[-1]

    try:
        yield start
        for server in started:
            server.stop()
    finally:
        for server in started:
            server.kill()


@pytest.fixture
def server(serve_tls, localhost: Pair) -> TlsServer:
    return serve_tls(localhost)


def s_client(server: TlsServer, ca: Authority, *arguments: str, said: bytes = REQUEST) -> str:
    """What `openssl s_client` prints: its report, and what the server answered."""
    command = ['openssl', 's_client', '-connect', server.host, '-CAfile', ca.cert, '-verify_return_error',
               '-ign_eof', *arguments]
    if not {'-servername', '-noservername'} & set(arguments):
        command += ['-servername', 'localhost']
    done = subprocess.run(command, input=said, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=SOON,
                          check=False)
    return done.stdout.decode(errors='replace')


def trusting(ca: Authority, pair: Pair | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca.cert)
    if pair:
        context.load_cert_chain(pair.cert, pair.key)
    return context


def open_socket(server: TlsServer, ca: Authority, **options: object) -> ClientConnection:
    options = {'ssl': trusting(ca), 'compression': None, 'max_size': None, 'open_timeout': SOON} | options
    return connect_plainly(server.ws('/echo'), **options)  # type: ignore[arg-type]


# `openssl s_client`

@pytest.mark.parametrize('version', ['tls1_2', 'tls1_3'])
def test_versions(server: TlsServer, ca: Authority, version: str) -> None:
    out = s_client(server, ca, f'-{version}', '-verify_hostname', 'localhost')
    assert 'Verify return code: 0 (ok)' in out
    assert f'New, TLSv1.{version[-1]}, ' in out
    assert HELLO.decode() in out
    assert 'Secure Renegotiation IS supported' in out or version == 'tls1_3'
    assert 'unexpected eof' not in out, 'the end is announced'


@pytest.mark.parametrize('version', ['tls1', 'tls1_1'])
def test_old_versions_are_refused(server: TlsServer, ca: Authority, version: str) -> None:
    out = s_client(server, ca, f'-{version}', '-cipher', 'ALL:@SECLEVEL=0')
    assert HELLO.decode() not in out
    assert re.search('alert (protocol version|handshake failure)|no protocols available', out), out


def test_ciphers_without_forward_secrecy_are_refused(server: TlsServer, ca: Authority) -> None:
    out = s_client(server, ca, '-tls1_2', '-cipher', 'AES128-GCM-SHA256:AES256-SHA')
    assert HELLO.decode() not in out and 'alert handshake failure' in out, out


def test_application_protocols(server: TlsServer, ca: Authority) -> None:
    assert 'ALPN protocol: http/1.1' in s_client(server, ca, '-alpn', 'h2,http/1.1')
    assert 'No ALPN negotiated' in s_client(server, ca)
    assert 'no application protocol' in s_client(server, ca, '-alpn', 'h2')


def test_certificates_by_name(serve_tls, ca: Authority) -> None:
    first, second, wild = (ca.server(name, label='sni') for name in ('first.test', 'second.test', '*.wild.test'))
    server = serve_tls(first, second, wild)
    for version in ('-tls1_2', '-tls1_3'):
        for name, shown in [('first.test', 'first.test'), ('second.test', 'second.test'),
                            ('a.wild.test', '*.wild.test'), ('a.b.wild.test', 'first.test'),
                            ('unknown.test', 'first.test')]:
            out = s_client(server, ca, version, '-servername', name)
            assert re.search(rf'subject=CN ?= ?{re.escape(shown)}\n', out), (name, out)
        assert 'CN = first.test' in s_client(server, ca, version, '-noservername').replace('CN=', 'CN = ')


@pytest.mark.parametrize('version', ['tls1_2', 'tls1_3'])
def test_resumption(server: TlsServer, ca: Authority, tmp_path: pathlib.Path, version: str) -> None:
    session = str(tmp_path / 'session')
    assert 'New, TLSv1.' in s_client(server, ca, f'-{version}', '-sess_out', session)
    out = s_client(server, ca, f'-{version}', '-sess_in', session)
    assert f'Reused, TLSv1.{version[-1]}, ' in out and HELLO.decode() in out


def test_renegotiation_is_refused(server: TlsServer, ca: Authority) -> None:
    command = ['openssl', 's_client', '-connect', server.host, '-CAfile', ca.cert, '-tls1_2']
    process = Process(command, stdin=None)
    try:
        eventually(lambda: b'Verify return code' in process.stdout(), 'the handshake is over')
        process.feed(b'R\n')
        eventually(lambda: not process.running() or 'error' in process.stderr(), 'renegotiation comes to nothing')
        assert 'RENEGOTIATING' in process.stderr() + process.stdout().decode()
        assert 'no renegotiation' in process.stderr() or process.wait() != 0, process.stderr()
    finally:
        process.kill()
    assert HELLO.decode() in s_client(server, ca)


@pytest.mark.parametrize('version', ['tls1_2', 'tls1_3'])
def test_client_certificates(serve_tls, localhost: Pair, ca: Authority, clients: Authority, version: str) -> None:
    required = serve_tls(localhost, options=('--client-ca', clients.cert, '--client-cert', 'required'))
    optional = serve_tls(localhost, options=('--client-ca', clients.cert, '--client-cert', 'optional'))
    good, expired = clients.client(f'good-{version}'), clients.client(f'old-{version}', valid=(-9, -3))
    strange = ca.client(f'strange-{version}')

    def said(server: TlsServer, pair: Pair | None) -> str:
        shown = ['-cert', pair.cert, '-key', pair.key] if pair else []
        return s_client(server, ca, f'-{version}', *shown)

    for server in (required, optional):
        out = said(server, good)
        assert HELLO.decode() in out and 'CN = clients' in out.replace('CN=', 'CN = '), 'it is told whom they trust'
        out = said(server, expired)
        assert HELLO.decode() not in out and 'alert certificate expired' in out, out
        out = said(server, strange)
        assert HELLO.decode() not in out and re.search(r'alert (unknown ca|decrypt error|bad certificate)', out), out
    out = said(required, None)
    assert HELLO.decode() not in out
    assert re.search('certificate required|alert handshake failure|alert certificate required', out), out
    assert HELLO.decode() in said(optional, None)


# What is no TLS, or stops to be

def test_plain_text_on_the_tls_port_ends_at_once(server: TlsServer, ca: Authority) -> None:
    for said in (upgrade('localhost'), b'SSH-2.0-OpenSSH_9.9\r\n', bytes(64)):
        begun = time.monotonic()
        with Wire(server.address) as wire:
            wire.send(said)
            assert len(wire.read_to_end()) <= 7, 'an alert at most'
        assert time.monotonic() - begun < AT_ONCE
    curl = subprocess.run(['curl', '-sS', server.http('/').replace('https', 'http')], capture_output=True,
                          timeout=SOON, check=False)
    assert curl.returncode != 0
    with open_socket(server, ca) as still:
        still.send('serving')
        assert still.recv(SOON) == 'serving'


def test_tls_on_the_plain_port_ends_at_once(serve, ca: Authority, backend: str) -> None:
    plain = serve()
    begun = time.monotonic()
    with socket.create_connection(plain.address, SOON) as tcp, pytest.raises((ssl.SSLError, ConnectionResetError)):
        trusting(ca).wrap_socket(tcp, server_hostname='localhost')
    assert time.monotonic() - begun < AT_ONCE
    line = failed(connect(backend, f'wss://localhost:{plain.address[1]}/', '--ca', ca.cert))
    assert 'TLS to localhost: the peer does not speak TLS' in line


def test_a_mute_peer_is_dropped_in_time(server: TlsServer) -> None:
    with Wire(server.address, seconds=30) as wire:
        begun = time.monotonic()
        wire.send(b'\x16\x03\x01\x02')
        wire.read_to_end()
        assert 9 < time.monotonic() - begun < 14


# curl

@pytest.mark.parametrize('version', ['1.2', '1.3'])
def test_curl_gets_files(server: TlsServer, ca: Authority, folder: pathlib.Path, version: str) -> None:
    for name in ('hello.txt', 'large.bin'):
        done = subprocess.run(
            ['curl', '-sS', '--fail', '--cacert', ca.cert, f'--tlsv{version}', '--tls-max', version,
             server.http(f'/{name}')], capture_output=True, timeout=SOON, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout == (folder / 'files' / name).read_bytes()


def test_curl_reuses_a_connection(server: TlsServer, ca: Authority) -> None:
    urls = [server.http('/hello.txt')] * 5
    done = subprocess.run(['curl', '-sS', '--fail', '--cacert', ca.cert, '-w', '%{num_connects}\n', *urls],
                          capture_output=True, timeout=SOON, check=False)
    assert done.stdout == HELLO + b'1\n' + (HELLO + b'0\n') * 4


# Python's `websockets` as a client

def test_websockets_of_all_sizes(server: TlsServer, ca: Authority) -> None:
    with open_socket(server, ca) as peer:
        for size in (0, 1, 125, 126, 16383, 16384, 16385, 65535, 65536, 1 << 20, 16 << 20):
            data = bytes(size)
            peer.send(data)
            assert peer.recv(SOON) == data
        for number in range(2000):
            peer.send(str(number))
        for number in range(2000):
            assert peer.recv(SOON) == str(number)
    assert peer.close_code == 1000


def test_certificates_are_replaced_by_a_signal(serve_tls, ca: Authority, folder: pathlib.Path) -> None:
    old, new = ca.server('localhost', label='old'), ca.server('localhost', label='new')
    used = Pair(str(folder / 'used.pem'), str(folder / 'used.key'))

    def put(pair: Pair) -> None:
        shutil.copy(pair.cert, used.cert)
        shutil.copy(pair.key, used.key)

    def shown() -> str:
        with socket.create_connection(server.address, SOON) as tcp, \
                trusting(ca).wrap_socket(tcp, server_hostname='localhost') as tls:
            return ssl.DER_cert_to_PEM_cert(tls.getpeercert(True) or b'')

    def pem(pair: Pair) -> str:
        return pathlib.Path(pair.cert).read_text()

    put(old)
    server = serve_tls(used)
    with open_socket(server, ca) as peer:
        assert shown() == pem(old)
        # A key that does not fit: it is told, and nothing changes.
        shutil.copy(new.cert, used.cert)
        server.signal(signal.SIGHUP)
        eventually(lambda: 'does not fit' in server.stderr(), 'the failure is told')
        assert shown() == pem(old)
        pathlib.Path(used.cert).write_text('no certificate')
        told = server.stderr()
        server.signal(signal.SIGHUP)
        eventually(lambda: server.stderr() != told, 'the failure is told')
        assert shown() == pem(old)
        put(new)
        server.signal(signal.SIGHUP)
        eventually(lambda: shown() == pem(new), 'the new certificate is shown')
        peer.send('still here')
        assert peer.recv(SOON) == 'still here'


# Our client

def connect(backend: str, *arguments: str, stdin: bytes | None = b'') -> Process:
    return Process([binary(), 'connect', '--tls-backend', backend, *arguments], stdin=stdin)


def succeeded(process: Process, seconds: float = SOON) -> bytes:
    try:
        status = process.wait(seconds)
    finally:
        process.kill()
    assert status == 0, f'exit status {status}: {process.stderr()}'
    return process.stdout()


def failed(process: Process, seconds: float = SOON) -> str:
    try:
        status = process.wait(seconds)
    finally:
        process.kill()
    assert status == 1, f'exit status {status}: {process.stderr()}'
    assert 'panicked' not in process.stderr()
    return process.stderr()


@contextlib.contextmanager
def python_server(pair: Pair, clients: Authority | None = None) -> Iterator[tuple[str, queue.Queue[dict]]]:
    """An echo server of `websockets` with TLS; what clients show is kept for the test."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=clients.cert if clients else None)
    context.load_cert_chain(pair.cert, pair.key)
    if clients:
        context.verify_mode = ssl.CERT_REQUIRED
    shown: queue.Queue[dict] = queue.Queue()

    def echo(connection: ServerConnection) -> None:
        shown.put(connection.socket.getpeercert())  # type: ignore[attr-defined]
        with contextlib.suppress(ConnectionClosed):
            for message in connection:
                connection.send(message)

    server = serve_peer(echo, '127.0.0.1', 0, ssl=context, compression=None, max_size=None)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f'wss://localhost:{server.socket.getsockname()[1]}/', shown
    finally:
        server.shutdown()


def test_client_of_a_python_server(backend: str, ca: Authority, localhost: Pair) -> None:
    with python_server(localhost) as (url, _):
        for host in ('localhost', '127.0.0.1'):
            for size in (1, 16384, 1 << 20):
                line = b'x' * size + b'\n'
                there = url.replace('localhost', host)
                assert succeeded(connect(backend, there, '--ca', ca.cert, '--count', '1', stdin=line)) == line
        ping = subprocess.run([binary(), 'ping', '--tls-backend', backend, '--ca', ca.cert, '-c', '3', '-i', '0.05', url],
                              capture_output=True, timeout=SOON, check=False)
        assert ping.returncode == 0 and b' 0% ' in ping.stdout, ping


def test_bad_servers_are_told_apart(backend: str, ca: Authority, clients: Authority) -> None:
    cases = [
        (ca.server('localhost', valid=(-9, -3), label='old'), r'certificate expired 3 days ago'),
        (ca.server('localhost', valid=(2, 9), label='young'), r'certificate becomes valid only in (1 day|2 days|47 hours)'),
        (ca.server('other.test'), r'certificate is for another name: other\.test, not localhost'),
        (clients.server('localhost'), r'certificate is signed by nobody that is trusted here'),
    ]
    for pair, cause in cases:
        with python_server(pair) as (url, _):
            line = failed(connect(backend, url, '--ca', ca.cert))
            assert re.search(f'TLS to localhost: {cause}', line), line
            # Whoever insists gets in.
            echoed = succeeded(connect(backend, url, '--insecure', '--count', '1', stdin=b'x\n'))
            assert echoed == b'x\n'


def test_client_shows_its_certificate(backend: str, ca: Authority, clients: Authority, localhost: Pair) -> None:
    me = clients.client(f'me-{backend}')
    with python_server(localhost, clients) as (url, shown):
        options = ('--ca', ca.cert, '--count', '1')
        assert succeeded(connect(backend, url, *options, *me.show, stdin=b'x\n')) == b'x\n'
        assert ('commonName', f'me-{backend}') in shown.get(timeout=SOON)['subject'][0]
        for pair in (None, clients.client(f'late-{backend}', valid=(-9, -3)), ca.client(f'wrong-{backend}')):
            line = failed(connect(backend, url, *options, *(pair.show if pair else []), stdin=b'x\n'))
            assert 'the peer refused: ' in line or 'cut off' in line or 'connection reset' in line.lower(), line


class SServer(Process):
    """`openssl s_server`, whose plain side is a pair of pipes."""

    def __init__(self, pair: Pair, *arguments: str):
        # s_server takes no port 0 that one could learn, so ask for a free one first.
        with socket.create_server(('127.0.0.1', 0)) as probe:
            self.port = probe.getsockname()[1]
        super().__init__(['openssl', 's_server', '-accept', f'127.0.0.1:{self.port}', '-cert', pair.cert,
                          '-key', pair.key, '-quiet', '-naccept', '1', *arguments], stdin=None)
        eventually(self.listens, 's_server listens')
        self.url = f'wss://localhost:{self.port}/'

    def listens(self) -> bool:
        assert self.running(), self.stderr()
        wanted = f'0100007F:{self.port:04X} 00000000:0000 0A'
        return wanted in pathlib.Path('/proc/net/tcp').read_text()

    def upgrade(self) -> None:
        """Answers the request of a client."""
        eventually(lambda: b'\r\n\r\n' in self.stdout(), 'the request arrives')
        key = re.search(rb'(?i)sec-websocket-key: *(\S+)', self.stdout())
        assert key, self.stdout()
        accept = base64.b64encode(hashlib.sha1(key[1] + GUID.encode()).digest())
        self.feed(b'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
                  b'Sec-WebSocket-Accept: ' + accept + b'\r\n\r\n' + frame(TEXT, b'from s_server', mask=None))


@pytest.mark.parametrize('version', ['tls1_2', 'tls1_3'])
def test_client_of_s_server(backend: str, ca: Authority, localhost: Pair, version: str) -> None:
    peer = SServer(localhost, f'-{version}', '-alpn', 'http/1.1')
    client = connect(backend, peer.url, '--ca', ca.cert, '--count', '1', stdin=None)
    try:
        peer.upgrade()
        assert client.line() == 'from s_server'
    finally:
        peer.kill()
        client.kill()


def test_client_certificate_at_s_server(backend: str, ca: Authority, clients: Authority, localhost: Pair) -> None:
    me = clients.client(f'to-s-server-{backend}')
    for version in ('-tls1_2', '-tls1_3'):
        verify = (version, '-Verify', '1', '-verify_return_error', '-CAfile', clients.cert)
        peer = SServer(localhost, *verify)
        client = connect(backend, peer.url, '--ca', ca.cert, '--count', '1', *me.show, stdin=None)
        try:
            peer.upgrade()
            assert client.line() == 'from s_server'
        finally:
            peer.kill()
            client.kill()
        peer = SServer(localhost, *verify)
        try:
            line = failed(connect(backend, peer.url, '--ca', ca.cert, stdin=b'x\n'))
            assert 'the peer refused: ' in line, line
        finally:
            peer.kill()


def test_a_stream_that_is_cut_off_is_told(backend: str, ca: Authority, localhost: Pair) -> None:
    peer = SServer(localhost)
    client = connect(backend, peer.url, '--ca', ca.cert, '--wait', stdin=None)
    try:
        peer.upgrade()
        assert client.line() == 'from s_server'
        peer.child.kill()
        assert 'cut off' in failed(client)
    finally:
        peer.kill()
        client.kill()


# npm's `ws`

NODE_CLIENT = """
const WebSocket = require('ws');
const socket = new WebSocket(process.argv[1]);
const sizes = [0, 1, 125, 126, 16384, 65536, 1 << 20];
socket.on('open', () => { for (const size of sizes) socket.send(Buffer.alloc(size, 's')); });
socket.on('message', (data) => {
  if (data.length !== sizes.shift() || data.some((byte) => byte !== 115)) process.exit(3);
  if (sizes.length === 0) socket.close(1000);
});
socket.on('close', (code) => { console.log(code); });
"""

NODE_SERVER = """
const https = require('https'), fs = require('fs');
const { WebSocketServer } = require('ws');
const [cert, key] = process.argv.slice(1).map((name) => fs.readFileSync(name));
const server = https.createServer({ cert, key });
new WebSocketServer({ server, maxPayload: 64 << 20 }).on('connection', (socket) => {
  socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
"""


def test_ws_as_a_client(server: TlsServer, ca: Authority) -> None:
    done = subprocess.run(['node', '-e', NODE_CLIENT, server.ws('/echo')], capture_output=True, timeout=SOON,
                          env=os.environ | {'NODE_EXTRA_CA_CERTS': ca.cert}, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == b'1000\n'


def test_ws_as_a_server(backend: str, ca: Authority, localhost: Pair) -> None:
    peer = Process(['node', '-e', NODE_SERVER, localhost.cert, localhost.key])
    try:
        url = f'wss://localhost:{peer.line()}/'
        for size in (1, 16384, 1 << 20):
            line = b'y' * size + b'\n'
            assert succeeded(connect(backend, url, '--ca', ca.cert, '--count', '1', stdin=line)) == line
    finally:
        peer.kill()
