"""Runs the Autobahn testsuite against a WebSocket server or client, and sums it up.

README.md beside this file tells how. This is the Python 3 side; suite.py runs under Python 2.
"""
from __future__ import annotations

import argparse
import collections
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
from typing import Any, Callable, Iterable, TextIO

import tunnel

HERE = pathlib.Path(__file__).resolve().parent
PREFIX = pathlib.Path(os.environ.get('AUTOBAHN_PREFIX') or pathlib.Path.home() / '.cache/autobahn')
BEHAVIORS = ['OK', 'NON-STRICT', 'INFORMATIONAL', 'UNIMPLEMENTED', 'FAILED']
CLOSES = ['OK', 'INFORMATIONAL', 'FAILED BY CLIENT', 'WRONG CODE', 'UNCLEAN', 'FAILED']
NOT_RUN = 'NOT RUN'
MARK = '.autobahn-report'  # in every folder that this script may replace
READY = re.compile(r'listening on (https?)://(\S+?)/?$')
START_SECONDS = 10

Row = dict[str, Any]


class Unusable(Exception):
    """Nothing could be run: exit status 2."""


def arguments() -> argparse.Namespace:
    own, command = sys.argv[1:], []
    if '--' in own:
        at = own.index('--')
        own, command = own[:at], own[at + 1:]
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument('--cases', default='*', metavar='PATTERN,..',
                        help='a section (7 or 12.1), a case (7.1.3) or a pattern with * (default: all)')
    common.add_argument('--exclude', default='', metavar='PATTERN,..', help='cases left out')
    common.add_argument('--out', type=pathlib.Path, default=pathlib.Path('autobahn-report'),
                        metavar='DIR', help='where reports go (default: autobahn-report); replaced')
    common.add_argument('--jobs', type=int, default=1, metavar='N',
                        help='share the cases among N suites at once (default: 1)')
    common.add_argument('--timeout', type=float, default=3600, metavar='SECONDS',
                        help='for the whole run (default: 3600); what has not run by then has failed')
    common.add_argument('--no-skip', action='store_true', help='UNIMPLEMENTED is a failure, not a skip')
    parser = argparse.ArgumentParser(
        prog='run', description='Run the Autobahn WebSocket testsuite.',
        epilog='Exit status: 0 all passed, 1 some did not, 2 nothing could be run.')
    roles = parser.add_subparsers(dest='role', required=True, metavar='server|client')
    server = roles.add_parser(
        'server', parents=[common], help='test an echo server',
        usage='run server [options] -- COMMAND...  |  run server [options] --url URL',
        description='COMMAND starts the server and prints `listening on http://ADDR:PORT/`.')
    server.add_argument('--url', help='test the server that runs at ws://127.0.0.1:PORT/... already')
    server.add_argument('--path', default='/', help='of the echo endpoint, with COMMAND (default: /)')
    server.add_argument('--tls-ca', type=pathlib.Path, metavar='FILE',
                        help='who vouches for COMMAND, in PEM, when it listens on https://')
    client = roles.add_parser(
        'client', parents=[common], help='test an echoing client',
        usage='run client [options] -- COMMAND...',
        description='COMMAND runs the client over all cases, at the address in $AUTOBAHN_URL.')
    client.add_argument('--tls-cert', type=pathlib.Path, metavar='FILE',
                        help='the client gets a wss:// address with this certificate chain, in PEM')
    client.add_argument('--tls-key', type=pathlib.Path, metavar='FILE', help='its key, in PEM')
    args = parser.parse_args(own)
    args.command = command
    if args.role == 'client' and not command:
        parser.error('no client command after --')
    if args.role == 'server' and bool(command) == bool(args.url):
        parser.error('give either --url or a server command after --')
    if args.role == 'client' and bool(args.tls_cert) != bool(args.tls_key):
        parser.error('--tls-cert and --tls-key go together')
    if args.jobs < 1:
        parser.error('--jobs must be 1 or more')
    return args


