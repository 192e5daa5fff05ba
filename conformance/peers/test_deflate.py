"""Compression (permessage-deflate, RFC 7692) with Python's `websockets` at the other end, and bombs in raw bytes."""
from __future__ import annotations

import contextlib
import itertools
import json
import random
import threading
import zlib
from collections.abc import Callable, Iterator

import pytest
from websockets.exceptions import ConnectionClosedOK
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory, PerMessageDeflate, ServerPerMessageDeflateFactory)
from websockets.sync.client import ClientConnection, connect as connect_plainly
from websockets.sync.server import ServerConnection, serve as serve_plainly

from harness import SOON, Process, Server, binary, eventually, raise_file_limit
from wire import BINARY, CONTINUATION, PING, TEXT, Wire, frame

OFFER = 'Sec-WebSocket-Extensions: permessage-deflate'

OPTIONS: list[dict[str, object]] = [
    {'client_max_window_bits': True},
    {'server_no_context_takeover': True, 'client_no_context_takeover': True},
    {'server_no_context_takeover': True, 'client_max_window_bits': True},
    {'client_no_context_takeover': True},
    *({'server_max_window_bits': bits, 'client_max_window_bits': bits} for bits in range(9, 16)),
]


def records(size: int, seed: int = 1) -> str:
    """JSON that compresses as JSON does."""
    dice = random.Random(seed)
    text = ''
    while len(text) < size:
        text += json.dumps({'id': dice.randrange(100_000), 'name': dice.choice(['ann', 'bob', 'cem'])})
    return text[:size]


def deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(9, wbits=-15)
    packed = compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return packed.removesuffix(b'\0\0\xff\xff')


MESSAGES: list[str | bytes] = [
    '', b'', 'short', records(100), records(1024), records(1024), bytes(5000), records(70_000),
    random.Random(1).randbytes(3000), 'grüße ' * 500, records(1 << 20, 2), records(1 << 20, 2).encode()]


def fragments(message: str | bytes) -> list[str] | list[bytes]:
    third = len(message) // 3
    return [message[:third], message[:0], message[third:]]  # type: ignore[return-value]


def connect(url: str, **options: object) -> ClientConnection:
    return connect_plainly(url, max_size=None, open_timeout=SOON, close_timeout=SOON, **options)  # type: ignore[arg-type]


def agreed(peer: ClientConnection | ServerConnection) -> PerMessageDeflate:
    [extension] = peer.protocol.extensions
    assert isinstance(extension, PerMessageDeflate)
    return extension


@pytest.fixture(scope='module', params=['on', 'takeover'])
def compressing(request: pytest.FixtureRequest) -> Iterator[tuple[str, Server]]:
    server = Server(f'--deflate={request.param}')
    yield request.param, server
    server.stop()


@pytest.mark.parametrize('options', OPTIONS, ids=str)
def test_a_client_with_any_parameters(compressing: tuple[str, Server], options: dict[str, object]) -> None:
    mode, server = compressing
    factory = ClientPerMessageDeflateFactory(**options)  # type: ignore[arg-type]
    with connect(server.ws('/echo'), extensions=[factory]) as peer:
        extension = agreed(peer)
        if mode == 'on':
            assert extension.remote_no_context_takeover and extension.local_no_context_takeover
        else:
            assert extension.remote_no_context_takeover == bool(options.get('server_no_context_takeover'))
            assert extension.remote_max_window_bits == min(12, options.get('server_max_window_bits') or 15)
        for message in MESSAGES:
            peer.send(message)
            assert peer.recv(SOON) == message
        # In fragments, of which some are empty.
        for message in MESSAGES:
            peer.send(fragments(message))
            assert peer.recv(SOON) == message
    # And back in fragments.
    with connect(server.ws('/echo?frame=5000'), extensions=[factory]) as peer:
        agreed(peer)
        for message in MESSAGES:
            peer.send(message)
            assert peer.recv(SOON) == message


