"""Frames that break the rules: each gets its close code, at the header where the header tells it,
and the connection ends."""
import pytest

from harness import Server, eventually
from wire import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Ended, Wire, close_payload, frame

PROTOCOL, INVALID, TOO_BIG = 1002, 1007, 1009
LIMIT = 16 << 20

# What the wire sees, and the code it must get. Nothing follows, so whoever waits for more hangs.
BAD = {
    'unmasked': (frame(TEXT, b'hi', mask=None), PROTOCOL),
    'RSV1': (frame(TEXT, b'hi', rsv=4), PROTOCOL),
    'RSV2': (frame(TEXT, b'hi', rsv=2), PROTOCOL),
    'RSV3': (frame(TEXT, b'hi', rsv=1), PROTOCOL),
    'RSV1 on a ping': (frame(PING, b'hi', rsv=4), PROTOCOL),
    'fragmented ping': (frame(PING, b'hi', fin=False), PROTOCOL),
    'fragmented close': (frame(CLOSE, close_payload(1000), fin=False), PROTOCOL),
    'ping of 126 bytes': (frame(PING, b'', announce=126), PROTOCOL),
    'pong of 64 KiB': (frame(PONG, b'', announce=65536), PROTOCOL),
    'close of 126 bytes': (frame(CLOSE, b'', announce=126), PROTOCOL),
    'continuation of nothing': (frame(CONTINUATION, b'hi'), PROTOCOL),
    'continuation of a whole message': (frame(CONTINUATION, b'', fin=False), PROTOCOL),
    'a message within a message': (frame(TEXT, b'a', fin=False) + frame(BINARY, b'b'), PROTOCOL),
    'length 125 in two bytes': (frame(TEXT, bytes(125), form=2), PROTOCOL),
    'length 65535 in eight bytes': (frame(TEXT, b'', announce=65535, form=8), PROTOCOL),
    'length 0 in eight bytes': (frame(TEXT, b'', form=8), PROTOCOL),
    'length 2^63': (frame(TEXT, b'', announce=1 << 63), PROTOCOL),
    'length 2^64 - 1': (frame(BINARY, b'', announce=(1 << 64) - 1), PROTOCOL),
    'length 2^62': (frame(BINARY, b'', announce=1 << 62), TOO_BIG),
    'one byte too long': (frame(BINARY, b'', announce=LIMIT + 1), TOO_BIG),
    'too long in fragments': (
        frame(BINARY, bytes(1024), fin=False) + frame(CONTINUATION, b'', announce=LIMIT - 1023), TOO_BIG),
    'close of one byte': (frame(CLOSE, b'\x03'), PROTOCOL),
    'close with a reason in bad UTF-8': (frame(CLOSE, close_payload(1000, b'\xc3\x28')), INVALID),
    'close with a reason cut amid a character': (frame(CLOSE, close_payload(1000, b'\xe2\x82')), INVALID),
    'text: lone continuation byte': (frame(TEXT, b'\x80'), INVALID),
    'text: overlong': (frame(TEXT, b'\xc0\xaf'), INVALID),
    'text: surrogate': (frame(TEXT, b'\xed\xa0\x80'), INVALID),
    'text: above U+10FFFF': (frame(TEXT, b'\xf4\x90\x80\x80'), INVALID),
    'text: cut amid a character': (frame(TEXT, b'\xe2\x82'), INVALID),
    'text: cut amid a character in the last fragment': (
        frame(TEXT, b'\xe2', fin=False) + frame(CONTINUATION, b'\x82'), INVALID),
    'text: bad in the second fragment, more to come': (
        frame(TEXT, b'\xe2\x82', fin=False) + frame(CONTINUATION, b'\x28', fin=False), INVALID),
    'text: bad at the start of a frame that is not all there': (
        frame(TEXT, b'\xff', announce=100), INVALID),
}
BAD |= {f'opcode {opcode}': (frame(opcode, b'', announce=10), PROTOCOL) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)}
BAD |= {f'close code {code}': (frame(CLOSE, close_payload(code)), PROTOCOL)
        for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535)}


@pytest.mark.parametrize('name', BAD)
def test_a_bad_frame_gets_its_code_and_the_connection_ends(server: Server, name: str) -> None:
    data, code = BAD[name]
    with Wire(server.address) as wire:
        wire.upgrade()
        wire.send(data)
        assert wire.read_close().code == code
        assert wire.read_to_end() == b'', 'one Close frame, and nothing behind it'


@pytest.mark.parametrize('name', ['unmasked', 'RSV1', 'opcode 3', 'length 2^63', 'one byte too long'])
def test_what_came_before_is_delivered_what_comes_after_is_not(server: Server, name: str) -> None:
    data, code = BAD[name]
    with Wire(server.address) as wire:
        wire.upgrade()
        wire.send(frame(TEXT, b'before') + data + frame(TEXT, b'after') + frame(CLOSE, close_payload(1000)))
        assert wire.read_message().payload == b'before'
        assert wire.read_close().code == code
        assert wire.read_to_end() == b''


def test_bad_frames_byte_by_byte(server: Server) -> None:
    for name in ('unmasked', 'ping of 126 bytes', 'length 2^62', 'text: surrogate', 'a message within a message'):
        data, code = BAD[name]
        with Wire(server.address) as wire:
            wire.upgrade()
            for byte in data:
                wire.send_unless_closed(bytes([byte]))
            assert wire.read_close().code == code, name