class Children(contextlib.ExitStack):
    """Processes started here, each ended (its own group, by id) on the way out."""

    def start(self, command: list[str], **kwargs: Any) -> subprocess.Popen[Any]:
        try:
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, **kwargs)
        except OSError as error:
            raise Unusable(f'cannot run {command[0]}: {error.strerror}') from None
        self.callback(self.end, child)
        return child

    @staticmethod
    def end(child: subprocess.Popen[Any]) -> None:
        for sig, wait in ((signal.SIGTERM, 20), (signal.SIGKILL, 5)):
            # the leader may be gone and others of its group not
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, sig)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(wait)
                return


class Server:
    """The server command: where it says that it listens, and what else it prints (to a file)."""

    def __init__(self, children: Children, command: list[str], log: pathlib.Path):
        self.scheme, self.address = '', ''
        self.ready = threading.Event()
        self.process = children.start(command, stdout=subprocess.PIPE, text=True, errors='replace')
        threading.Thread(target=self.read, args=(self.process.stdout, log), daemon=True).start()

    def read(self, stdout: TextIO, path: pathlib.Path) -> None:
        with open(path, 'w', buffering=1) as log:
            for line in stdout:
                log.write(line)
                if (match := READY.search(line)) and not self.address:
                    self.scheme, self.address = match[1], match[2]
                    self.ready.set()
        self.ready.set()

    def url(self, path: str, through: Callable[[str], int]) -> str:
        """`through` makes a port of plain text for an address of TLS."""
        if not self.ready.wait(START_SECONDS):
            raise Unusable(f'the server command did not print `listening on http://ADDR:PORT/` in {START_SECONDS} s')
        if not self.address:
            raise Unusable(f'the server command ended ({self.process.wait()}) before it listened')
        if self.scheme == 'https':
            return f'ws://127.0.0.1:{through(self.address)}{path}'
        return f'ws://{self.address}{path}'


class Suite:
    """One suite process and the cases it has finished."""

    def __init__(self, children: Children, args: argparse.Namespace, shard: int, url: str | None):
        self.out: pathlib.Path = args.out if args.jobs == 1 else args.out / f'part-{shard + 1}'
        self.out.mkdir(exist_ok=True)
        self.log = self.out / 'results.jsonl'
        self.client: subprocess.Popen[Any] | None = None
        spec: dict[str, Any] = {
            'outdir': str(self.out.resolve()), 'log': str(self.log.resolve()),
            'cases': args.cases.split(','), 'exclude-cases': [p for p in args.exclude.split(',') if p],
            'shard': [shard, args.jobs], 'behind-tls': args.role == 'client' and bool(args.tls_cert)}
        if url:
            spec['servers'] = [{'url': url, 'agent': 'server'}]
        (self.out / 'spec.json').write_text(json.dumps(spec))
        libs = str(PREFIX / (PREFIX / 'libs').read_text().strip())
        with open(self.out / 'suite.log', 'wb') as output:
            self.process = children.start(
                [str(PREFIX / 'root/usr/bin/pypy'), '-u', str(HERE / 'suite.py'), str(PREFIX / 'site'),
                 'fuzzingclient' if url else 'fuzzingserver', str(self.out / 'spec.json')],
                stdout=output, stderr=subprocess.STDOUT,
                env={**os.environ, 'LD_LIBRARY_PATH': libs, 'PYTHONDONTWRITEBYTECODE': '1'})

    def lines(self) -> list[Row]:
        with contextlib.suppress(FileNotFoundError):
            text = self.log.read_text()
            return [json.loads(line) for line in text[:text.rfind('\n') + 1].splitlines()]
        return []

    def await_line(self, field: str, else_say: str) -> Any:
        while True:
            running = self.running()
            for line in self.lines():
                if field in line:
                    return line[field]
            if not running:
                raise Unusable(f'{else_say}:\n{self.last_words()}')
            time.sleep(0.05)

    def planned(self) -> list[str]:
        return next((line['planned'] for line in self.lines() if 'planned' in line), [])

    def results(self) -> dict[tuple[str, str], Row]:
        return {(line['agent'], line['id']): line for line in self.lines() if 'id' in line}

    def running(self) -> bool:
        return self.process.poll() is None

    def last_words(self) -> str:
        return '\n'.join((self.out / 'suite.log').read_text(errors='replace').splitlines()[-8:])


