"""The built-in endpoints, as Python's `websockets` sees them; without TLS and with each backend of it."""
import contextlib
import itertools
import time
from collections.abc import Iterator

import pytest
from websockets.exceptions import ConnectionClosed, ConnectionClosedOK, InvalidStatus
from websockets.frames import CloseCode
from websockets.sync.client import ClientConnection, connect as connect_plainly

from harness import SOON, Server, eventually
from tls import serving, trusting

SIZES = [0, 1, 125, 126, 127, 4095, 65535, 65536, 65537, 1 << 20]


SERVERS = {
    'epoll': ['--driver', 'epoll'],
    'uring': ['--driver', 'uring'],
    'poll': ['--driver', 'poll'],
    'rustls': ['--driver', 'epoll', *serving('rustls', 'server')],
    'openssl': ['--driver', 'uring', *serving('openssl', 'server')],
}


@pytest.fixture(scope='module', params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    server = Server(*SERVERS[request.param])
    yield server
    server.stop()


def connect(url: str, **options: object) -> ClientConnection:
    options.setdefault('compression', None)
    if url.startswith('wss:'):
        options['ssl'] = trusting()
    return connect_plainly(url, max_size=None, open_timeout=SOON, close_timeout=SOON, **options)  # type: ignore[arg-type]


def pattern(size: int) -> bytes:
    return bytes(itertools.islice(itertools.cycle(range(251)), size))


@pytest.mark.parametrize('size', SIZES)
def test_echo_sends_every_message_back_as_it_came(server: Server, size: int) -> None:
    with connect(server.ws('/echo')) as peer:
        for message in (pattern(size), 'ø' * (size // 2) + 'x' * (size % 2)):
            peer.send(message)
            assert peer.recv(SOON) == message


def test_echo_of_the_largest_message(server: Server) -> None:
    message = pattern(16 << 20)
    with connect(server.ws('/echo')) as peer:
        peer.send(message)
        assert peer.recv(SOON) == message


def test_one_byte_more_is_too_big(server: Server) -> None:
    with connect(server.ws('/echo')) as peer:
        with contextlib.suppress(ConnectionClosed):
            peer.send(bytes((16 << 20) + 1))
        with pytest.raises(ConnectionClosed):
            peer.recv(SOON)
        assert peer.close_code == CloseCode.MESSAGE_TOO_BIG


def test_fragments_come_back_as_one_message(server: Server) -> None:
    with connect(server.ws('/echo')) as peer:
        peer.send(['to', 'ge', '', 'ther'])
        assert peer.recv(SOON) == 'together'
        peer.send([b'', b'\0\xff', b''])
        assert peer.recv(SOON) == b'\0\xff'


def test_many_messages_keep_their_order(server: Server) -> None:
    with connect(server.ws('/echo')) as peer:
        for start in range(0, 5000, 500):
            for number in range(start, start + 500):
                peer.send(str(number))
            for number in range(start, start + 500):
                assert peer.recv(SOON) == str(number)


def test_every_ping_has_its_pong(server: Server) -> None:
    with connect(server.ws('/echo')) as peer:
        for data in (b'', b'x', bytes(125)):
            assert peer.ping(data or b'empty').wait(SOON)


@pytest.mark.parametrize('code', [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4999])
def test_a_close_is_answered_with_its_code(server: Server, code: int) -> None:
    with connect(server.ws('/echo')) as peer:
        peer.close(code, 'a reason')
        assert peer.protocol.close_rcvd is not None, 'TCP ended without a Close frame'
        assert peer.close_code == code


@pytest.mark.parametrize(('path', 'name'), [
    ('/echo', 'echo'), ('/broadcast', 'broadcast'),
    ('/increment', 'dumb-increment-protocol'), ('/mirror', 'lws-mirror-protocol')])
def test_an_endpoint_by_its_subprotocol_on_any_path(server: Server, path: str, name: str) -> None:
    for any_path in (path, '/', '/no/such/path?with=query'):
        with connect(server.ws(any_path), subprotocols=['unknown', name]) as peer:
            assert peer.subprotocol == name
            assert peer.response.headers.get_all('Sec-WebSocket-Protocol') == [name]
            if name == 'dumb-increment-protocol':
                assert int(peer.recv(SOON)) >= 0
            else:
                peer.send('here')
                assert peer.recv(SOON) == 'here'


def test_an_unknown_subprotocol_is_not_agreed_to(server: Server) -> None:
    with connect(server.ws('/echo'), subprotocols=['unknown']) as peer:
        assert peer.subprotocol is None
        assert peer.response.headers.get_all('Sec-WebSocket-Protocol') == []


def test_no_endpoint_no_connection(server: Server) -> None:
    with pytest.raises(InvalidStatus) as refused:
        connect(server.ws('/no/such/path'))
    assert refused.value.response.status_code == 404


def test_a_foreign_origin_is_refused(server: Server) -> None:
    with pytest.raises(InvalidStatus) as refused:
        connect(server.ws('/echo'), origin='http://elsewhere.example')
    assert refused.value.response.status_code == 403
    with connect(server.ws('/echo'), origin=server.http('').rstrip('/')) as peer:
        peer.send('same origin')
        assert peer.recv(SOON) == 'same origin'


def test_broadcast_reaches_all_and_the_sender(server: Server) -> None:
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(connect(server.ws('/broadcast'))) for _ in range(5)]
        other = stack.enter_context(connect(server.ws('/echo')))
        for number, sender in enumerate(peers):
            message = f'from {number}' if number % 2 else b'from %d' % number
            sender.send(message)
            assert [peer.recv(SOON) for peer in peers] == [message] * 5
        other.send('only mine')
        assert other.recv(SOON) == 'only mine', 'a broadcast must stay with its endpoint'


def test_broadcast_keeps_the_order_of_a_sender(server: Server) -> None:
    with connect(server.ws('/broadcast')) as sender, connect(server.ws('/broadcast')) as receiver:
        for number in range(200):
            sender.send(str(number))
        for peer in (sender, receiver):
            assert [peer.recv(SOON) for _ in range(200)] == [str(number) for number in range(200)]


def test_increment_counts_for_each_connection_by_itself(server: Server) -> None:
    with connect(server.ws('/increment')) as first:
        start = time.monotonic()
        seen = [first.recv(SOON) for _ in range(10)]
        took = time.monotonic() - start
        assert all(isinstance(text, str) for text in seen), 'the counter comes as text'
        assert seen == [str(int(seen[0]) + step) for step in range(10)]
        assert 0.3 < took < 5, f'ten counts of 50 ms each took {took:.2f} s'
        with connect(server.ws('/increment')) as second:
            assert int(second.recv(SOON)) < 5


def test_increment_can_be_reset(server: Server) -> None:
    with connect(server.ws('/increment')) as peer:
        eventually(lambda: int(peer.recv(SOON)) >= 5, 'the counter reaches 5')
        peer.send('reset\n')

        def counts() -> Iterator[int]:
            while True:
                yield int(peer.recv(SOON))
        before = 5
        for count in itertools.islice(counts(), 50):
            if count < before:
                assert count <= 1
                return
            before = count
        pytest.fail('the counter went on as if nothing had been said')


def test_mirror_sends_to_all_what_one_sends(server: Server) -> None:
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(connect(server.ws('/mirror'), subprotocols=['lws-mirror-protocol']))
                 for _ in range(3)]
        for number, sender in enumerate(peers):
            message = f'd #ff0000 {number} 2 3 4;'
            sender.send(message)
            assert [peer.recv(SOON) for peer in peers] == [message] * 3


def test_mirror_loses_nothing_of_a_burst(server: Server) -> None:
    lines = [f'd #00ff00 {number} 0 0 {number};' for number in range(2000)]
    with connect(server.ws('/mirror')) as sender, connect(server.ws('/mirror')) as receiver:
        for line in lines:
            sender.send(line)
        assert [receiver.recv(SOON) for _ in lines] == lines
        assert [sender.recv(SOON) for _ in lines] == lines


def test_a_peer_that_leaves_is_no_trouble_to_the_others(server: Server) -> None:
    with connect(server.ws('/broadcast')) as stays:
        for _ in range(20):
            gone = connect(server.ws('/broadcast'))
            gone.socket.close()
            gone.close_socket()
        stays.send('still here')
        assert stays.recv(SOON) == 'still here'
        with contextlib.suppress(ConnectionClosedOK):
            stays.close()
