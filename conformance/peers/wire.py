"""A peer that may break every rule: bytes on a TCP connection, frames made by hand."""
from __future__ import annotations

import dataclasses
import os
import socket
import struct
from collections.abc import Iterable
from types import TracebackType

from harness import SOON

TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10
KEY = 'dGhlIHNhbXBsZSBub25jZQ=='  # RFC 6455 section 1.3
ACCEPT = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo='


@dataclasses.dataclass
class Response:
    version: str
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        found = self.all(name)
        assert len(found) < 2, f'{name} more than once: {found}'
        return found[0] if found else None

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]


@dataclasses.dataclass
class Frame:
    fin: bool
    rsv: int
    opcode: int
    payload: bytes

    @property
    def code(self) -> int | None:
        """Of a Close frame; None when it is empty."""
        return struct.unpack('>H', self.payload[:2])[0] if self.payload else None


class Ended(Exception):
    """The peer ended the connection where more was due."""


def frame(opcode: int, payload: bytes = b'', *, fin: bool = True, rsv: int = 0, mask: bytes | None = b'\x11\x22\x33\x44',
          announce: int | None = None, form: int | None = None) -> bytes:
    """A frame, right or wrong. `announce` is a length to claim, `form` the bytes to write it in (0, 2, 8)."""
    length = len(payload) if announce is None else announce
    if form is None:
        form = 0 if length < 126 else 2 if length < 65536 else 8
    head = bytes([fin << 7 | rsv << 4 | opcode])
    masked = 0x80 if mask else 0
    if form == 0:
        head += bytes([masked | length])
    elif form == 2:
        head += bytes([masked | 126]) + struct.pack('>H', length)
    else:
        head += bytes([masked | 127]) + struct.pack('>Q', length)
    if not mask:
        return head + payload
    return head + mask + masking(payload, mask)


def masking(payload: bytes, mask: bytes) -> bytes:
    stream = (mask * (len(payload) // 4 + 1))[:len(payload)]
    return (int.from_bytes(payload, 'big') ^ int.from_bytes(stream, 'big')).to_bytes(len(payload), 'big')


def close_payload(code: int, reason: bytes = b'') -> bytes:
    return struct.pack('>H', code) + reason


def upgrade(host: str, path: str = '/echo', *extra: str, key: Iterable[str] = (KEY,), version: Iterable[str] = ('13',),
            connection: Iterable[str] = ('Upgrade',), to: Iterable[str] = ('websocket',), method: str = 'GET',
            http: str = 'HTTP/1.1') -> bytes:
    """An upgrade request; each field may be there never, once or more often."""
    lines = [f'{method} {path} {http}', f'Host: {host}']
    lines += [f'Upgrade: {value}' for value in to]
    lines += [f'Connection: {value}' for value in connection]
    lines += [f'Sec-WebSocket-Key: {value}' for value in key]
    lines += [f'Sec-WebSocket-Version: {value}' for value in version]
    lines += extra
    return ('\r\n'.join(lines) + '\r\n\r\n').encode('latin-1')


class Wire:
    """One connection. Every read fails after SOON seconds."""

    def __init__(self, address: tuple[str, int] | str, *, receive_buffer: int | None = None, seconds: float = SOON):
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET6 if ':' in address[0] else socket.AF_INET
        self.socket = socket.socket(family)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(seconds)
        self.socket.connect(address)
        self.host = 'localhost' if isinstance(address, str) else f'{address[0]}:{address[1]}'
        self.pending = b''

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def send_unless_closed(self, data: bytes) -> None:
        """For what the peer may rightly stop to read in the middle of."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def finish(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Closes with RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        self.socket.close()

    def more(self) -> bool:
        data = self.socket.recv(65536)
        self.pending += data
        return bool(data)

    def take(self, count: int) -> bytes:
        parts, have = [self.pending], len(self.pending)
        while have < count:
            data = self.socket.recv(min(1 << 20, count - have))
            if not data:
                self.pending = b''.join(parts)
                raise Ended(f'{have} of {count} bytes: {self.pending[:200]!r}')
            parts.append(data)
            have += len(data)
        everything = b''.join(parts)
        self.pending = everything[count:]
        return everything[:count]

    def take_until(self, mark: bytes) -> bytes:
        while mark not in self.pending:
            if not self.more():
                raise Ended(f'no {mark!r} in {self.pending[:200]!r}')
        found, self.pending = self.pending.split(mark, 1)
        return found

    def read_to_end(self) -> bytes:
        """All that comes until the peer has closed, be it with FIN or RST."""
        try:
            while self.more():
                pass
        except ConnectionResetError:
            pass
        rest, self.pending = self.pending, b''
        return rest

    # HTTP

    def read_response(self, head: bool = False) -> Response:
        lines = self.take_until(b'\r\n\r\n').decode('latin-1').split('\r\n')
        version, status, *_ = lines[0].split(' ', 2)
        headers = [(name, value.strip()) for name, _, value in (line.partition(':') for line in lines[1:])]
        response = Response(version, int(status), headers, b'')
        if head or response.status in (101, 204, 304):
            return response
        if response.header('transfer-encoding') == 'chunked':
            while size := int(self.take_until(b'\r\n'), 16):
                response.body += self.take(size)
                assert self.take(2) == b'\r\n'
            assert self.take_until(b'\r\n') == b''
        elif (length := response.header('content-length')) is not None:
            response.body = self.take(int(length))
        else:
            response.body = self.read_to_end()
        return response

    # WebSocket

    def upgrade(self, path: str = '/echo', *extra: str) -> Response:
        self.send(upgrade(self.host, path, *extra))
        response = self.read_response()
        assert response.status == 101, response
        assert response.header('sec-websocket-accept') == ACCEPT
        return response

    def send_frame(self, opcode: int, payload: bytes = b'', **options: object) -> None:
        options.setdefault('mask', os.urandom(4))
        self.send(frame(opcode, payload, **options))  # type: ignore[arg-type]

    def read_frame(self) -> Frame:
        first, second = self.take(2)
        assert not second & 0x80, 'a server masks no frame'
        length = second & 0x7f
        if length == 126:
            length, = struct.unpack('>H', self.take(2))
            assert length > 125
        elif length == 127:
            length, = struct.unpack('>Q', self.take(8))
            assert length > 65535
        return Frame(bool(first & 0x80), first >> 4 & 7, first & 15, self.take(length))

    def read_message(self) -> Frame:
        """The next message, its fragments put together; control frames are passed over."""
        whole: Frame | None = None
        while True:
            part = self.read_frame()
            if part.opcode >= CLOSE:
                assert part.opcode != CLOSE, f'closed: {part}'
                continue
            if whole is None:
                assert part.opcode != CONTINUATION
                whole = part
            else:
                assert part.opcode == CONTINUATION
                whole.payload += part.payload
            if part.fin:
                whole.fin = True
                return whole

    def read_close(self) -> Frame:
        """The Close frame that has to come now; whatever came before it would fail this."""
        close = self.read_frame()
        assert close.opcode == CLOSE, close
        return close