def run(args: argparse.Namespace, children: Children) -> tuple[list[Suite], list[str]]:
    server, url = None, None
    if args.role == 'server':
        if args.command:
            server = Server(children, args.command, args.out / 'server.log')
        url = args.url
        if server:
            url = server.url(args.path, lambda address: plain(children, args, address))
        check_url(url)
    suites = [Suite(children, args, shard, url) for shard in range(args.jobs)]
    for suite in suites:
        suite.await_line('planned', 'the suite ended before any case')
    if not any(suite.planned() for suite in suites):
        raise Unusable('no case left to run')
    for suite in suites if args.role == 'client' else ():
        if suite.planned():
            address = suite.await_line('listening', 'the suite does not listen')
            if args.tls_cert:
                port = tunnel.to_plain(children.start, suite.out, address.removeprefix('ws://'), args.tls_cert, args.tls_key)
                address = f'wss://127.0.0.1:{port}'
            with open(suite.out / 'client.log', 'wb') as output:
                suite.client = children.start(args.command, stdout=output, env={**os.environ, 'AUTOBAHN_URL': address})

    notes = watch(args, suites)
    for suite in suites:
        if args.role == 'server' and suite.process.poll():
            notes.append('the suite itself failed:\n' + suite.last_words())
        if suite.client:
            if suite.client.poll():
                notes.append(f'client command ended with status {suite.client.returncode}')
            settle(suite)
        words = suite.last_words()
        if args.role == 'server' and 'Connection to ' in words and 'failed' in words:
            notes.append('the server stopped taking connections')
    if server and server.process.poll() is not None:
        notes.append(f'server command ended by itself, with status {server.process.returncode}')
    return suites, notes


def plain(children: Children, args: argparse.Namespace, address: str) -> int:
    if not args.tls_ca:
        raise Unusable('the server command listens on https://: --tls-ca has to name who vouches for it')
    return tunnel.from_plain(children.start, args.out, address, args.tls_ca)


def check_url(text: str) -> None:
    url = urllib.parse.urlsplit(text)
    if url.scheme != 'ws' or not url.port:
        raise Unusable(f'not a ws://127.0.0.1:PORT/... address: {text} (no TLS here)')
    host = url.hostname or ''
    if not host.startswith('127.') and host != 'localhost':
        raise Unusable(f'only a server of this machine, 127.0.0.1, is tested, not {host}')
    try:
        socket.create_connection((host, url.port), 5).close()
    except OSError as error:
        raise Unusable(f'no server at {host}:{url.port}: {error.strerror or error}') from None


def watch(args: argparse.Namespace, suites: list[Suite]) -> list[str]:
    """Until all have ended, or the time is up."""
    deadline, told = time.monotonic() + args.timeout, time.monotonic()
    while True:
        if args.role == 'server':
            going = any(suite.running() for suite in suites)
        else:
            going = any(suite.client and suite.client.poll() is None for suite in suites)
        if not going:
            return []
        if time.monotonic() > deadline:
            return [f'stopped: still running after {args.timeout:g} s']
        if time.monotonic() > told + 60:
            told = time.monotonic()
            done, total = sum(len(s.results()) for s in suites), sum(len(s.planned()) for s in suites)
            print(f'... {done} of {total} cases', file=sys.stderr, flush=True)
        time.sleep(0.1)


