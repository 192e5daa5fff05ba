"""Foreign proxies as processes: on free ports of loopback, ready when they take connections."""
from __future__ import annotations

import contextlib
import pathlib
import shutil
import socket
from collections.abc import Callable, Sequence

from harness import Process, eventually

USER, PASSWORD = 'me', 'a p@ss:word'


def free_port() -> int:
    with socket.create_server(('127.0.0.1', 0)) as listener:
        return int(listener.getsockname()[1])


def program(name: str) -> str:
    """Where it is; Debian keeps daemons where users do not look."""
    path = shutil.which(name) or shutil.which(name, path='/usr/sbin:/usr/local/sbin')
    assert path, f'{name} is not installed: `cargo xtask peers` names the packages'
    return path


class Proxy(Process):
    """A proxy on a port that it is told. If somebody else has just taken that port, another one."""

    def __init__(self, command: Callable[[int], Sequence[str]]):
        for last in (False, False, True):
            self.port = free_port()
            super().__init__(command(self.port), stdin=None)
            try:
                eventually(self._ready, f'{self.command} takes connections')
                return
            except AssertionError:
                self.kill()
                if last:
                    raise

    def _ready(self) -> bool:
        assert self.running(), f'{self.command} has ended: {self.stderr()} {self.stdout()!r}'
        with contextlib.suppress(OSError), socket.create_connection(('127.0.0.1', self.port)):
            return True
        return False

    @property
    def host(self) -> str:
        return f'127.0.0.1:{self.port}'


def tinyproxy(folder: pathlib.Path, *, auth: bool = False) -> Proxy:
    """An HTTP proxy."""
    def command(port: int) -> list[str]:
        lines = [f'Port {port}', 'Listen 127.0.0.1', 'Timeout 60', 'MaxClients 50', 'LogLevel Info']
        if auth:
            # Its configuration cannot quote, so that these have no blank.
            lines.append('BasicAuth me secret')
        file = folder / 'tinyproxy.conf'
        file.write_text('\n'.join(lines) + '\n')
        return [program('tinyproxy'), '-d', '-c', str(file)]
    return Proxy(command)


def microsocks(*, auth: bool = False) -> Proxy:
    """A SOCKS5 proxy."""
    def command(port: int) -> list[str]:
        login = ['-u', USER, '-P', PASSWORD] if auth else []
        return [program('microsocks'), '-i', '127.0.0.1', '-p', str(port), *login]
    return Proxy(command)


def dante(folder: pathlib.Path) -> Proxy:
    """A SOCKS5 proxy with rules: nobody gets to 127.0.0.2."""
    def command(port: int) -> list[str]:
        file = folder / 'danted.conf'
        file.write_text(f'''
            logoutput: stderr
            internal: 127.0.0.1 port = {port}
            external: lo
            clientmethod: none
            socksmethod: none
            client pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}
            socks block {{ from: 0.0.0.0/0 to: 127.0.0.2/32 }}
            socks pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}
        ''')
        return [program('danted'), '-f', str(file)]
    return Proxy(command)
