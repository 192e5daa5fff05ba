"""The programs of `examples/c`, built in three ways, as processes that end cleanly or fail the test."""
from __future__ import annotations

import contextlib
import os
import pathlib
import re
import signal
import socket
import ssl
from collections.abc import Iterator

from websockets.sync.client import ClientConnection, connect as connect_plainly

from harness import SOON, Process, eventually
from tls import certificate, trusting

INCREMENT = 'dumb-increment-protocol'
MIRROR = 'lws-mirror-protocol'

SERVERS = ['test-server', 'test-server-nofork', 'test-server-extpoll']
# How a program is watched: not at all, as C++, by valgrind, by the sanitizers of the compiler.
BUILDS = {'c': 'c', 'cxx': 'cxx', 'valgrind': 'c', 'sanitized': 'sanitized'}
VALGRIND = ['valgrind', '--quiet', '--leak-check=full', '--errors-for-leak-kinds=definite', '--show-leak-kinds=definite',
            '--error-exitcode=99']
# Under valgrind everything takes its time.
LONG = 6 * SOON


def folder(build: str) -> pathlib.Path:
    examples = os.environ.get('C_EXAMPLES')
    if not examples:
        raise RuntimeError('C_EXAMPLES is not set: `cargo xtask test capi` sets it')
    return pathlib.Path(examples) / BUILDS[build]


class Ports:
    """Ports that are nobody else's. A socket that is bound but does not listen keeps the kernel from giving its port away, and
    with SO_REUSEADDR does not keep another from listening there."""

    def __init__(self) -> None:
        self.kept: list[socket.socket] = []

    def take(self) -> int:
        kept = socket.socket()
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        kept.bind(('0.0.0.0', 0))
        self.kept.append(kept)
        return kept.getsockname()[1]


PORTS = Ports()


class Example(Process):
    """A program that runs in its own folder, where its data are."""

    def __init__(self, name: str, *arguments: str, build: str = 'c'):
        command = [str(folder(build) / name), *arguments]
        # Not the certificates of the machine, which take long to read under valgrind.
        environment = {**os.environ, 'SSL_CERT_FILE': certificate('clients.pem'), 'SSL_CERT_DIR': str(folder(build))}
        super().__init__(VALGRIND + command if build == 'valgrind' else command, cwd=folder(build), env=environment)

    def ends(self, status: int = 0) -> str:
        """Its error output, once it has ended with this status, and all processes that it started too."""
        got = self.wait(LONG)
        assert got == status, f'{self.command} ended with {got}:\n{self.stderr()}'
        eventually(self._alone, f'the processes of {self.command} end', LONG)
        # What valgrind and the sanitizers say begins with the process id.
        assert not re.search(r'==\d+==|runtime error:|panicked', self.stderr()), self.stderr()
        return self.stderr()

    def _alone(self) -> bool:
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return True
        return False

    def stop(self, number: signal.Signals = signal.SIGTERM) -> str:
        assert self.running(), f'{self.command} ended by itself ({self.child.returncode}):\n{self.stderr()}'
        self.signal(number)
        return self.ends()

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        super().kill()

    def says(self, pattern: str, seconds: float = LONG) -> re.Match[str]:
        """The first place in its error output that matches."""
        def look() -> re.Match[str] | None:
            found = re.search(pattern, self.stderr())
            assert found or self.running(), f'{self.command} ended ({self.child.returncode}) without {pattern!r}:\n{self.stderr()}'
            return found
        return eventually(look, f'{self.command} says {pattern!r}', seconds)


class ExampleServer(Example):
    """One of the three servers, on a port of its own."""

    def __init__(self, name: str, *arguments: str, tls: bool = False, build: str = 'c'):
        self.port = PORTS.take()
        self.tls = tls
        self.build = build
        self.certificate = str(folder(build) / 'libwebsockets-test-server/libwebsockets-test-server.pem')
        options = [f'--port={self.port}', '--interface=lo', *(['--ssl'] if tls else []), *arguments]
        super().__init__(name, *options, build=build)
        try:
            eventually(self._listens, f'{name} listens', LONG)
        except AssertionError:
            self.kill()
            raise

    def _listens(self) -> bool:
        assert self.running(), f'{self.command} ended ({self.child.returncode}):\n{self.stderr()}'
        with socket.socket() as client:
            return client.connect_ex(('127.0.0.1', self.port)) == 0

    @property
    def url(self) -> str:
        return f'{"wss" if self.tls else "ws"}://localhost:{self.port}/'

    def trusting(self) -> ssl.SSLContext | None:
        """For one thread."""
        return ssl.create_default_context(cafile=self.certificate) if self.tls else None

    def connect(self, protocol: str | None, **options: object) -> ClientConnection:
        """Closes without much patience: behind a flood that nobody reads, `websockets` does not see the answer to its Close."""
        offered = [protocol] if protocol else None
        context = trusting(ca=self.certificate) if self.tls else None
        return connect_plainly(self.url, subprotocols=offered, ssl=context, compression=None, max_size=None,  # type: ignore[arg-type]
                               open_timeout=LONG, close_timeout=1, **options)


@contextlib.contextmanager
def running(process: Process) -> Iterator[Process]:
    """Ends the process if the test has not."""
    try:
        yield process
    finally:
        process.kill()