@pytest.mark.parametrize('code', [1000, 1001, 1003, 1011, 3000, 4999])
def test_a_good_close_is_echoed_and_tcp_is_ended_by_the_server(server: Server, code: int) -> None:
    with Wire(server.address) as wire:
        wire.upgrade()
        wire.send_frame(CLOSE, close_payload(code, 'bye ✓'.encode()))
        assert wire.read_close().code == code
        assert wire.read_to_end() == b''


def test_an_empty_close_is_answered_with_an_empty_one_or_1000(server: Server) -> None:
    with Wire(server.address) as wire:
        wire.upgrade()
        wire.send_frame(CLOSE)
        assert wire.read_close().code in (None, 1000)
        assert wire.read_to_end() == b''


def test_nothing_after_a_close_counts(server: Server) -> None:
    with Wire(server.address) as wire:
        wire.upgrade()
        wire.send(frame(CLOSE, close_payload(1000)) + frame(TEXT, b'late') + frame(PING, b'late')
                  + frame(CLOSE, close_payload(1001)) + frame(3, b'rubbish'))
        assert wire.read_close().code == 1000
        assert wire.read_to_end() == b''


def test_control_frames_amid_a_message(server: Server) -> None:
    with Wire(server.address) as wire:
        wire.upgrade()
        wire.send(frame(TEXT, b'one ', fin=False) + frame(PING, b'p') + frame(CONTINUATION, b'', fin=False)
                  + frame(PONG, b'unasked for') + frame(CONTINUATION, b'two'))
        pong = wire.read_frame()
        assert (pong.opcode, pong.payload) == (PONG, b'p')
        assert wire.read_message().payload == b'one two'


def test_a_character_may_be_cut_by_fragments(server: Server) -> None:
    text = 'a€𝄞'.encode()
    with Wire(server.address) as wire:
        wire.upgrade()
        for cut in range(len(text)):
            wire.send(frame(TEXT, text[:cut], fin=False) + frame(CONTINUATION, text[cut:]))
            assert wire.read_message().payload == text


def test_65536_fragments_are_a_message_131073_are_too_many(server: Server) -> None:
    with Wire(server.address) as wire:
        wire.upgrade()
        wire.send(frame(BINARY, b'x', fin=False) + frame(CONTINUATION, b'x', fin=False) * 65534 + frame(CONTINUATION, b'x'))
        assert wire.read_message().payload == b'x' * 65536
        wire.send_unless_closed(frame(BINARY, fin=False) + frame(CONTINUATION, fin=False) * 131_072)
        assert wire.read_close().code in (1008, TOO_BIG)


def test_a_half_message_is_never_delivered(server: Server) -> None:
    """Whatever way a connection ends, nobody sees the part that had come."""
    halves = [frame(TEXT, b'half', fin=False), frame(TEXT, b'hal', announce=4)]
    with Wire(server.address) as witness:
        witness.upgrade('/broadcast')
        for half in halves:
            for end in (Wire.finish, Wire.reset):
                with Wire(server.address) as wire:
                    wire.upgrade('/broadcast')
                    wire.send(half)
                    end(wire)
                    if end is Wire.finish:
                        wire.read_to_end()
        witness.send_frame(TEXT, b'whole')
        assert witness.read_message().payload == b'whole'


def test_every_end_gives_its_descriptor_back(server: Server) -> None:
    def used() -> int:
        return server.descriptors()

    def handshake_only(wire: Wire) -> None:
        wire.upgrade()

    def amid_a_frame(wire: Wire) -> None:
        wire.upgrade()
        wire.send(frame(TEXT, b'half', announce=100))

    def amid_the_head(wire: Wire) -> None:
        wire.send(b'GET /echo HTTP/1.1\r\nHost: ')

    def silent(wire: Wire) -> None:
        pass

    with Wire(server.address) as steady:
        steady.upgrade()
        steady.send_frame(PING, b'here')
        assert steady.read_frame().payload == b'here'
        before = used()
        for begin in (handshake_only, amid_a_frame, amid_the_head, silent):
            for end in (Wire.reset, Wire.finish):
                wires = [Wire(server.address) for _ in range(10)]
                for wire in wires:
                    begin(wire)
                    end(wire)
                eventually(lambda: used() <= before, f'{begin.__name__}, {end.__name__}: descriptors are given back')
                for wire in wires:
                    wire.socket.close()
        steady.send_frame(TEXT, b'well')
        assert steady.read_message().payload == b'well'


def test_random_bytes_end_only_their_own_connection(server: Server) -> None:
    state = 0x9E3779B9  # a fixed seed: a failure comes back
    for _ in range(200):
        noise = bytearray()
        for _ in range(64):
            state = (state * 1103515245 + 12345) & 0x7FFFFFFF
            noise.append(state >> 16 & 0xFF)
        with Wire(server.address) as wire:
            wire.upgrade()
            wire.send_unless_closed(bytes(noise))
            try:
                wire.finish()
            except OSError:
                pass
            wire.read_to_end()
    with Wire(server.address) as wire:
        wire.upgrade()
        wire.send_frame(TEXT, b'well')
        try:
            assert wire.read_message().payload == b'well'
        except Ended as error:
            pytest.fail(f'the server is gone: {error}')
