"""The command under test as a process: started on port 0, watched through /proc, ended by id."""
from __future__ import annotations

import os
import pathlib
import queue
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from typing import IO, TypeVar

Value = TypeVar('Value')

SOON = 10.0  # seconds within which anything has to happen that is not about a longer time


def binary() -> str:
    path = os.environ.get('SOCKEYE_BIN')
    if not path:
        raise RuntimeError('SOCKEYE_BIN is not set: `cargo xtask peers` sets it')
    if not os.access(path, os.X_OK):
        raise RuntimeError(f'SOCKEYE_BIN is no program: {path}')
    return path


def eventually(condition: Callable[[], Value], what: str, seconds: float = SOON) -> Value:
    """The first true value of `condition`; fails with `what` when there is none in time."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f'not within {seconds:g} s: {what}'
        time.sleep(0.005)
    return value


def raise_file_limit() -> int:
    """To the hard limit, for this process and those it starts from now on."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


class Process:
    """A child process whose output lines arrive in queues."""

    def __init__(self, command: Sequence[str], *, stdin: bytes | None = b'', **options: object):
        self.command = list(command)
        self.child = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True, **options)  # type: ignore[call-overload]
        self.lines: queue.Queue[bytes | None] = queue.Queue()
        self.out: list[bytes] = []
        self.err: list[bytes] = []
        self.readers = [
            threading.Thread(target=self._read, args=(self.child.stdout, self.out, self.lines), daemon=True),
            threading.Thread(target=self._read, args=(self.child.stderr, self.err, None), daemon=True)]
        for reader in self.readers:
            reader.start()
        if stdin is not None:
            self.feed(stdin, last=True)

    @staticmethod
    def _read(stream: IO[bytes], kept: list[bytes], lines: queue.Queue[bytes | None] | None) -> None:
        line: list[bytes] = []
        while chunk := stream.read1(1 << 20):  # type: ignore[attr-defined]
            kept.append(chunk)
            if lines is not None:
                line_end, *others = chunk.split(b'\n')
                line.append(line_end)
                for start in others:
                    lines.put(b''.join(line))
                    line = [start]
        if lines is not None:
            if any(line):
                lines.put(b''.join(line))
            lines.put(None)

    @property
    def pid(self) -> int:
        return self.child.pid

    def feed(self, data: bytes, last: bool = False) -> None:
        """Writes to its standard input, in the background: a pipe may be full for a while."""
        def write() -> None:
            try:
                self.child.stdin.write(data)
                self.child.stdin.flush()
                if last:
                    self.child.stdin.close()
            except (BrokenPipeError, ValueError):
                pass
        threading.Thread(target=write, daemon=True).start()

    def line(self, seconds: float = SOON) -> str:
        """The next line of its standard output, without the line feed."""
        try:
            line = self.lines.get(timeout=seconds)
        except queue.Empty:
            raise AssertionError(f'{self.command} printed no further line in {seconds:g} s') from None
        assert line is not None, f'{self.command} ended its output; on stderr: {self.stderr()}'
        return line.decode()

    def stdout(self) -> bytes:
        return b''.join(self.out)

    def stderr(self) -> str:
        return b''.join(self.err).decode(errors='replace')

    def running(self) -> bool:
        return self.child.poll() is None

    def signal(self, number: signal.Signals) -> None:
        self.child.send_signal(number)

    def wait(self, seconds: float = SOON) -> int:
        """Its exit status, once all of its output has been read."""
        try:
            status = self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f'{self.command} still runs after {seconds:g} s') from None
        for reader in self.readers:
            reader.join(SOON)
        return status

    def kill(self) -> None:
        if self.running():
            self.child.kill()
        self.child.wait()

    # What the kernel knows of it.

    def resident(self) -> int:
        """Bytes of memory in use."""
        pages = int(pathlib.Path(f'/proc/{self.pid}/statm').read_text().split()[1])
        return pages * resource.getpagesize()

    def descriptors(self) -> int:
        return len(os.listdir(f'/proc/{self.pid}/fd'))

    def processor_seconds(self) -> float:
        fields = pathlib.Path(f'/proc/{self.pid}/stat').read_text().rsplit(') ', 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


class Server(Process):
    """`sockeye serve`, listening on a port of the kernel's choice."""

    def __init__(self, *arguments: str, listen: Sequence[str] = ('127.0.0.1:0',), **options: object):
        command = [binary(), 'serve', *arguments]
        for address in listen:
            command += ['--listen', address]
        super().__init__(command, **options)
        try:
            self.announced = [self.line() for _ in listen]
        except AssertionError:
            self.kill()
            raise
        for line in self.announced:
            assert line.startswith('listening on '), line
        self.tls = self.announced[0].startswith('listening on https://')
        self.address = self.address_of(self.announced[0])
        self.host = f'{self.address[0]}:{self.address[1]}'

    @staticmethod
    def address_of(line: str) -> tuple[str, int]:
        """`listening on http://ADDR:PORT/` -> (ADDR, PORT); ('', 0) for a listener of another kind."""
        place = line.removeprefix('listening on ').removeprefix('https://').removeprefix('http://')
        host, colon, port = place.removesuffix('/').rpartition(':')
        return (host.strip('[]'), int(port)) if colon and port.isdigit() else ('', 0)

    def ws(self, path: str) -> str:
        return f'{"wss" if self.tls else "ws"}://{self.host}{path}'

    def http(self, path: str) -> str:
        return f'{"https" if self.tls else "http"}://{self.host}{path}'

    def stop(self) -> None:
        """As a service manager would. It has to end by itself, with success and without a panic."""
        assert self.running(), f'the server ended by itself ({self.child.returncode}): {self.stderr()}'
        self.signal(signal.SIGTERM)
        try:
            status = self.wait(20)
        finally:
            self.kill()
        assert 'panicked' not in self.stderr(), self.stderr()
        assert status == 0, f'exit status {status}: {self.stderr()}'
