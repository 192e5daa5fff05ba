"""`sockeye bench` against an echo server of others, right and wrong."""
from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator

import pytest
from websockets.sync.server import ServerConnection, serve

from harness import Process, binary


@pytest.fixture
def echo() -> Iterator[Callable[[Callable[[str | bytes], str | bytes]], str]]:
    """Starts a server that answers each message with what a function makes of it; gives its URL."""
    stops: list[Callable[[], None]] = []

    def start(answer: Callable[[str | bytes], str | bytes]) -> str:
        def handler(connection: ServerConnection) -> None:
            for message in connection:
                connection.send(answer(message))

        server = serve(handler, '127.0.0.1', 0, compression='deflate')
        thread = threading.Thread(target=server.serve_forever)
        thread.start()

        def stop() -> None:
            server.shutdown()
            thread.join()
        stops.append(stop)
        return 'ws://%s:%d/' % server.socket.getsockname()[:2]

    yield start
    for stop in stops:
        stop()


def bench(*arguments: str) -> tuple[int, dict]:
    process = Process([binary(), 'bench', '--json', *arguments])
    status = process.wait(60)
    assert process.stderr() == ''
    return status, json.loads(process.stdout())


@pytest.mark.parametrize('options', [
    ['--pipeline', '4'], ['--rate', '1000'], ['--text', '--deflate=takeover', '-s', '1,100-4K,200K']])
def test_every_echo_of_another_server_is_right(echo: Callable, options: list[str]) -> None:
    status, report = bench(echo(lambda message: message), '-c', '5', '-n', '300', *options)
    assert (status, report['errors']['total']) == (0, 0), report
    assert report['messages']['sent'] == report['messages']['received'] == 300
    assert report['latency_us']['count'] == 300
    assert report['load']['deflate_agreed'] == (options[0] == '--text')


def test_a_wrong_echo_of_another_server_is_noticed(echo: Callable) -> None:
    status, report = bench(echo(lambda message: message[:-1] + b'?'), '-c', '2', '-n', '1000')
    assert status == 1
    assert 900 < report['errors']['kinds']['wrong_content'] <= 1000
    assert report['messages']['sent'] == 1000


def test_connections_to_another_server(echo: Callable) -> None:
    status, report = bench(echo(lambda message: message), '--connect', '-n', '40', '--concurrency', '4')
    assert (status, report['connections']['opened']) == (0, 40), report
