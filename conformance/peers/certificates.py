"""Certificates of all kinds, made by `openssl` for each run."""
from __future__ import annotations

import dataclasses
import datetime
import pathlib
import subprocess

from harness import SOON

CONFIGURATION = """\
[ca]
default_ca = here
[here]
new_certs_dir = {folder}
database = {folder}/index
serial = {folder}/serial
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
"""


def openssl(*arguments: str) -> None:
    done = subprocess.run(['openssl', *arguments], capture_output=True, timeout=SOON, check=False)
    assert done.returncode == 0, done.stderr.decode()


@dataclasses.dataclass(frozen=True)
class Pair:
    cert: str
    key: str

    @property
    def serve(self) -> list[str]:
        return ['--tls-cert', self.cert, '--tls-key', self.key]

    @property
    def show(self) -> list[str]:
        return ['--cert', self.cert, '--key', self.key]


class Authority:
    """Somebody who vouches for others, in a folder of its own."""

    def __init__(self, folder: pathlib.Path, name: str):
        self.folder = folder / name
        self.folder.mkdir()
        self.cert = str(self.folder / 'ca.pem')
        self.key = str(self.folder / 'ca.key')
        openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
                '-subj', f'/CN={name}', '-addext', 'basicConstraints=critical,CA:TRUE',
                '-addext', 'keyUsage=critical,keyCertSign', '-out', self.cert, '-keyout', self.key)
        (self.folder / 'index').touch()
        (self.folder / 'serial').write_text('1000\n')
        (self.folder / 'openssl.cnf').write_text(CONFIGURATION.format(folder=self.folder))

    def server(self, name: str, *names: str, valid: tuple[int, int] = (-1, 1), label: str = 'server') -> Pair:
        """For these names and addresses, from and till so many days from now."""
        alternatives = ','.join(f'IP:{one}' if one[0].isdigit() else f'DNS:{one}' for one in (name, *names))
        return self._issue(f'{label}-{name}', name, valid, f'extendedKeyUsage=serverAuth\nsubjectAltName={alternatives}\n')

    def client(self, name: str, valid: tuple[int, int] = (-1, 1)) -> Pair:
        return self._issue(f'client-{name}', name, valid, 'extendedKeyUsage=clientAuth\n')

    def _issue(self, label: str, name: str, valid: tuple[int, int], extensions: str) -> Pair:
        cert, key, request, wanted = (str(self.folder / f'{label}.{kind}') for kind in ('pem', 'key', 'csr', 'ext'))
        openssl('req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes',
                '-subj', f'/CN={name}', '-out', request, '-keyout', key)
        pathlib.Path(wanted).write_text(extensions + 'basicConstraints=critical,CA:FALSE\n')
        now = datetime.datetime.now(datetime.timezone.utc)
        start, end = ((now + datetime.timedelta(days=days)).strftime('%Y%m%d%H%M%SZ') for days in valid)
        openssl('ca', '-batch', '-notext', '-config', str(self.folder / 'openssl.cnf'), '-cert', self.cert,
                '-keyfile', self.key, '-startdate', start, '-enddate', end, '-extfile', wanted,
                '-in', request, '-out', cert)
        return Pair(cert, key)
