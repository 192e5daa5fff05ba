"""Compression with libwebsockets in both roles: `libwebsockets/peer.c`, as its own test programs agree to none.

Two faults of it (4.1.6) bound what can be asked of its client. It spins on an uncompressed message that is not empty
(libwebsockets #2794), so that all that comes back here is long enough to be compressed; which also means that what it
takes was compressed. And it aborts when it is to send an empty message and kept a context, so that the empty ones go
first, or without takeover.
"""
from __future__ import annotations

import dataclasses
import os
import random
import re
from collections.abc import Iterator

import pytest

from harness import Process, Server, binary, eventually
from test_deflate import records

OFFERS = [
    'permessage-deflate',
    'permessage-deflate; client_max_window_bits',
    'permessage-deflate; server_no_context_takeover; client_no_context_takeover',
    'permessage-deflate; server_no_context_takeover; client_max_window_bits',
    'permessage-deflate; client_no_context_takeover',
    *(f'permessage-deflate; server_max_window_bits={bits}; client_max_window_bits={bits}' for bits in range(9, 16)),
]


@dataclasses.dataclass
class Message:
    data: str | bytes
    fragments: int = 1

    def __bytes__(self) -> bytes:
        data = self.data.encode() if isinstance(self.data, str) else self.data
        kind = 't' if isinstance(self.data, str) else 'b'
        return f'{kind} {len(data)} {self.fragments}\n'.encode() + data

    @classmethod
    def all(cls, data: bytes) -> Iterator[Message]:
        while data:
            head, _, rest = data.partition(b'\n')
            kind, length, fragments = head.decode().split()
            piece, data = rest[:int(length)], rest[int(length):]
            yield cls(piece.decode() if kind == 't' else piece, int(fragments))


MESSAGES = [
    Message(records(1024)), Message(records(1024)), Message(bytes(5000)), Message(records(70_000), 3),
    Message(records(3000).encode(), 2), Message('grüße ' * 500, 5), Message(records(1 << 20, 2)),
    Message(records(1 << 20, 2).encode()), Message(records(1 << 20, 3), 4)]
EMPTY = [Message(''), Message(b'')]


def peer(*arguments: str, stdin: bytes | None = None) -> Process:
    program = os.environ.get('LIBWEBSOCKETS_PEER')
    if not program:
        raise RuntimeError('LIBWEBSOCKETS_PEER is not set: `cargo xtask peers` sets it')
    return Process([program, *arguments], stdin=stdin)


def talk(server: Server, path: str, offer: str, messages: list[Message]) -> tuple[str, list[Message]]:
    """What the server says of extensions, and what comes back."""
    process = peer('connect', str(server.address[1]), path, offer, stdin=b''.join(map(bytes, messages)))
    try:
        assert process.wait(30) == 0, process.stderr()
        told = re.search(r'extensions: (.*)', process.stderr())
        assert told, process.stderr()
        return told[1], list(Message.all(process.stdout()))
    finally:
        process.kill()


@pytest.fixture(scope='module', params=['on-epoll', 'on-uring', 'takeover-poll', 'takeover-uring'])
def compressing(request: pytest.FixtureRequest) -> Iterator[Server]:
    mode, driver = request.param.split('-')
    server = Server(f'--deflate={mode}', '--driver', driver)
    yield server
    server.stop()


@pytest.mark.parametrize('offer', OFFERS)
def test_their_client_with_any_offer(compressing: Server, offer: str) -> None:
    for path in ['/echo', '/echo?frame=5000']:
        extensions, answers = talk(compressing, path, offer, MESSAGES)
        assert extensions.startswith('permessage-deflate'), extensions
        assert [answer.data for answer in answers] == [message.data for message in MESSAGES]


@pytest.mark.parametrize('empty', EMPTY, ids=['text', 'binary'])
def test_their_client_sends_empty_messages(compressing: Server, empty: Message) -> None:
    for offer, messages in [
            (OFFERS[0], [empty, *MESSAGES[:5]]),
            (OFFERS[2], [*MESSAGES[:3], empty, empty, *MESSAGES[3:], empty])]:
        extensions, answers = talk(compressing, '/echo', offer, messages)
        assert extensions.startswith('permessage-deflate'), extensions
        assert [answer.data for answer in answers] == [message.data for message in messages]


@pytest.fixture(scope='module')
def url() -> Iterator[str]:
    process = peer('serve')
    try:
        yield f'ws://127.0.0.1:{process.line().removeprefix("listening ")}/'
    finally:
        process.kill()


def connect(*arguments: str, stdin: bytes) -> tuple[bytes, str]:
    process = Process([binary(), 'connect', '-v', *arguments], stdin=stdin)
    try:
        assert process.wait(30) == 0, process.stderr()
        return process.stdout(), process.stderr()
    finally:
        process.kill()


def test_our_client_sends_text_to_their_server(url: str) -> None:
    # The last line is long enough to go out in fragments.
    lines = ['', 'short', records(1024), '', records(1024), 'grüße ' * 500, records(70_000), records(1 << 20, 2),
             records(5 << 19, 3)]
    stdin = ''.join(line + '\n' for line in lines).encode()
    stdout, told = connect(url, '--count', str(len(lines)), stdin=stdin)
    assert stdout == stdin
    assert f'* connected to {url}, deflate\n' in told, told
    # Ours compresses from 1 KiB on, theirs whatever is not empty.
    sent = re.findall(r'(?m)^> frame text .*?( rsv1)? masked$', told)
    assert sent == ['', '', ' rsv1', '', *[' rsv1'] * 5], told
    assert re.search(r'(?m)^> frame continuation .* masked$', told), told
    got = re.findall(r'(?m)^< frame text len=\d+( rsv1)?( fin)?( rsv1)?$', told)
    assert len(got) == len(lines) and all('rsv1' in ''.join(frame) for frame in got), told
    assert re.search(r'(?m)^< frame continuation ', told), told


@pytest.mark.parametrize('data', [bytes(1 << 20), random.Random(2).randbytes(1 << 20), records(1 << 20).encode()],
                         ids=['zeros', 'noise', 'records'])
def test_our_client_sends_binary_to_their_server(url: str, data: bytes) -> None:
    process = Process([binary(), 'connect', '-v', '--binary', url], stdin=None)
    try:
        process.feed(data)
        # It forgets what it has not sent yet once it has got a Close.
        eventually(lambda: sum(map(len, process.out)) >= len(data), 'all of it is back', 30)
        process.feed(b'', last=True)
        assert process.wait() == 0, process.stderr()
        assert process.stdout() == data
        assert f'* connected to {url}, deflate\n' in process.stderr(), process.stderr()
    finally:
        process.kill()


def test_our_client_without_it(url: str) -> None:
    stdout, told = connect(url, '--no-deflate', '--count', '2', stdin=f'\n{records(5000)}\n'.encode())
    assert stdout == f'\n{records(5000)}\n'.encode()
    assert f'* connected to {url}\n' in told and 'rsv1' not in told, told
