"""stunnel between the suite, which speaks plain ws:// only, and a peer that speaks TLS."""
from __future__ import annotations

import pathlib
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping

# Debian's log level 6 is the first that tells which port it got.
COMMON = {'foreground': 'yes', 'pid': '', 'syslog': 'no', 'debug': '6'}
BOUND = re.compile(r'bound to 127\.0\.0\.1:(\d+)')
START_SECONDS = 10


class Broken(Exception):
    """There is no tunnel, and this is why."""


def from_plain(start: Callable[..., subprocess.Popen[bytes]], folder: pathlib.Path, address: str, ca: pathlib.Path) -> int:
    """A port that takes plain text for the TLS server at `address`, whose certificate is checked."""
    host = address.rpartition(':')[0]
    return _open(start, folder, {'client': 'yes', 'connect': address, 'verifyChain': 'yes',
                                 'CAfile': str(ca.resolve()), 'checkIP': host})


def to_plain(start: Callable[..., subprocess.Popen[bytes]], folder: pathlib.Path, address: str,
             certificate: pathlib.Path, key: pathlib.Path) -> int:
    """A port that takes TLS for the plain server at `address`."""
    return _open(start, folder, {'connect': address, 'cert': str(certificate.resolve()), 'key': str(key.resolve())})


def _open(start: Callable[..., subprocess.Popen[bytes]], folder: pathlib.Path, service: Mapping[str, str]) -> int:
    program = shutil.which('stunnel') or shutil.which('stunnel4')
    if not program:
        raise Broken('TLS needs stunnel, which is not on PATH (Debian: stunnel4)')
    config, log = folder / 'stunnel.conf', folder / 'stunnel.log'
    lines = [f'{name} = {value}' for name, value in COMMON.items()]
    lines += ['[suite]', 'accept = 127.0.0.1:0', *(f'{name} = {value}' for name, value in service.items())]
    config.write_text('\n'.join(lines) + '\n')
    with open(log, 'wb') as output:
        process = start([program, str(config)], stdout=output, stderr=subprocess.STDOUT)
    deadline = time.monotonic() + START_SECONDS
    while True:
        running = process.poll() is None
        text = log.read_text(errors='replace')
        if bound := BOUND.search(text):
            return int(bound[1])
        if not running or time.monotonic() > deadline:
            raise Broken('stunnel does not listen:\n' + '\n'.join(text.splitlines()[-5:]))
        time.sleep(0.02)