def test_small_messages_shrink_with_takeover(serve: Callable[..., Server]) -> None:
    server = serve('--deflate=takeover')
    with Wire(server.address) as wire:
        wire.upgrade('/echo', OFFER)
        for price in range(20):
            message = f'{{"type":"update","symbol":"ACME","price":{price},"open":true}}'.encode()
            wire.send_frame(TEXT, message)
            answer = wire.read_message()
        assert answer.rsv == 4
        assert len(answer.payload) < len(message) // 3


def test_it_can_be_turned_off(serve: Callable[..., Server]) -> None:
    server = serve('--deflate=off')
    with connect(server.ws('/echo')) as peer:
        assert peer.protocol.extensions == []
        peer.send(records(5000))
        assert peer.recv(SOON) == records(5000)


def test_many_at_once_do_not_mix(compressing: tuple[str, Server]) -> None:
    _, server = compressing
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(connect(server.ws('/echo'))) for _ in range(20)]
        for turn, (number, peer) in itertools.product(range(10), enumerate(peers)):
            peer.send([records(2000, number), records(2000, turn)])
            peer.send(records(3000, number + turn))
        for turn, (number, peer) in itertools.product(range(10), enumerate(peers)):
            assert peer.recv(SOON) == records(2000, number) + records(2000, turn)
            assert peer.recv(SOON) == records(3000, number + turn)


def test_a_broadcast_reaches_all_kinds(compressing: tuple[str, Server]) -> None:
    _, server = compressing
    kinds: list[dict[str, object]] = [
        {'compression': None}, {},
        {'extensions': [ClientPerMessageDeflateFactory(server_max_window_bits=9)]},
        {'extensions': [ClientPerMessageDeflateFactory(server_no_context_takeover=True)]}]
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(connect(server.ws('/broadcast'), **kind)) for kind in kinds * 3]
        for turn in range(10):
            message = records(1500, turn)
            peers[turn].send(message)
            for peer in peers:
                assert peer.recv(SOON) == message


SPOKEN = [message for message in MESSAGES if isinstance(message, bytes)]


@contextlib.contextmanager
def echoing(seen: list[ServerConnection], heard: list[str | bytes], **options: object) -> Iterator[str]:
    def echo(peer: ServerConnection) -> None:
        seen.append(peer)
        if peer.request and peer.request.path == '/speak':
            for message in SPOKEN:
                peer.send(message)
                peer.send(fragments(message))
            return
        for message in peer:
            heard.append(message)
            # It answers nothing any more once it has been sent a Close.
            with contextlib.suppress(ConnectionClosedOK):
                peer.send(fragments(message) if len(heard) % 2 else message)

    # All of a short conversation may come in one read, its Close too: a queue that is full then loses the rest.
    with serve_plainly(echo, '127.0.0.1', 0, max_size=None, max_queue=None, **options) as server:  # type: ignore[arg-type]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f'ws://127.0.0.1:{server.socket.getsockname()[1]}/'
        finally:
            server.shutdown()
            thread.join(SOON)


def lines(*arguments: str, stdin: bytes) -> Process:
    process = Process([binary(), 'connect', *arguments], stdin=stdin)
    assert process.wait(30) == 0, process.stderr()
    return process


@pytest.mark.parametrize('options', OPTIONS, ids=str)
def test_our_client_and_a_server_with_any_parameters(options: dict[str, object]) -> None:
    # What a client may not be asked for is not asked for.
    options = {name: value for name, value in options.items() if name != 'client_max_window_bits' or value is not True}
    factory = ServerPerMessageDeflateFactory(**options)  # type: ignore[arg-type]
    seen: list[ServerConnection] = []
    heard: list[str | bytes] = []
    # The last one is long enough to go out in fragments.
    texts = [*(message for message in MESSAGES if isinstance(message, str)), records(5 << 19, 3)]
    stdin = ''.join(text + '\n' for text in texts).encode()
    with echoing(seen, heard, extensions=[factory], compression=None) as url:
        process = lines(url, '--count', str(len(texts)), stdin=stdin)
        assert process.stdout() == stdin
        assert heard == texts
        agreed(seen[0])
        heard.clear()
        data = random.Random(2).randbytes(50_000) + bytes(1 << 20)
        lines(url, '--binary', stdin=data)
        # It answers a Close before it has looked at all that came before.
        eventually(lambda: sum(map(len, heard)) >= len(data), 'it has heard everything')
        assert b''.join(heard) == data  # type: ignore[arg-type]
        process = Process([binary(), 'connect', '--binary', url + 'speak'], stdin=None)
        try:
            assert process.wait(30) == 0, process.stderr()
            assert process.stdout() == b''.join(message * 2 for message in SPOKEN)
        finally:
            process.kill()
        assert all(agreed(peer) for peer in seen) and len(seen) == 3


