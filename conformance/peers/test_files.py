"""`sockeye serve DIR` as a web server, asked by curl."""
from __future__ import annotations

import dataclasses
import email.utils
import gzip
import hashlib
import os
import pathlib
import re
import subprocess
import time
from collections.abc import Iterator

import pytest

from harness import Server, eventually
from wire import Wire

HELLO = b'Hello, file!\n' * 100
SECRET = b'the secret outside'


@dataclasses.dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes


@pytest.fixture(scope='module')
def site(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    base = tmp_path_factory.mktemp('site')
    root = base / 'root'
    (root / 'sub').mkdir(parents=True)
    (root / 'empty').mkdir()
    (base / 'secret.txt').write_bytes(SECRET)
    (base / 'outside').mkdir()
    (base / 'outside/secret.txt').write_bytes(SECRET)
    (root / 'index.html').write_text('<!doctype html><title>root</title>')
    (root / 'hello.txt').write_bytes(HELLO)
    (root / 'none.txt').write_bytes(b'')
    (root / 'with space & ümlaut.txt').write_bytes(b'odd name')
    (root / 'sub/index.html').write_text('<!doctype html><title>sub</title>')
    (root / 'app.js').write_bytes(b'let plain;\n' * 100)
    (root / 'app.js.gz').write_bytes(gzip.compress(b'let plain;\n' * 100))
    (root / 'app.js.br').write_bytes(b'as if brotli')
    (root / 'picture.svg').write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    (root / 'leads-out').symlink_to(base / 'outside')
    (root / 'secret-link.txt').symlink_to(base / 'secret.txt')
    (root / 'inner-link.txt').symlink_to('hello.txt')
    os.mkfifo(root / 'fifo')
    return root


@pytest.fixture(scope='module', params=['epoll', 'uring', 'poll'])
def web(request: pytest.FixtureRequest, site: pathlib.Path) -> Iterator[Server]:
    server = Server(str(site), '--driver', request.param)
    yield server
    server.stop()


def curl_raw(*arguments: str) -> bytes:
    done = subprocess.run(['curl', '--silent', '--show-error', '--noproxy', '*', '--max-time', '20', '--path-as-is',
                           '--globoff', *arguments], capture_output=True, check=False)
    assert done.returncode == 0, f'curl {arguments}: {done.stderr.decode()}'
    return done.stdout


def curl(server: Server, path: str, *arguments: str) -> Reply:
    head, _, body = curl_raw('--include', *arguments, server.http(path)).partition(b'\r\n\r\n')
    status, *lines = head.decode('latin-1').split('\r\n')
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(':')
        assert name.lower() not in headers, f'{name} twice'
        headers[name.lower()] = value.strip()
    return Reply(int(status.split()[1]), headers, body)


def test_a_file(web: Server) -> None:
    reply = curl(web, '/hello.txt')
    assert (reply.status, reply.body) == (200, HELLO)
    assert reply.headers['content-type'].startswith('text/plain')
    assert reply.headers['content-length'] == str(len(HELLO))
    assert reply.headers['accept-ranges'] == 'bytes'
    assert re.fullmatch(r'(W/)?"[^"]+"', reply.headers['etag'])
    assert email.utils.parsedate_to_datetime(reply.headers['last-modified'])
    date = email.utils.parsedate_to_datetime(reply.headers['date'])
    assert abs(date.timestamp() - time.time()) < 5


@pytest.mark.parametrize(('path', 'kind'), [
    ('/app.js', 'text/javascript'), ('/picture.svg', 'image/svg+xml'), ('/', 'text/html'), ('/sub/', 'text/html')])
def test_content_types(web: Server, path: str, kind: str) -> None:
    assert curl(web, path).headers['content-type'].split(';')[0] == kind


def test_an_index_and_the_way_to_it(web: Server) -> None:
    assert b'root' in curl(web, '/').body
    assert b'sub' in curl(web, '/sub/').body
    reply = curl(web, '/sub?query')
    assert reply.status in (301, 302, 307, 308)
    assert reply.headers['location'].split('?')[0] in ('/sub/', web.http('/sub/'))
    assert curl(web, '/empty/').status in (403, 404)


def test_odd_names(web: Server) -> None:
    assert curl(web, '/with%20space%20&%20%c3%bcmlaut.txt').body == b'odd name'
    assert curl(web, '/none.txt').body == b''
    assert curl(web, '/hello.txt?query=1#no').body == HELLO
    assert curl(web, '/inner-link.txt').status in (200, 403, 404)


def test_head_is_get_without_a_body(web: Server) -> None:
    get, head = curl(web, '/hello.txt'), curl(web, '/hello.txt', '--head')
    assert head.status == 200 and head.body == b''
    get.headers.pop('date'), head.headers.pop('date')
    assert head.headers == get.headers
    assert curl(web, '/no-such-file', '--head').status == 404


def test_two_requests_use_one_connection(web: Server) -> None:
    urls = [part for path in ('/hello.txt', '/missing', '/hello.txt') for part in ('--output', '/dev/null', web.http(path))]
    told = curl_raw('--write-out', '%{http_code} %{num_connects}\n', *urls)
    assert told.decode().splitlines() == ['200 1', '404 0', '200 0']


def test_http_1_0_is_answered_and_closed(web: Server) -> None:
    reply = curl(web, '/hello.txt', '--http1.0')
    assert (reply.status, reply.body) == (200, HELLO)
    assert reply.headers.get('connection', 'close') == 'close'


@pytest.mark.parametrize(('spec', 'start', 'end'), [
    ('0-0', 0, 1), ('0-4', 0, 5), ('5-', 5, len(HELLO)), ('-7', len(HELLO) - 7, len(HELLO)),
    (f'{len(HELLO) - 1}-', len(HELLO) - 1, len(HELLO)), ('10-99999', 10, len(HELLO)),
    ('0-18446744073709551615', 0, len(HELLO)), ('-99999', 0, len(HELLO))])
def test_a_range(web: Server, spec: str, start: int, end: int) -> None:
    reply = curl(web, '/hello.txt', '--range', spec)
    assert reply.status == 206 or (reply.status == 200 and (start, end) == (0, len(HELLO)))
    assert reply.body == HELLO[start:end]
    if reply.status == 206:
        assert reply.headers['content-range'] == f'bytes {start}-{end - 1}/{len(HELLO)}'
        assert reply.headers['content-length'] == str(end - start)


@pytest.mark.parametrize('spec', [f'{len(HELLO)}-', '99999-', '-0', '18446744073709551616-', '99999999999999999999999-'])
def test_a_range_that_is_not_there(web: Server, spec: str) -> None:
    reply = curl(web, '/hello.txt', '-H', f'Range: bytes={spec}')
    if reply.status == 200:
        assert int(spec.strip('-') or 0) > 2**63, 'only what is no valid number may be passed over'
        return
    assert reply.status == 416
    assert reply.headers['content-range'] == f'bytes */{len(HELLO)}'


@pytest.mark.parametrize('header', ['bytes=5-2', 'bytes=', 'bytes=a-b', 'bytes=--5', 'lines=1-2', 'bytes 0-4', 'bytes=0x1-2'])
def test_a_malformed_range_is_passed_over(web: Server, header: str) -> None:
    reply = curl(web, '/hello.txt', '-H', f'Range: {header}')
    assert reply.status in (200, 416)
    if reply.status == 200:
        assert reply.body == HELLO


def test_several_ranges(web: Server) -> None:
    reply = curl(web, '/hello.txt', '--range', '0-1,10-12')
    assert reply.status in (200, 206, 416)
    if reply.status == 200:
        assert reply.body == HELLO
    elif reply.status == 206:
        boundary = reply.headers['content-type'].partition('boundary=')[2].strip('"').encode()
        parts = reply.body.split(b'--' + boundary)[1:-1]
        assert [part.partition(b'\r\n\r\n')[2].removesuffix(b'\r\n') for part in parts] == [HELLO[0:2], HELLO[10:13]]


def test_hundreds_of_overlapping_ranges_cost_no_more_than_the_file(web: Server) -> None:
    reply = curl(web, '/hello.txt', '--range', ','.join(f'0-{end}' for end in range(500, 900)))
    assert reply.status in (200, 206, 416)
    assert len(reply.body) < 2 * len(HELLO)


def test_if_range(web: Server) -> None:
    etag = curl(web, '/hello.txt').headers['etag']
    reply = curl(web, '/hello.txt', '--range', '0-4', '-H', f'If-Range: {etag}')
    assert reply.status == (200 if etag.startswith('W/') else 206)
    assert curl(web, '/hello.txt', '--range', '0-4', '-H', 'If-Range: "other"').status == 200


def test_conditional_requests(web: Server) -> None:
    first = curl(web, '/hello.txt')
    etag, modified = first.headers['etag'], first.headers['last-modified']
    old = 'Thu, 01 Jan 1998 00:00:00 GMT'

    def status(*headers: str) -> int:
        reply = curl(web, '/hello.txt', *(part for header in headers for part in ('-H', header)))
        if reply.status == 304:
            assert reply.body == b''
            assert reply.headers['etag'] == etag
            assert reply.headers.get('content-length', str(len(HELLO))) == str(len(HELLO))
        return reply.status

    opaque = etag.removeprefix('W/')
    assert status(f'If-None-Match: {etag}') == 304
    assert status(f'If-None-Match: W/{opaque}') == 304
    assert status(f'If-None-Match: "x", {etag} , "y"') == 304
    assert status('If-None-Match: *') == 304
    assert status('If-None-Match: "x"') == 200
    assert status(f'If-Modified-Since: {modified}') == 304
    assert status(f'If-Modified-Since: {old}') == 200
    assert status('If-Modified-Since: yesterday') == 200
    assert status('If-None-Match: "x"', f'If-Modified-Since: {modified}') == 200, 'the tag comes before the date'
    assert status(f'If-None-Match: {etag}', f'If-Modified-Since: {old}') == 304
    assert curl(web, '/missing', '-H', 'If-None-Match: *').status == 404


def test_precompressed_siblings(web: Server, site: pathlib.Path) -> None:
    plain = (site / 'app.js').read_bytes()

    def ask(accept: str | None) -> Reply:
        reply = curl(web, '/app.js', *(['-H', f'Accept-Encoding: {accept}'] if accept is not None else []))
        assert reply.status == 200
        assert reply.headers['content-type'].split(';')[0] == 'text/javascript'
        assert 'accept-encoding' in reply.headers['vary'].lower()
        return reply

    for accept in (None, 'identity', 'gzip;q=0', 'deflate', 'br;q=0.0, gzip;q=0'):
        reply = ask(accept)
        assert reply.body == plain and 'content-encoding' not in reply.headers, accept
    for accept in ('gzip', 'GZIP', 'deflate, gzip;q=0.5', 'br;q=0, gzip'):
        reply = ask(accept)
        assert reply.headers['content-encoding'] == 'gzip', accept
        assert gzip.decompress(reply.body) == plain
    assert ask('gzip, br').headers['content-encoding'] == 'br'
    tags = {ask(accept).headers['etag'] for accept in (None, 'gzip', 'br')}
    assert len(tags) == 3, 'each representation has a tag of its own'


@pytest.mark.parametrize(('method', 'status'), [('POST', 405), ('PUT', 405), ('DELETE', 405), ('BREW', 501)])
def test_methods(web: Server, method: str, status: int) -> None:
    reply = curl(web, '/hello.txt', '--request', method, '--data', 'something')
    assert reply.status == status
    if status == 405:
        assert {'GET', 'HEAD'} <= set(reply.headers['allow'].replace(' ', '').split(','))


def test_a_missing_file_and_its_name_in_the_answer(web: Server) -> None:
    reply = curl(web, '/<script>alert(1)</script>')
    assert reply.status in (400, 404)
    assert b'<script>' not in reply.body
    assert curl(web, '/hello.txt/').status == 404
    assert curl(web, '/hello.txt/more').status == 404


@pytest.mark.parametrize('path', [
    '/../secret.txt', '/sub/../../secret.txt', '/./../secret.txt', '//../secret.txt', '/%2e%2e/secret.txt',
    '/%2e%2e%2fsecret.txt', '/..%2fsecret.txt', '/.%2e/secret.txt', '/..%5csecret.txt', '/..\\secret.txt',
    '/%252e%252e/secret.txt', '/%c0%ae%c0%ae/secret.txt', '/%c0%2e%c0%2e/secret.txt', '/..;/secret.txt', '/...//secret.txt',
    '/sub/%2e%2e/%2e%2e/secret.txt', '/leads-out/secret.txt', '/secret-link.txt', '/hello.txt%00.html', '/%00',
    '/..%c0%afsecret.txt', '/c:/secret.txt', '//etc/passwd', '/%2fetc/passwd', '///etc/passwd', '/proc/self/environ', '/%zz', '/%'])
def test_nothing_outside_is_served(web: Server, path: str) -> None:
    reply = curl(web, path)
    assert reply.status in (400, 403, 404), reply
    assert SECRET not in reply.body and b'root:' not in reply.body


def test_a_redirect_never_leads_to_another_host(web: Server) -> None:
    for path in ('//sub', '//elsewhere.example/..', '/\\elsewhere.example/..', '//sub/../sub', '/%2felsewhere.example/..'):
        location = curl(web, path).headers.get('location', '/')
        assert not re.match(r'[/\\]{2}', location) and 'elsewhere' not in location.split('/')[0], (path, location)


def test_a_header_is_not_made_from_a_target(web: Server) -> None:
    reply = curl(web, '/sub%0d%0aX-Evil:%20yes')
    assert 'x-evil' not in reply.headers


def test_a_fifo_does_not_stop_the_server(web: Server) -> None:
    assert curl(web, '/fifo').status in (403, 404)
    assert curl(web, '/hello.txt').status == 200


def test_the_endpoints_are_there_beside_the_files(web: Server) -> None:
    with Wire(web.address) as wire:
        wire.upgrade('/echo')
        wire.send_frame(1, b'hi')
        assert wire.read_message().payload == b'hi'


def test_a_large_file_is_streamed(serve, tmp_path: pathlib.Path, measured) -> None:
    size = 256 << 20
    with open(tmp_path / 'large.bin', 'wb') as file:
        file.write(os.urandom(1 << 20))
        file.seek(size - 5)
        file.write(b'about')
    server = serve(str(tmp_path))
    curl(server, '/large.bin', '--head')
    before = server.resident()
    # A reader that takes nothing for a while: the server must not read ahead for it.
    with Wire(server.address, receive_buffer=4096) as slow:
        slow.send(b'GET /large.bin HTTP/1.1\r\nHost: here\r\n\r\n')
        hashed, length = hashlib.sha256(), 0
        with subprocess.Popen(['curl', '--silent', '--noproxy', '*', server.http('/large.bin')], stdout=subprocess.PIPE) as child:
            while data := child.stdout.read(1 << 20):
                hashed.update(data)
                length += len(data)
        assert length == size
        with open(tmp_path / 'large.bin', 'rb') as file:
            assert hashed.digest() == hashlib.file_digest(file, 'sha256').digest()
        grown = server.resident() - before
    measured(f'a file of 256 MiB, one slow and one fast reader: server memory grew by {grown / 1024:.0f} KiB')
    assert grown < 8 << 20


def test_a_file_that_shrinks_ends_the_connection_instead_of_lying(serve, tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'shrinks.bin'
    with open(path, 'wb') as file:
        file.truncate(64 << 20)
    server = serve(str(tmp_path))
    with Wire(server.address, receive_buffer=4096) as wire:
        wire.send(b'GET /shrinks.bin HTTP/1.1\r\nHost: here\r\n\r\n')
        head = wire.read_response(head=True)
        assert head.header('content-length') == str(64 << 20)
        with open(path, 'r+b') as file:
            file.truncate(1 << 20)
        assert len(wire.read_to_end()) < 64 << 20
    before = server.processor_seconds()
    assert curl(server, '/shrinks.bin').status == 200
    assert server.processor_seconds() - before < 1
    eventually(lambda: server.descriptors() < 20, 'descriptors are given back')
