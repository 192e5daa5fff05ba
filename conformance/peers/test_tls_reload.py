"""SIGHUP makes `sockeye serve` read its certificates anew: who is there stays, who comes gets the new ones."""
from __future__ import annotations

import asyncio
import contextlib
import pathlib
import shutil
import signal
import ssl
import threading
from collections.abc import Iterator

import pytest
from websockets.sync.client import connect

from harness import SOON, Server, eventually, raise_file_limit
from tls import ROOT, certificate, common_name, trusting
from wire import ACCEPT, TEXT, frame, upgrade

PAIRS = ['rustls epoll', 'openssl poll', 'rustls uring', 'openssl uring']
COUNT = 1000


class Reloading:
    """A server whose certificate files are replaced."""

    def __init__(self, folder: pathlib.Path, pair: str):
        backend, driver = pair.split()
        self.certificate, self.key = folder / 'site.pem', folder / 'site.key'
        self.use('server')
        self.server = Server('--driver', driver, '--tls-backend', backend, '--tls-cert', str(self.certificate), '--tls-key', str(self.key))

    def use(self, name: str) -> None:
        shutil.copyfile(certificate(f'{name}.pem'), self.certificate)
        shutil.copyfile(certificate(f'{name}.key'), self.key)

    def reload(self) -> str:
        """What the server then says."""
        before = len(self.server.stderr())
        self.server.signal(signal.SIGHUP)
        eventually(lambda: self.server.stderr().endswith('\n') and len(self.server.stderr()) > before, 'the server tells of it')
        return self.server.stderr()[before:]

    def shown(self) -> str:
        """The common name of the certificate that a newcomer gets; it is used, too."""
        with connect(self.server.ws('/echo'), ssl=trusting(), open_timeout=SOON) as peer:
            peer.send('new here')
            assert peer.recv(SOON) == 'new here'
            return common_name(peer.socket)


@pytest.fixture(params=PAIRS)
def reloading(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[Reloading]:
    reloading = Reloading(tmp_path, request.param)
    try:
        yield reloading
        reloading.server.stop()
    finally:
        reloading.server.kill()


def test_bad_files_change_nothing(reloading: Reloading) -> None:
    def nothing() -> None:
        reloading.certificate.write_text('')

    def half() -> None:
        text = pathlib.Path(certificate('renewed.pem')).read_text()
        reloading.certificate.write_text(text[:len(text) // 2])

    def foreign_key() -> None:
        reloading.use('renewed')
        shutil.copyfile(certificate('a.key'), reloading.key)

    def gone() -> None:
        reloading.certificate.unlink()

    with connect(reloading.server.ws('/echo'), ssl=trusting()) as stays:
        for spoil in (nothing, half, foreign_key, gone):
            reloading.use('renewed')
            spoil()
            said = reloading.reload()
            assert 'stay as they were' in said, f'{spoil.__name__}: {said}'
            assert reloading.shown() == 'server', spoil.__name__
            stays.send('still here')
            assert stays.recv(SOON) == 'still here'
        reloading.use('renewed')
        reloading.reload()
        assert reloading.shown() == 'renewed'
        stays.send('still here')
        assert stays.recv(SOON) == 'still here'


def test_a_thousand_stay_while_files_change(reloading: Reloading, measured) -> None:
    raise_file_limit()
    stop, rounds = threading.Event(), []

    def talk() -> None:
        """The load: messages all the time, on a connection of before."""
        with connect(reloading.server.ws('/echo'), ssl=trusting(), compression=None) as peer:
            while not stop.is_set():
                peer.send(bytes(10_000))
                assert peer.recv(SOON) == bytes(10_000)
                rounds.append(1)

    async def crowd() -> None:
        context = ssl.create_default_context(cafile=ROOT)
        host, port = reloading.server.address
        gate = asyncio.Semaphore(50)

        async def enter() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            async with gate:
                reader, writer = await asyncio.open_connection(host, port, ssl=context)
                writer.write(upgrade('here'))
                head = await reader.readuntil(b'\r\n\r\n')
                assert ACCEPT.encode() in head
                return reader, writer

        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(frame(TEXT, b'still here'))
            assert await reader.readexactly(12) == b'\x81\x0astill here'

        async with asyncio.timeout(60):
            members = await asyncio.gather(*(enter() for _ in range(COUNT)))
            for number in range(6):
                wanted = ('renewed', 'server')[number % 2]
                reloading.use(wanted)
                if number == 3:
                    reloading.certificate.write_text('spoilt')
                    wanted = 'renewed'
                await asyncio.to_thread(reloading.reload)
                assert await asyncio.to_thread(reloading.shown) == wanted
            await asyncio.gather(*(echo(*member) for member in members))
            for _, writer in members:
                writer.close()
            for _, writer in members:
                with contextlib.suppress(ssl.SSLError, ConnectionError):
                    await writer.wait_closed()

    talking = threading.Thread(target=talk)
    talking.start()
    try:
        before = reloading.server.resident()
        asyncio.run(crowd())
    finally:
        stop.set()
        talking.join(2 * SOON)
    assert not talking.is_alive() and len(rounds) > 10
    measured(f'{COUNT} connections of TLS stay over 6 reloads; {len(rounds)} echoes of 10 kB beside them; '
             f'memory {before >> 20} MiB before, {reloading.server.resident() >> 20} after')