def test_our_client_offers_it_unless_told_not_to() -> None:
    seen: list[ServerConnection] = []
    with echoing(seen, []) as url:
        told = lines(url, '--count', '1', '-v', stdin=b'x\n').stderr()
        agreed(seen[0])
        assert f'connected to {url}, deflate, windows 12/12\n' in told, told
        told = lines(url, '--count', '1', '-v', '--no-deflate', stdin=b'x\n').stderr()
        assert seen[1].protocol.extensions == []
        assert f'connected to {url}\n' in told, told


@pytest.mark.parametrize('frames', [1, 100])
def test_a_bomb_is_1009_and_memory_is_bounded(
        compressing: tuple[str, Server], measured: Callable[[str], None], frames: int) -> None:
    mode, server = compressing
    bomb = deflate(bytes(256 << 20))
    size = -(-len(bomb) // frames)
    pieces = [bomb[start:start + size] for start in range(0, len(bomb), size)]
    data = b''.join(
        frame(CONTINUATION if number else BINARY, piece, rsv=0 if number else 4, fin=number + 1 == len(pieces))
        for number, piece in enumerate(pieces))
    with Wire(server.address) as wire:
        wire.upgrade('/echo', OFFER)
        before = server.resident()
        wire.send_unless_closed(data)
        assert wire.read_close().code == 1009
        grown = server.resident() - before
        measured(f'256 MiB of zeros in {len(data) >> 10} KiB, {frames} frames ({mode}): {grown >> 20} MiB of memory')
        assert grown < 48 << 20


@pytest.mark.parametrize('payload', [
    b'\x06', b'\xff' * 40, b'no DEFLATE at all', deflate(records(5000).encode())[:500], b'\xf2\0\x11\0\0'],
    ids=['reserved kind of block', 'ones', 'text', 'cut off', 'reference to nothing'])
def test_broken_data_is_1007(compressing: tuple[str, Server], payload: bytes) -> None:
    _, server = compressing
    with Wire(server.address) as wire:
        wire.upgrade('/echo', OFFER)
        wire.send_frame(BINARY, payload, rsv=4)
        assert wire.read_close().code == 1007
        wire.read_to_end()


@pytest.mark.parametrize('data', [
    frame(PING, b'', rsv=4), frame(TEXT, b'', fin=False) + frame(CONTINUATION, b'\0', rsv=4),
    frame(TEXT, b'', fin=False, rsv=4) + frame(CONTINUATION, b'\0', rsv=4), frame(TEXT, b'\0', rsv=6)],
    ids=['ping', 'continuation', 'another one', 'RSV2'])
def test_reserved_bits_elsewhere_are_1002(compressing: tuple[str, Server], data: bytes) -> None:
    _, server = compressing
    with Wire(server.address) as wire:
        wire.upgrade('/echo', OFFER)
        wire.send(data)
        assert wire.read_close().code == 1002
        wire.read_to_end()


@pytest.mark.parametrize('payload', [
    b'', b'\0', b'\x03\0', b'\xf3\x48\xcd\xc9\xc9\x07\0', b'\xf3\x48\xcd\xc9\xc9\x07\0\0',
    b'\0\5\0\xfa\xffHello', b'\0\5\0\xfa\xffHello\0'],
    ids=['nothing', 'empty', 'empty and final', 'final', 'final and empty', 'stored', 'stored and empty'])
def test_whatever_zlib_lets_others_send(compressing: tuple[str, Server], payload: bytes) -> None:
    _, server = compressing
    with Wire(server.address) as wire:
        wire.upgrade('/echo', OFFER)
        for _ in range(3):
            wire.send_frame(TEXT, payload, rsv=4)
            wire.send_frame(TEXT, deflate(b'and then'), rsv=4)
            assert wire.read_message().payload == (b'Hello' if len(payload) > 2 else b'')
            assert wire.read_message().payload == b'and then'


@pytest.mark.parametrize('offer', [
    'permessage-deflate; server_max_window_bits=7', 'permessage-deflate; server_max_window_bits=010',
    'permessage-deflate; client_max_window_bits=-15', 'permessage-deflate; server_no_context_takeover=1',
    'permessage-deflate; client_no_context_takeover; client_no_context_takeover', 'permessage-deflate; constructor',
    'permessage-deflate; server_max_window_bits=4294967305', 'permessage-deflate; server_max_window_bits="10',
    'x-webkit-deflate-frame', ', '.join(['x-unknown'] * 150)])
def test_bad_offers_are_declined_and_the_next_one_is_taken(compressing: tuple[str, Server], offer: str) -> None:
    _, server = compressing
    with Wire(server.address) as wire:
        answer = wire.upgrade('/echo', f'Sec-WebSocket-Extensions: {offer}')
        assert answer.header('sec-websocket-extensions') is None
    if '"' not in offer:
        with Wire(server.address) as wire:
            answer = wire.upgrade('/echo', f'Sec-WebSocket-Extensions: {offer}, permessage-deflate')
            assert (answer.header('sec-websocket-extensions') or '').startswith('permessage-deflate')


def test_connections_at_rest_keep_their_windows_and_no_more(
        serve: Callable[..., Server], measured: Callable[[str], None]) -> None:
    count = 500
    for mode, most in [('off', 8 << 10), ('on', 8 << 10), ('takeover', 20 << 10)]:
        server = serve(f'--deflate={mode}')
        with contextlib.ExitStack() as stack:
            def talk(peer: ClientConnection) -> None:
                for seed in range(4):
                    peer.send(records(4000, seed))
                    assert peer.recv(SOON) == records(4000, seed)
            talk(stack.enter_context(connect(server.ws('/echo'))))
            before = server.resident()
            peers = [stack.enter_context(connect(server.ws('/echo'))) for _ in range(count)]
            for peer in peers:
                talk(peer)
            each = (server.resident() - before) / count
            measured(f'--deflate={mode}: {each:.0f} bytes for a connection that has talked')
            assert each < most
        eventually(lambda: server.descriptors() < 50, 'all are gone')


def test_a_broadcast_is_compressed_once(serve: Callable[..., Server], measured: Callable[[str], None]) -> None:
    """1 KiB of JSON to 1,000 subscribers: what compression adds to the server's processor time."""
    raise_file_limit()
    count, turns = 1000, 40
    message = records(1024).encode()
    server = serve()

    def spent(*extra: str) -> float:
        """Seconds for all turns. Each waits until everybody has got everything."""
        with contextlib.ExitStack() as stack:
            wires = [stack.enter_context(Wire(server.address)) for _ in range(count)]
            for wire in wires:
                wire.upgrade('/broadcast', *extra)
            lengths = set()
            begin = server.processor_seconds()
            for _ in range(turns):
                wires[0].send_frame(TEXT, message)
                for wire in wires:
                    lengths.add(len(wire.read_frame().payload))
            assert len(lengths) == 1 and (lengths.pop() < len(message)) == bool(extra)
            return server.processor_seconds() - begin

    rounds = [(spent(), spent(OFFER)) for _ in range(3)]
    ratio = min(deflated for _, deflated in rounds) / min(plain for plain, _ in rounds)
    measured(f'a broadcast of 1 KiB to {count} compressed subscribers costs {ratio:.2f} times the plain one')
    assert ratio < 1.5, rounds
