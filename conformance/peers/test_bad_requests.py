"""Request heads and opening handshakes that break the rules: the exact status, and nothing behind
a request whose end is in doubt is ever run."""
import pytest

from harness import Server
from wire import ACCEPT, KEY, TEXT, Ended, Response, Wire, frame, upgrade

# A second request that an attacker would like to see answered as one of his victim's.
SMUGGLED = b'GET /smuggled HTTP/1.1\r\nHost: victim\r\n\r\n'


def get(*lines: str, line: str = 'GET / HTTP/1.1', host: str = 'Host: here', body: bytes = b'') -> bytes:
    head = [line, *([host] if host else []), *lines]
    return '\r\n'.join(head).encode('latin-1') + b'\r\n\r\n' + body


# Bytes, and the statuses they may get. The connection has to end after the one answer.
BAD_SYNTAX = {
    'no Host': (get(host=''), {400}),
    'two Hosts': (get('Host: here'), {400}),
    'two different Hosts': (get('Host: there'), {400}),
    'Host with a blank': (get(host='Host: a b'), {400}),
    'Host with a slash': (get(host='Host: a/b'), {400}),
    'Host with an at-sign': (get(host='Host: user@here'), {400}),
    'Host with a bad port': (get(host='Host: here:port'), {400}),
    'two Hosts in an upgrade': (upgrade('here', '/echo', 'Host: there'), {400}),
    'version 2.0': (get(line='GET / HTTP/2.0'), {505}),
    'version 3.1': (get(line='GET / HTTP/3.1'), {505}),
    'version in lower case': (get(line='GET / http/1.1'), {400, 505}),
    'no version': (get(line='GET /'), {400}),
    'version without a dot': (get(line='GET / HTTP/11'), {400, 505}),
    'target with a blank': (get(line='GET /a b HTTP/1.1'), {400}),
    'target with a control character': (get(line='GET /a\x01b HTTP/1.1'), {400}),
    'target with NUL': (get(line='GET /a\0b HTTP/1.1'), {400}),
    'method that is no token': (get(line='G(T / HTTP/1.1'), {400}),
    'blank before the method': (get(line=' GET / HTTP/1.1'), {400}),
    'NUL in a value': (get('X: a\0b'), {400}),
    'bare CR in a value': (get('X: a\rb'), {400}),
    'bare CR that would make a header': (get('X: a\rY: b'), {400}),
    'control character in a value': (get('X: a\x01b'), {400}),
    'DEL in a value': (get('X: a\x7fb'), {400}),
    'blank before the colon': (get('X : a'), {400}),
    'tab before the colon': (get('X\t: a'), {400}),
    'folded line': (get('X: a', ' b'), {400}),
    'folded line with a tab': (get('X: a', '\tb'), {400}),
    'blank before the first header': (get(host=' Host: here'), {400}),
    'no colon': (get('X'), {400}),
    'empty name': (get(': a'), {400}),
    'name with a blank': (get('X Y: a'), {400}),
    'name with a parenthesis': (get('X(Y): a'), {400}),
    'name beyond ASCII': (get('Ü: a'), {400}),
    'TLS': (bytes.fromhex('16030100f1010000ed0303') + bytes(64), {400}),
    'HTTP/2 preface': (b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', {400, 505}),
}

BAD_FRAMING = {
    'Content-Length with Transfer-Encoding': (
        get('Content-Length: 5', 'Transfer-Encoding: chunked', line='POST / HTTP/1.1', body=b'0\r\n\r\n'), {400}),
    'Transfer-Encoding with Content-Length': (
        get('Transfer-Encoding: chunked', 'Content-Length: 5', line='POST / HTTP/1.1', body=b'0\r\n\r\n'), {400}),
    'two lengths': (get('Content-Length: 5', 'Content-Length: 6', line='POST / HTTP/1.1', body=b'hello'), {400}),
    'two lengths in a list': (get('Content-Length: 5, 6', line='POST / HTTP/1.1', body=b'hello'), {400}),
    'no length': (get('Content-Length:', line='POST / HTTP/1.1'), {400}),
    'length +5': (get('Content-Length: +5', line='POST / HTTP/1.1', body=b'hello'), {400}),
    'length -5': (get('Content-Length: -5', line='POST / HTTP/1.1', body=b'hello'), {400}),
    'length 0x5': (get('Content-Length: 0x5', line='POST / HTTP/1.1', body=b'hello'), {400}),
    'length 5 5': (get('Content-Length: 5 5', line='POST / HTTP/1.1', body=b'hello'), {400}),
    'length 5.0': (get('Content-Length: 5.0', line='POST / HTTP/1.1', body=b'hello'), {400}),
    'length 2^64': (get('Content-Length: 18446744073709551616', line='POST / HTTP/1.1'), {400, 413}),
    'length 2^64 + 5': (get('Content-Length: 18446744073709551621', line='POST / HTTP/1.1', body=b'hello'), {400, 413}),
    'unknown coding': (get('Transfer-Encoding: gzip', line='POST / HTTP/1.1'), {400, 501}),
    'coding xchunked': (get('Transfer-Encoding: xchunked', line='POST / HTTP/1.1'), {400, 501}),
    'chunked is not the last': (get('Transfer-Encoding: chunked, gzip', line='POST / HTTP/1.1'), {400, 501}),
    'chunked twice': (get('Transfer-Encoding: chunked, chunked', line='POST / HTTP/1.1'), {400, 501}),
    'coding with a vertical tab': (get('Transfer-Encoding: \x0bchunked', line='POST / HTTP/1.1'), {400}),
    'coding in HTTP/1.0': (get('Transfer-Encoding: chunked', line='POST / HTTP/1.0', body=b'0\r\n\r\n'), {400}),
}

# These answer at once (405), for nobody wants the body; the fault shows while it is passed over.
BAD_CHUNKS = {
    'size is no number': b'g\r\nhello\r\n0\r\n\r\n',
    'size with 0x': b'0x5\r\nhello\r\n0\r\n\r\n',
    'size with a sign': b'+5\r\nhello\r\n0\r\n\r\n',
    'size beyond 64 bits': b'10000000000000005\r\nhello\r\n0\r\n\r\n',
    'size missing': b'\r\nhello\r\n0\r\n\r\n',
    'data longer than its size': b'3\r\nhello\r\n0\r\n\r\n',
    'data ended by other bytes': b'5\r\nhelloXX0\r\n\r\n',
    'size ended by a bare CR': b'5\rhello\r\n0\r\n\r\n',
}


def only_answer(wire: Wire) -> Response:
    """The answer, after which the connection has to end."""
    response = wire.read_response()
    rest = wire.read_to_end()
    assert b'HTTP/1.' not in rest, f'a second answer: {rest[:80]!r}'
    return response


@pytest.mark.parametrize('name', BAD_SYNTAX | BAD_FRAMING)
def test_a_bad_request_gets_its_status_and_nothing_behind_it_is_run(server: Server, name: str) -> None:
    data, statuses = (BAD_SYNTAX | BAD_FRAMING)[name]
    with Wire(server.address) as wire:
        wire.send(data + SMUGGLED)
        response = only_answer(wire)
        assert response.status in statuses
        assert response.header('connection') == 'close'


@pytest.mark.parametrize('name', BAD_CHUNKS)
def test_smuggling_by_chunks(server: Server, name: str) -> None:
    with Wire(server.address) as wire:
        wire.send(get('Transfer-Encoding: chunked', line='POST / HTTP/1.1', body=BAD_CHUNKS[name] + SMUGGLED))
        assert only_answer(wire).status in (400, 405)


def test_bad_requests_byte_by_byte(server: Server) -> None:
    """The verdict does not depend on how the bytes arrive."""
    for name in ('two Hosts', 'folded line', 'bare CR in a value', 'version 2.0', 'length +5'):
        data, statuses = (BAD_SYNTAX | BAD_FRAMING)[name]
        with Wire(server.address) as wire:
            for byte in data:
                wire.send_unless_closed(bytes([byte]))
            assert only_answer(wire).status in statuses, name


@pytest.mark.parametrize('data', [get().replace(b'\r\n', b'\n'), b'\r\n' + get()], ids=['bare LF', 'empty line first'])
def test_what_may_be_taken_or_refused_is_the_same_however_it_comes(server: Server, data: bytes) -> None:
    statuses = set()
    for pieces in ([data], [data[:1], data[1:]], [data[i:i + 1] for i in range(len(data))]):
        with Wire(server.address) as wire:
            for piece in pieces:
                wire.send_unless_closed(piece)
            statuses.add(wire.read_response().status)
    assert statuses in ({200}, {400})


@pytest.mark.parametrize(('data', 'status'), [
    (get(line=f'GET /{"a" * 8191} HTTP/1.1'), 404),
    (get(line=f'GET /{"a" * 8192} HTTP/1.1'), 414),
    (get(*(f'X{i}: v' for i in range(99))), 200),
    (get(*(f'X{i}: v' for i in range(100))), 431),
    (get('X: ' + 'a' * 16000), 200),
    (get('X: ' + 'a' * 16384), 431),
    (b'GET / HTTP/1.1\r\nHost: here\r\nX: ' + b'a' * 20000, 431),
    (b'GET /' + b'a' * 20000, 414),
], ids=['target at its limit', 'target beyond', 'headers at their limit', 'one header more', 'head within its limit',
        'head beyond', 'a head without an end', 'a target without an end'])
def test_heads_are_bounded(server: Server, data: bytes, status: int) -> None:
    with Wire(server.address) as wire:
        wire.send_unless_closed(data)
        response = wire.read_response()
        assert response.status == status
        if status in (414, 431):
            assert wire.read_to_end() == b''


@pytest.mark.parametrize(('method', 'status'), [
    ('POST', 405), ('PUT', 405), ('DELETE', 405), ('PATCH', 405), ('get', 501), ('BREW', 501)])
def test_methods(server: Server, method: str, status: int) -> None:
    with Wire(server.address) as wire:
        wire.send(get('Content-Length: 0', line=f'{method} / HTTP/1.1'))
        response = wire.read_response()
        assert response.status == status
        if status == 405:
            assert {'GET', 'HEAD'} <= set(response.header('allow').replace(' ', '').split(','))


def test_an_unwanted_body_is_passed_over_or_ends_the_connection(server: Server) -> None:
    for method in ('GET', 'POST'):
        with Wire(server.address) as wire:
            body = b'GET /no HTTP/1.1\r\n\r\n'
            wire.send(get(f'Content-Length: {len(body)}', line=f'{method} / HTTP/1.1', body=body)
                      + get('Connection: close', line='GET /nothing-here HTTP/1.1'))
            assert wire.read_response().status == (200 if method == 'GET' else 405)
            rest = wire.read_to_end()
            assert rest == b'' or rest.startswith(b'HTTP/1.1 404 '), rest[:80]
            assert rest.count(b'HTTP/1.1 ') <= 1


def test_an_endless_unwanted_body_is_not_waited_for(server: Server) -> None:
    with Wire(server.address) as wire:
        wire.send(get('Content-Length: 10000000000', line='POST / HTTP/1.1'))
        wire.send_unless_closed(bytes(128 << 10))
        assert only_answer(wire).status in (405, 413)


def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    with Wire(server.address) as wire:
        wire.send(get() + get(line='HEAD / HTTP/1.1') + get(line='GET /missing HTTP/1.1') + get('Connection: close'))
        page = wire.read_response()
        assert page.status == 200
        head = wire.read_response(head=True)
        assert head.status == 200 and head.header('content-length') == page.header('content-length')
        assert wire.read_response().status == 404
        assert wire.read_response().body == page.body
        assert wire.read_to_end() == b''


def test_a_head_cut_at_any_byte_leaves_the_server_well(server: Server) -> None:
    head = upgrade(server.host)
    for cut in range(len(head)):
        with Wire(server.address) as wire:
            wire.send(head[:cut])
            wire.finish()
            answer = wire.read_to_end()
            assert answer == b'' or answer.startswith(b'HTTP/1.1 400 '), answer[:80]


# The opening handshake

GOOD_HANDSHAKES = {
    'as it should be': {},
    'Connection as a list': {'connection': ['keep-alive, Upgrade']},
    'Connection in another case': {'connection': ['upGRADE']},
    'Connection on two lines': {'connection': ['keep-alive', 'Upgrade']},
    'Upgrade as a list': {'to': ['h2c, WebSocket']},
    'Upgrade on two lines': {'to': ['h2c', 'websocket']},
    'key with blanks around it': {'key': [f'  {KEY}\t']},
    'absolute target': {'path': 'http://here/echo'},
    'a query': {'path': '/echo?a=b'},
}

BAD_HANDSHAKES = {
    'no key': ({'key': []}, {400}),
    'empty key': ({'key': ['']}, {400}),
    'two keys': ({'key': [KEY, KEY]}, {400}),
    'key of 15 bytes': ({'key': ['AAAAAAAAAAAAAAAAAAAA']}, {400}),
    'key of 17 bytes': ({'key': ['AAAAAAAAAAAAAAAAAAAAAAA=']}, {400}),
    'key that is no base64': ({'key': ['dGhlIHNhbXBsZSBub25jZ!==']}, {400}),
    'key with a blank in it': ({'key': ['dGhlIHNhbXBs ZSBub25jZQ==']}, {400}),
    'key without padding': ({'key': [KEY.rstrip('=')]}, {400}),
    'no version': ({'version': []}, {400, 426}),
    'version 12': ({'version': ['12']}, {426}),
    'version 8': ({'version': ['8']}, {426}),
    'version 13abc': ({'version': ['13abc']}, {400, 426}),
    'version +13': ({'version': ['+13']}, {400, 426}),
    'version 013': ({'version': ['013']}, {400, 426}),
    'version 2^32 + 13': ({'version': ['4294967309']}, {400, 426}),
    'version 2^8 + 13': ({'version': ['269']}, {400, 426}),
    'two versions': ({'version': ['13', '8']}, {400, 426}),
    'Upgrade: websocketx': ({'to': ['websocketx']}, {400, 404, 426}),
    'Upgrade: h2c': ({'to': ['h2c']}, {400, 404, 426}),
    'no Upgrade': ({'to': []}, {400, 404, 426}),
    'Connection: noupgrade': ({'connection': ['noupgrade']}, {400, 404, 426}),
    'no Connection': ({'connection': []}, {400, 404, 426}),
    'POST': ({'method': 'POST'}, {400, 405}),
    'HTTP/1.0': ({'http': 'HTTP/1.0'}, {400, 404, 426, 505}),
}


@pytest.mark.parametrize('name', GOOD_HANDSHAKES)
def test_a_good_handshake(server: Server, name: str) -> None:
    with Wire(server.address) as wire:
        wire.send(upgrade(wire.host, **{'path': '/echo', **GOOD_HANDSHAKES[name]}))
        response = wire.read_response()
        assert response.status == 101
        assert response.header('sec-websocket-accept') == ACCEPT
        assert response.header('upgrade').lower() == 'websocket'
        assert response.header('connection').lower() == 'upgrade'
        wire.send_frame(TEXT, b'hi')
        assert wire.read_message().payload == b'hi'


@pytest.mark.parametrize('name', BAD_HANDSHAKES)
def test_a_bad_handshake_gets_its_status(server: Server, name: str) -> None:
    fields, statuses = BAD_HANDSHAKES[name]
    with Wire(server.address) as wire:
        wire.send(upgrade(wire.host, **fields))
        response = wire.read_response()
        assert response.status in statuses
        if 'version' in fields:
            assert response.header('sec-websocket-version') == '13'


@pytest.mark.parametrize('offer', ['', ' ' * 4000, ',,,', 'a b', '"echo"', 'ECHO', 'x' * 4000, 'echo\x00'])
def test_an_odd_subprotocol_offer_is_never_agreed_to(server: Server, offer: str) -> None:
    with Wire(server.address) as wire:
        wire.send(upgrade(wire.host, '/echo', f'Sec-WebSocket-Protocol: {offer}'))
        response = wire.read_response()
        assert response.status in (101, 400)
        assert response.header('sec-websocket-protocol') is None


@pytest.mark.parametrize('offer', [
    'x-unknown', 'constructor', '__proto__; hasOwnProperty', 'a; b="unclosed', 'permessage-deflate; server_max_window_bits=99',
    ', '.join(['permessage-deflate'] * 150), '', ' ' * 4000])
def test_an_odd_extension_offer_is_passed_over(server: Server, offer: str) -> None:
    with Wire(server.address) as wire:
        wire.send(upgrade(wire.host, '/echo', f'Sec-WebSocket-Extensions: {offer}'))
        response = wire.read_response()
        assert response.status in (101, 400)
        assert 'x-unknown' not in (response.header('sec-websocket-extensions') or '')
        if response.status == 101:
            wire.send_frame(TEXT, b'hi')
            assert wire.read_message().payload == b'hi'


@pytest.mark.parametrize(('origin', 'status'), [
    ('http://{host}', 101), ('HTTP://{host}', 101), ('http://elsewhere.example', 403), ('null', 403),
    ('http://{host}.elsewhere.example', 403), ('http://elsewhere.example/{host}', 403), ('http://elsewhere@{host}', 403)])
def test_the_origin_is_the_same_or_refused(server: Server, origin: str, status: int) -> None:
    with Wire(server.address) as wire:
        wire.send(upgrade(wire.host, '/echo', 'Origin: ' + origin.format(host=wire.host)))
        assert wire.read_response().status == status


def test_frames_glued_to_the_handshake_are_not_lost(server: Server) -> None:
    data = upgrade(server.host) + frame(TEXT, b'early') + frame(TEXT, b'bird')
    for cut in (len(data), 1, len(upgrade(server.host)), len(data) - 3):
        with Wire(server.address) as wire:
            wire.send(data[:cut])
            wire.send(data[cut:])
            assert wire.read_response().status == 101
            assert wire.read_message().payload == b'early'
            assert wire.read_message().payload == b'bird'


def test_a_handshake_byte_by_byte(server: Server) -> None:
    with Wire(server.address) as wire:
        for byte in upgrade(server.host) + frame(TEXT, b'slow'):
            wire.send(bytes([byte]))
        assert wire.read_response().status == 101
        assert wire.read_message().payload == b'slow'


def test_a_body_on_an_upgrade_is_never_taken_for_frames_or_a_request(server: Server) -> None:
    with Wire(server.address) as wire:
        wire.send(upgrade(wire.host, '/echo', f'Content-Length: {len(SMUGGLED)}') + SMUGGLED + frame(TEXT, b'hi'))
        response = wire.read_response()
        try:
            if response.status == 101:
                assert wire.read_message().payload == b'hi'
            else:
                assert response.status in (400, 413, 426)
                assert wire.read_to_end().count(b'HTTP/1.') == 0
        except Ended:
            pass


def test_requests_before_the_upgrade_on_the_same_connection(server: Server) -> None:
    with Wire(server.address) as wire:
        wire.send(get() + upgrade(server.host) + frame(TEXT, b'hi'))
        assert wire.read_response().status == 200
        assert wire.read_response().status == 101
        assert wire.read_message().payload == b'hi'
