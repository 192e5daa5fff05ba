"""`sockeye connect` through proxies that others wrote: tinyproxy, microsocks, Dante."""
from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Callable, Iterator
from urllib.parse import quote

import pytest

from harness import Process, Server, binary
from proxies import PASSWORD, USER, Proxy, dante, free_port, microsocks, tinyproxy
from tls import BACKENDS, ROOT, serving

VARIABLES = ('http_proxy', 'https_proxy', 'all_proxy', 'no_proxy')
LOGIN = f'{quote(USER)}:{quote(PASSWORD, safe="")}'


@pytest.fixture
def start() -> Iterator[Callable[..., Proxy]]:
    """Starts proxies and ends them."""
    with contextlib.ExitStack() as stack:
        def started(make: Callable[..., Proxy], *arguments: object, **options: object) -> Proxy:
            proxy = make(*arguments, **options)
            stack.callback(proxy.kill)
            return proxy
        yield started


def connect(url: str, *arguments: str, stdin: bytes = b'hello\n', **environment: str) -> Process:
    clean = {name: value for name, value in os.environ.items() if name.lower() not in VARIABLES}
    return Process([binary(), 'connect', url, *arguments], stdin=stdin, env={**clean, **environment})


def echoed(process: Process) -> None:
    try:
        status = process.wait()
    finally:
        process.kill()
    assert (status, process.stdout(), process.stderr()) == (0, b'hello\n', '')


def failed(process: Process) -> str:
    try:
        status = process.wait()
    finally:
        process.kill()
    lines = process.stderr().splitlines()
    assert (status, len(lines)) == (1, 1), process.stderr()
    return lines[0]


def through(proxy: Proxy, server: Server) -> bool:
    """Whether the proxy has a connection from the server's side in its books, or had one."""
    return f'{server.address[1]}' in proxy.stdout().decode(errors='replace') + proxy.stderr()


def test_tinyproxy(start, server: Server, tmp_path: pathlib.Path) -> None:
    proxy = start(tinyproxy, tmp_path)
    echoed(connect(server.ws('/echo'), '--proxy', f'http://{proxy.host}'))
    assert through(proxy, server)


def test_the_proxy_resolves_the_name(start, server: Server, tmp_path: pathlib.Path) -> None:
    url = f'ws://localhost:{server.address[1]}/echo'
    for proxy, scheme in [(start(tinyproxy, tmp_path), 'http'), (start(microsocks), 'socks5h')]:
        echoed(connect(url, '--proxy', f'{scheme}://{proxy.host}'))


def test_tinyproxy_wants_a_password(start, server: Server, tmp_path: pathlib.Path) -> None:
    proxy = start(tinyproxy, tmp_path, auth=True)
    url = server.ws('/echo')
    echoed(connect(url, '--proxy', f'http://me:secret@{proxy.host}'))
    for login in ['', 'me:wrong@', 'you:secret@']:
        error = failed(connect(url, '--proxy', f'http://{login}{proxy.host}'))
        assert f'proxy {proxy.host}: 40' in error, error
        assert 'secret' not in error and 'wrong' not in error
    # Without credentials it says that it wants some; wrong ones it just refuses.
    error = failed(connect(url, '--proxy', f'http://{proxy.host}'))
    assert error.endswith(f'proxy {proxy.host}: 407 Proxy Authentication Required'), error


def test_tinyproxy_cannot_reach_the_server(start, tmp_path: pathlib.Path) -> None:
    proxy = start(tinyproxy, tmp_path)
    error = failed(connect(f'ws://127.0.0.1:{free_port()}/', '--proxy', f'http://{proxy.host}'))
    assert f'proxy {proxy.host}: 50' in error, error


@pytest.mark.parametrize('scheme', ['socks5', 'socks5h'])
def test_microsocks(start, server: Server, scheme: str) -> None:
    proxy = start(microsocks)
    echoed(connect(server.ws('/echo'), '--proxy', f'{scheme}://{proxy.host}'))
    assert through(proxy, server)


