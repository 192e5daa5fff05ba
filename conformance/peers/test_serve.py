"""`sockeye serve`: the contract that scripts rely on."""
from __future__ import annotations

import pathlib
import signal
import socket
import stat
import subprocess
import time

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect, unix_connect

from harness import SOON, Process, Server, binary, eventually
from wire import CLOSE, TEXT, Wire, close_payload


def test_one_line_for_each_listener_and_no_other(serve, tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'socket'
    server = serve(listen=['127.0.0.1:0', '[::1]:0', f'unix:{path}'])
    four, six, unix = server.announced
    assert four == f'listening on http://127.0.0.1:{server.address[1]}/'
    assert six.startswith('listening on http://[::1]:')
    assert unix.startswith('listening on ') and str(path) in unix
    for url in (server.ws('/echo'), f'ws://[::1]:{Server.address_of(six)[1]}/echo'):
        with connect(url) as peer:
            peer.send('hi')
            assert peer.recv(SOON) == 'hi'
    with unix_connect(str(path), 'ws://localhost/echo') as peer:
        peer.send('hi')
        assert peer.recv(SOON) == 'hi'
    server.stop()
    assert server.stdout().decode().splitlines() == server.announced


def test_a_unix_socket_is_taken_over_from_a_server_that_died_not_from_a_living_one(serve, tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'socket'
    first = serve(listen=[f'unix:{path}'])
    assert stat.S_ISSOCK(path.stat().st_mode)
    rival = Process([binary(), 'serve', '--listen', f'unix:{path}'])
    assert rival.wait() == 1
    assert str(path) in rival.stderr()
    first.kill()
    second = serve(listen=[f'unix:{path}'])
    with Wire(str(path)) as wire:
        wire.upgrade()
        wire.send_frame(TEXT, b'again')
        assert wire.read_message().payload == b'again'
    second.stop()
    assert not path.exists(), 'a server that stops takes its socket away'


@pytest.mark.parametrize('driver', ['epoll', 'uring', 'poll'])
def test_the_page(serve, driver: str) -> None:
    server = serve('--driver', driver)
    done = subprocess.run(['curl', '--silent', '--noproxy', '*', '--include', server.http('/')], capture_output=True, check=True)
    head, _, body = done.stdout.partition(b'\r\n\r\n')
    assert head.startswith(b'HTTP/1.1 200 ')
    assert b'text/html' in head
    assert b'id="board"' in body or b'id=board' in body


@pytest.mark.parametrize('arguments', [
    ['--listen', 'nonsense'], ['--listen', '127.0.0.1:99999'], ['--listen', 'unix:'], ['--driver', 'magic'],
    ['--no-such-option'], ['/no/such/directory']])
def test_a_wrong_command_line_is_told(arguments: list[str], tmp_path: pathlib.Path) -> None:
    listen = [] if '--listen' in arguments else ['--listen', '127.0.0.1:0']
    process = Process([binary(), 'serve', *arguments, *listen], cwd=tmp_path)
    try:
        assert process.wait() in (1, 2)
        assert process.stderr().strip() and 'panicked' not in process.stderr()
        assert process.stdout() == b''
    finally:
        process.kill()


def test_a_port_in_use_is_named(server: Server) -> None:
    process = Process([binary(), 'serve', '--listen', server.host])
    assert process.wait() == 1
    lines = process.stderr().splitlines()
    assert len(lines) == 1 and server.host in lines[0]


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains(serve, number: signal.Signals) -> None:
    server = serve()
    with connect(server.ws('/echo')) as peer:
        peer.send('before')
        assert peer.recv(SOON) == 'before'
        server.signal(number)
        with pytest.raises(ConnectionClosed):
            peer.recv(SOON)
        assert peer.close_code == 1001
    assert server.wait() == 0
    with pytest.raises(OSError):
        socket.create_connection(server.address, 1)


def test_draining_takes_no_new_connections_and_a_second_signal_cuts(serve) -> None:
    server = serve()
    with Wire(server.address) as mute:
        mute.upgrade()
        server.signal(signal.SIGTERM)
        assert mute.read_close().code == 1001
        # It has not answered, so the server waits for it.
        assert server.running()
        with pytest.raises(OSError):
            socket.create_connection(server.address, 1)
        start = time.monotonic()
        server.signal(signal.SIGTERM)
        server.wait()
        assert time.monotonic() - start < 2
        assert mute.read_to_end() == b''
    assert 'panicked' not in server.stderr()


def test_a_mute_peer_delays_the_end_only_so_long(serve) -> None:
    server = serve()
    with Wire(server.address, seconds=30) as mute:
        mute.upgrade()
        server.signal(signal.SIGTERM)
        server.wait(30)
        assert mute.read_close().code == 1001
    assert 'panicked' not in server.stderr()


def test_draining_lets_an_answer_be_finished(serve, tmp_path: pathlib.Path) -> None:
    with open(tmp_path / 'large.bin', 'wb') as file:
        file.truncate(32 << 20)
    server = serve(str(tmp_path))
    with Wire(server.address, receive_buffer=4096) as wire:
        wire.send(b'GET /large.bin HTTP/1.1\r\nHost: here\r\n\r\n')
        head = wire.read_response(head=True)
        server.signal(signal.SIGTERM)
        eventually(lambda: refused(server), 'the server takes no new connections')
        assert len(wire.take(int(head.header('content-length')))) == 32 << 20
        assert wire.read_to_end() == b''
    assert server.wait(30) == 0


def refused(server: Server) -> bool:
    try:
        socket.create_connection(server.address, 1).close()
    except OSError:
        return True
    return False


@pytest.mark.parametrize('driver', ['epoll', 'uring', 'poll'])
def test_an_idle_server_sleeps(serve, driver: str) -> None:
    """Open, half-closed, and half-said connections cost no processor time."""
    server = serve('--driver', driver)
    with Wire(server.address) as open_, Wire(server.address) as silent, Wire(server.address) as half, Wire(server.address) as closing:
        open_.upgrade()
        half.send(b'GET / HTTP/1.1\r\nHost: ')
        closing.upgrade()
        closing.send_frame(CLOSE, close_payload(1000))
        assert closing.read_close().code == 1000
        open_.send_frame(TEXT, b'x')
        assert open_.read_message().payload == b'x'
        before, start = server.processor_seconds(), time.monotonic()
        with pytest.raises(TimeoutError):
            open_.socket.settimeout(2)
            open_.socket.recv(1)
        used = server.processor_seconds() - before
        assert used <= 0.05 * (time.monotonic() - start), f'{used:.2f} s of processor time while nothing happened'
        del silent


def test_too_many_open_files_neither_spins_nor_stops_the_server(serve) -> None:
    server = serve(preexec_fn=limit_files)
    wires: list[Wire] = []
    try:
        for _ in range(60):
            wires.append(Wire(server.address))
        before, start = server.processor_seconds(), time.monotonic()
        eventually(lambda: time.monotonic() - start > 1, 'a second passes')
        assert server.processor_seconds() - before < 0.2, 'it spins'
    finally:
        for wire in wires:
            wire.socket.close()

    def served() -> bool:
        try:
            with Wire(server.address) as wire:
                wire.upgrade()
                return True
        except (OSError, AssertionError):
            return False
    eventually(served, 'once there is room, connections are taken again')


def limit_files() -> None:
    import resource
    resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))


def test_help_teaches_by_examples() -> None:
    for arguments in (['--help'], ['serve', '--help'], ['connect', '--help'], ['ping', '--help']):
        process = Process([binary(), *arguments])
        assert process.wait() == 0
        text = process.stdout().decode()
        assert 'sockeye' in text and 'ws://' in text or 'serve' in arguments, text
    process = Process([binary(), 'serve', '--help'])
    process.wait()
    assert '127.0.0.1:7681' in process.stdout().decode()
