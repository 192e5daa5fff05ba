"""Certificates of the tests (`cargo xtask` makes them), and OpenSSL's own client and server."""
from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import pathlib
import re
import select
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

from harness import SOON, Process, Server, eventually
from wire import TEXT, frame

Value = TypeVar('Value')

GUID = b'258EAFA5-E914-47DA-95CA-C5AB0DC85B11'  # RFC 6455 section 1.3
BACKENDS = ['rustls', 'openssl']
VERSIONS = {'1.2': ssl.TLSVersion.TLSv1_2, '1.3': ssl.TLSVersion.TLSv1_3}


class Guarded(ssl.SSLSocket):
    """For a reader and a writer in two threads, as `websockets` has them. An OpenSSL session takes one at a time, and Python
    lets in both (python/cpython#151508): without this, one handshake in 500 stalls."""

    guard: threading.Lock | None = None
    limit: float | None

    def do_handshake(self, block: bool = False) -> None:
        super().do_handshake(block)
        self.limit = super().gettimeout()
        super().settimeout(0)
        self.guard = threading.Lock()

    def settimeout(self, value: float | None) -> None:
        if self.guard is None:
            super().settimeout(value)
        else:
            self.limit = value

    def recv(self, *arguments: int) -> bytes:
        return self._in_turn(lambda: super(Guarded, self).recv(*arguments))

    def send(self, *arguments: object) -> int:
        return self._in_turn(lambda: super(Guarded, self).send(*arguments))  # type: ignore[arg-type]

    def _in_turn(self, operation: Callable[[], Value]) -> Value:
        if self.guard is None:
            return operation()
        while True:
            try:
                with self.guard:
                    return operation()
            except (ssl.SSLWantReadError, BlockingIOError):
                wanted = select.POLLIN
            except ssl.SSLWantWriteError:
                wanted = select.POLLOUT
            # Not select(), which ends at descriptor 1,024.
            poll = select.poll()
            poll.register(self, wanted)
            if not poll.poll(None if self.limit is None else self.limit * 1000):
                raise TimeoutError


def certificate(name: str) -> str:
    folder = os.environ.get('CERTIFICATES')
    if not folder:
        raise RuntimeError('CERTIFICATES is not set: `cargo xtask peers` sets it')
    path = pathlib.Path(folder) / name
    if not path.is_file():
        raise RuntimeError(f'{path} is not there: `cargo xtask peers` makes it')
    return str(path)


ROOT = certificate('root.pem')


def serving(backend: str, *names: str) -> list[str]:
    """Options of `sockeye serve`, with these certificates."""
    options = ['--tls-backend', backend]
    for name in names:
        options += ['--tls-cert', certificate(f'{name}.pem'), '--tls-key', certificate(f'{name}.key')]
    return options


def trusting(version: str | None = None, client: str | None = None, ca: str = ROOT) -> ssl.SSLContext:
    """Python as a client that trusts our root, and shows a certificate."""
    context = ssl.create_default_context(cafile=ca)
    context.sslsocket_class = Guarded
    if version:
        context.minimum_version = context.maximum_version = VERSIONS[version]
    if client:
        context.load_cert_chain(certificate(f'{client}.pem'), certificate(f'{client}.key'))
    return context


def shown_by_python(name: str = 'server', version: str | None = None) -> ssl.SSLContext:
    """Python as a server with this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sslsocket_class = Guarded
    context.load_cert_chain(certificate(f'{name}.pem'), certificate(f'{name}.key'))
    if version:
        context.minimum_version = context.maximum_version = VERSIONS[version]
    return context


def common_name(peer: ssl.SSLSocket) -> str:
    subject = dict(pair for part in peer.getpeercert()['subject'] for pair in part)
    return subject['commonName']


def s_client(server: Server, *arguments: str, stdin: bytes = b'', version: str | None = None, ca: str = ROOT) -> subprocess.CompletedProcess[str]:
    """`openssl s_client` to its end. It sends `stdin`, and stays until the server has closed."""
    only = ['-tls' + version.replace('.', '_')] if version else []
    done = subprocess.run(
        ['openssl', 's_client', '-connect', server.host, '-CAfile', ca, '-verify_return_error', '-ign_eof', *only, *arguments],
        input=stdin, capture_output=True, timeout=2 * SOON)
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(errors='replace'),
                                       done.stderr.decode(errors='replace'))


class SServer(Process):
    """`openssl s_server`, for one connection after the other. What peers say it prints; it says what it is fed."""

    def __init__(self, *arguments: str, name: str = 'server'):
        own = certificate(f'{name}.pem')
        super().__init__(['openssl', 's_server', '-accept', '127.0.0.1:0', '-cert', own, '-cert_chain', own,
                          '-key', certificate(f'{name}.key'), *arguments], stdin=None)
        try:
            self.port = int(eventually(self._port, 'openssl s_server listens'))
        except AssertionError:
            self.kill()
            raise

    def _port(self) -> str | None:
        assert self.running(), self.stderr()
        found = re.search(r'ACCEPT 127\.0\.0\.1:(\d+)', self.stdout().decode(errors='replace'))
        return found[1] if found else None

    def url(self, host: str = 'localhost') -> str:
        return f'wss://{host}:{self.port}/'

    def upgrade(self, message: bytes) -> None:
        """Answers the opening handshake of a client, and sends it a message."""
        found = eventually(lambda: re.search(rb'(?i)sec-websocket-key: *(\S+)', self.stdout()), 'the request arrives')
        accept = base64.b64encode(hashlib.sha1(found[1] + GUID).digest())
        self.feed(b'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
                  b'Sec-WebSocket-Accept: ' + accept + b'\r\n\r\n' + frame(TEXT, message, mask=None))


@contextlib.contextmanager
def s_server(*arguments: str, name: str = 'server') -> Iterator[SServer]:
    server = SServer(*arguments, name=name)
    try:
        yield server
    finally:
        server.kill()