def test_microsocks_wants_a_password(start, server: Server) -> None:
    proxy = start(microsocks, auth=True)
    url = server.ws('/echo')
    echoed(connect(url, '--proxy', f'socks5://{LOGIN}@{proxy.host}'))
    error = failed(connect(url, '--proxy', f'socks5://{proxy.host}'))
    assert 'none of the ways to authenticate' in error, error
    error = failed(connect(url, '--proxy', f'socks5://{USER}:wrong@{proxy.host}'))
    assert 'does not accept the user name and password' in error, error


def test_microsocks_cannot_reach_the_server(start) -> None:
    proxy = start(microsocks)
    error = failed(connect(f'ws://127.0.0.1:{free_port()}/', '--proxy', f'socks5://{proxy.host}'))
    assert error.endswith('the host refused its connection'), error
    error = failed(connect('ws://no-such-host.invalid/', '--proxy', f'socks5h://{proxy.host}'))
    assert f'proxy {proxy.host}: ' in error, error


def test_dante_has_rules(start, server: Server, tmp_path: pathlib.Path) -> None:
    proxy = start(dante, tmp_path)
    echoed(connect(server.ws('/echo'), '--proxy', f'socks5://{proxy.host}'))
    error = failed(connect('ws://127.0.0.2:9/', '--proxy', f'socks5://{proxy.host}'))
    assert error.endswith('its rules forbid this connection'), error


def test_the_wrong_kind_of_proxy(start, server: Server, tmp_path: pathlib.Path) -> None:
    url = server.ws('/echo')
    error = failed(connect(url, '--proxy', f'http://{start(microsocks).host}'))
    assert 'does not speak HTTP/1.1' in error or 'closed the connection' in error, error
    # tinyproxy waits for the end of a line that SOCKS does not have.
    proxy = start(tinyproxy, tmp_path)
    error = failed(connect(url, '--timeout', '0.5', '--proxy', f'socks5://{proxy.host}'))
    assert error.endswith(f'proxy {proxy.host}: timed out'), error


def test_a_proxy_that_is_gone(server: Server) -> None:
    port = free_port()
    error = failed(connect(server.ws('/echo'), '--proxy', f'http://127.0.0.1:{port}'))
    assert f'connect proxy 127.0.0.1:{port}: Connection refused' in error, error


def test_the_environment(start, server: Server, tmp_path: pathlib.Path) -> None:
    """`0.0.0.0` leads to this machine without being called so."""
    port = server.address[1]
    url = f'ws://0.0.0.0:{port}/echo'
    proxy = start(tinyproxy, tmp_path)
    echoed(connect(url, http_proxy=f'http://{proxy.host}'))
    assert through(proxy, server)
    gone = f'http://127.0.0.1:{free_port()}'
    for environment in [{'http_proxy': gone}, {'all_proxy': gone}, {'ALL_PROXY': gone}]:
        assert 'connect proxy' in failed(connect(url, **environment))
    for environment in [
        {'HTTP_PROXY': gone},
        {'https_proxy': gone},
        {'http_proxy': gone, 'no_proxy': 'example.test,0.0.0.0'},
        {'http_proxy': gone, 'NO_PROXY': '0.0.0.0/8'},
        {'http_proxy': gone, 'no_proxy': '*'},
        {'http_proxy': ''},
    ]:
        echoed(connect(url, **environment))
    # This machine is not asked for by way of others.
    echoed(connect(server.ws('/echo'), http_proxy=gone, all_proxy=gone))
    # An option beats the environment.
    echoed(connect(url, '--proxy', f'http://{proxy.host}', http_proxy=gone))
    assert 'http_proxy' in failed(connect(url, http_proxy='gopher://x'))


@pytest.mark.parametrize('backend', BACKENDS)
def test_tls_through_proxies(start, serve, tmp_path: pathlib.Path, backend: str) -> None:
    secure = serve(*serving(backend, 'server'))
    url = f'wss://localhost:{secure.address[1]}/echo'
    for proxy, scheme in [(start(tinyproxy, tmp_path), 'http'), (start(microsocks), 'socks5h'), (start(dante, tmp_path), 'socks5')]:
        via = ('--proxy', f'{scheme}://{proxy.host}', '--tls-backend', backend)
        echoed(connect(url, '--ca', ROOT, *via))
        # The certificate is the server's, whoever carries it.
        assert 'TLS to localhost: ' in failed(connect(url, *via))