def settle(suite: Suite, seconds: float = 2) -> None:
    """The client has gone; the suite may have yet to see its last connection end."""
    seen, end = -1, 0.0
    while len(suite.results()) < len(suite.planned()):
        if len(suite.results()) != seen:
            seen, end = len(suite.results()), time.monotonic() + seconds
        if time.monotonic() > end or not suite.running():
            break
        time.sleep(0.05)


def number(case: str) -> list[int]:
    return [int(part) for part in case.split('.')]


def ranges(cases: Iterable[str]) -> str:
    """12.1.1 12.1.2 12.1.3 -> 12.1.1-3"""
    text: list[str] = []
    last: list[int] = []
    for case in cases:
        n = number(case)
        if last and n[:-1] == last[:-1] and n[-1] == last[-1] + 1:
            text[-1] = text[-1].split('-')[0] + f'-{n[-1]}'
        else:
            text.append(case)
        last = n
    return ' '.join(text)


def summary(args: argparse.Namespace, suites: list[Suite], notes: list[str], seconds: float) -> int:
    results = {key: line for suite in suites for key, line in suite.results().items()}
    agents = sorted({agent for agent, _ in results}) or ['none']
    for suite in suites:
        for agent in agents:
            for case in suite.planned():
                results.setdefault((agent, case), {
                    'id': case, 'agent': agent, 'behavior': NOT_RUN, 'behaviorClose': NOT_RUN,
                    'result': '', 'resultClose': '', 'remoteCloseCode': None, 'duration': 0})
    rows = [results[key] for key in sorted(results, key=lambda key: (key[0], number(key[1])))]
    (args.out / 'summary.json').write_text(json.dumps(rows, indent=1) + '\n')

    failed, skipped, missing = [], [], []
    for row in rows:
        fine = row['behaviorClose'] in ('OK', 'INFORMATIONAL')
        if fine and row['behavior'] == 'UNIMPLEMENTED' and not args.no_skip:
            skipped.append(row['id'])
        elif row['behavior'] == NOT_RUN:
            missing.append(row['id'])
        elif not fine or row['behavior'] not in ('OK', 'INFORMATIONAL'):
            failed.append(row)

    print(f'{len(rows)} cases in {seconds:.0f} s; agent: {", ".join(agents)}')
    for field, names in (('behavior', BEHAVIORS), ('behaviorClose', CLOSES)):
        counts = collections.Counter(row[field] for row in rows)
        names = names + sorted(set(counts) - set(names))
        print(f'{field + ":":15}' + ', '.join(f'{name} {counts[name]}' for name in names))
    if skipped:
        print(f'unimplemented: {ranges(skipped)}')
    if missing:
        print(f'not run: {ranges(missing)}')
    for row in failed:
        print(f"{row['id']:8} {row['behavior']}, close {row['behaviorClose']} ({row['remoteCloseCode']}): "
              f"{row['result']} / {row['resultClose']}")
    for note in notes:
        print(note)
    print(f'reports: {args.out}')
    skips = f', {len(skipped)} skipped' if skipped else ''
    bad = len(failed) + len(missing)
    print(f'{len(rows) - bad - len(skipped)} passed, {bad} failed{skips}', flush=True)
    return 1 if bad or notes else 0


def main() -> int:
    args = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        if not (PREFIX / 'stamp').exists():
            raise Unusable(f'the testsuite is not in {PREFIX}: run {HERE / "install"} '
                           '(another place: set AUTOBAHN_PREFIX)')
        if args.out.exists():
            if any(args.out.iterdir()) and not (args.out / MARK).exists():
                raise Unusable(f'{args.out} holds something else than a report of this script')
            shutil.rmtree(args.out)
        args.out.mkdir(parents=True)
        (args.out / MARK).touch()
        start = time.monotonic()
        with Children() as children:
            suites, notes = run(args, children)
            seconds = time.monotonic() - start
        return summary(args, suites, notes, seconds)
    except (Unusable, tunnel.Broken) as error:
        print(f'autobahn {args.role}: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


sys.exit(main())
