"""Puts TLS between the Autobahn testsuite, which speaks plain `ws` only, and what it tests.

    ./run server --path /echo -- python3 tunnel.py server SOCKEYE serve --listen 127.0.0.1:0
    ./run client -- python3 tunnel.py client CLIENT

The tunnel is `stunnel`, with a certificate made for the run. A server command gets `--tls-cert` and
`--tls-key` behind its arguments and says `listening on https://ADDR:PORT/`; a client command finds
a `wss://` address in AUTOBAHN_URL, and the certificate to trust in AUTOBAHN_CA.
"""
from __future__ import annotations

import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

START_SECONDS = 10


def certificate(folder: pathlib.Path) -> tuple[str, str]:
    cert, key = str(folder / 'cert.pem'), str(folder / 'key.pem')
    subprocess.run(
        ['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
         '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1,IP:127.0.0.2', '-out', cert, '-keyout', key],
        check=True, capture_output=True)
    return cert, key


def tunnel(folder: pathlib.Path, accept: tuple[str, int], port: int, *settings: str) -> subprocess.Popen[bytes]:
    """stunnel from this address to that port."""
    file = folder / 'stunnel.conf'
    lines = ['foreground = yes', 'pid =', 'syslog = no', 'debug = err', 'socket = l:TCP_NODELAY=1',
             'socket = r:TCP_NODELAY=1', '[tunnel]', f'accept = {accept[0]}:{accept[1]}', f'connect = 127.0.0.1:{port}',
             *settings]
    file.write_text('\n'.join(lines) + '\n')
    process = subprocess.Popen(['stunnel', str(file)], stdin=subprocess.DEVNULL)
    end = time.monotonic() + START_SECONDS
    address = int.from_bytes(socket.inet_aton(accept[0]), 'little')
    wanted = f'{address:08X}:{accept[1]:04X} 00000000:0000 0A'
    while wanted not in pathlib.Path('/proc/net/tcp').read_text():
        if process.poll() is not None or time.monotonic() > end:
            raise SystemExit('stunnel does not listen')
        time.sleep(0.01)
    return process


def serve(folder: pathlib.Path, command: list[str]) -> int:
    cert, key = certificate(folder)
    server = subprocess.Popen([*command, '--tls-cert', cert, '--tls-key', key], stdout=subprocess.PIPE, text=True)
    assert server.stdout
    line = server.stdout.readline()
    found = re.search(r'listening on https://\S+:(\d+)/?$', line)
    if not found:
        raise SystemExit(f'the server said: {line}')
    # stunnel takes no port 0, so ask for a free one first.
    with socket.create_server(('127.0.0.1', 0)) as probe:
        port = probe.getsockname()[1]
    process = tunnel(folder, ('127.0.0.1', port), int(found[1]), 'client = yes', f'CAfile = {cert}', 'verifyChain = yes',
                           'checkHost = localhost')
    signal.signal(signal.SIGTERM, lambda *_: server.terminate())
    print(f'listening on http://127.0.0.1:{port}/', flush=True)
    try:
        return server.wait()
    finally:
        process.terminate()


def connect(folder: pathlib.Path, command: list[str]) -> int:
    cert, key = certificate(folder)
    port = int(os.environ['AUTOBAHN_URL'].rstrip('/').rpartition(':')[2])
    # The suite insists on its own port in the Host header; so the tunnel has the same one, elsewhere.
    process = tunnel(folder, ('127.0.0.2', port), port, f'cert = {cert}', f'key = {key}')
    environment = os.environ | {'AUTOBAHN_URL': f'wss://127.0.0.2:{port}', 'AUTOBAHN_CA': cert}
    try:
        return subprocess.run(command, env=environment, check=False).returncode
    finally:
        process.terminate()


def main() -> int:
    role, *command = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        return {'server': serve, 'client': connect}[role](pathlib.Path(folder), command)


if __name__ == '__main__':
    sys.exit(main())
