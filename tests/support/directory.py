"""A real slapd on loopback with a few users and groups, for as long as a test needs it."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

BASE = "dc=site,dc=example"
READER = f"cn=reader,{BASE}"
PASSWORD = "a-secret-of-the-reader"
_SLAPD = "/usr/sbin/slapd"
_START_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class RunningDirectory:
    """Where it listens."""

    url: str
    password_file: Path


def user(name: str, uid: int, gid: int = 5000) -> str:
    """One posixAccount as LDIF."""
    return (
        f"dn: uid={name},ou=people,{BASE}\nobjectClass: account\nobjectClass: posixAccount\n"
        f"uid: {name}\ncn: {name}\nuidNumber: {uid}\ngidNumber: {gid}\nhomeDirectory: /home/{name}\n\n"
    )


def group(name: str, gid: int) -> str:
    """One posixGroup as LDIF."""
    return (
        f"dn: cn={name},ou=groups,{BASE}\nobjectClass: posixGroup\ncn: {name}\ngidNumber: {gid}\n\n"
    )


@contextlib.contextmanager
def running_directory(
    entries: Sequence[str], *, size_limit: str = "unlimited"
) -> Iterator[RunningDirectory]:
    """slapd with these entries; anonymous people may not read, the reader may."""
    place = Path(tempfile.mkdtemp(prefix="idmap-slapd-"))
    try:
        (place / "db").mkdir()
        port = _free_port()
        conf, ldif, password = place / "slapd.conf", place / "site.ldif", place / "password"
        conf.write_text(_configuration(place, size_limit))
        ldif.write_text(_site() + "".join(entries))
        password.touch(mode=0o600)
        password.write_text(f"{PASSWORD}\n")
        subprocess.run(
            ["/usr/sbin/slapadd", "-q", "-f", conf, "-l", ldif],
            check=True, capture_output=True, timeout=60,
        )  # fmt: skip
        with _running(conf, port, place / "slapd.log"):
            yield RunningDirectory(f"ldap://127.0.0.1:{port}", password)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _configuration(place: Path, size_limit: str) -> str:
    return f"""
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/nis.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {place}/slapd.pid
sizelimit {size_limit}
threads 2
database mdb
suffix "{BASE}"
directory {place}/db
maxsize 67108864
rootdn "cn=root,{BASE}"
access to attrs=userPassword by * auth
access to * by dn.exact="{READER}" read by * none
"""


def _site() -> str:
    return (
        f"dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\no: site\ndc: site\n\n"
        f"dn: ou=people,{BASE}\nobjectClass: organizationalUnit\nou: people\n\n"
        f"dn: ou=groups,{BASE}\nobjectClass: organizationalUnit\nou: groups\n\n"
        f"dn: {READER}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\n"
        f"cn: reader\nuserPassword: {PASSWORD}\n\n"
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _running(conf: Path, port: int, log: Path) -> Iterator[None]:
    with log.open("wb") as out:
        process = subprocess.Popen(
            [_SLAPD, "-d", "0", "-f", conf, "-h", f"ldap://127.0.0.1:{port} ldap://127.0.0.2:{port}"],
            stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
        )  # fmt: skip
        try:
            _wait(process, port, log)
            yield
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert process.poll() is None, log.read_text(errors="replace")
        assert time.monotonic() < deadline, "slapd did not start"
        time.sleep(0.05)
