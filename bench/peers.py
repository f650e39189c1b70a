"""The peers that need servers: SSSD with its LDAP provider, over a real slapd.

Runs inside the private host, as root: slapd is filled by slapadd, SSSD starts with an empty cache.
SSSD gets every advantage that its documentation offers: no enumeration, no TLS on loopback, a
memory cache large enough for the whole sample that never expires during the run.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.contestant import BenchError
from bench.population import BASE_DN, Population

PORT = 3890
SSS_MODULE = "libnss_sss.so.2"
START_SECONDS = 60.0

SLAPD_CONF = f"""
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/nis.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile /run/bench-slapd.pid
sizelimit unlimited
threads 4
tool-threads 2
database mdb
suffix "{BASE_DN}"
directory /var/lib/bench/ldap
maxsize 8589934592
dbnosync
index objectClass,uid,cn,uidNumber,gidNumber,memberUid eq
"""

SSSD_CONF = f"""
[sssd]
services = nss
domains = bench

[nss]
memcache_timeout = 86400
memcache_size_passwd = 64
memcache_size_group = 64
memcache_size_initgroups = 64
filter_users = root
filter_groups = root

[domain/bench]
id_provider = ldap
auth_provider = none
access_provider = permit
sudo_provider = none
autofs_provider = none
ldap_uri = ldap://127.0.0.1:{PORT}
ldap_search_base = {BASE_DN}
ldap_schema = rfc2307
ldap_id_use_start_tls = false
ldap_tls_reqcert = never
enumerate = false
cache_credentials = false
entry_cache_timeout = 86400
min_id = 1000
"""

SSS_DIRECTORIES = "db mc pipes pipes/private pubconf secrets gpo_cache keytabs deskprofile".split()


def _wait(what: str, ready: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if process.poll() is not None:
            raise BenchError(f"{what} ended with {process.returncode}; see /var/log/{what}.log")
        if time.monotonic() > deadline:
            raise BenchError(f"{what} was not ready after {START_SECONDS:g} s")
        time.sleep(0.1)


def _listening() -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", PORT), 1):
        return True
    return False


@contextlib.contextmanager
def _running(
    name: str, command: list[str], ready: Callable[[], bool]
) -> Iterator[subprocess.Popen[bytes]]:
    with Path(f"/var/log/{name}.log").open("ab") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            _wait(name, ready, process)
            yield process
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextlib.contextmanager
def directory(population: Population) -> Iterator[float]:
    """slapd with the population, on loopback. Yields how long slapadd took."""
    place = Path("/var/lib/bench/ldap")
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    conf, ldif = Path("/var/lib/bench/slapd.conf"), Path("/var/lib/bench/site.ldif")
    conf.write_text(SLAPD_CONF)
    population.write_ldif(ldif)
    started = time.monotonic()
    done = subprocess.run(
        ["slapadd", "-q", "-f", str(conf), "-l", str(ldif)], capture_output=True, timeout=1500
    )
    if done.returncode != 0:
        raise BenchError(f"slapadd: {done.stderr.decode(errors='replace')[-500:]}")
    took = time.monotonic() - started
    ldif.unlink()
    command = ["slapd", "-d", "0", "-f", str(conf), "-h", f"ldap://127.0.0.1:{PORT}"]
    with _running("slapd", command, _listening):
        yield took
    shutil.rmtree(place, ignore_errors=True)


@contextlib.contextmanager
def sssd() -> Iterator[None]:
    """SSSD with an empty cache, ready to answer `getent -s sss`."""
    base = Path("/var/lib/sss")
    shutil.rmtree(base, ignore_errors=True)
    for name in SSS_DIRECTORIES:
        (base / name).mkdir(parents=True, exist_ok=True)
    (base / "pipes/private").chmod(0o700)
    (base / "db").chmod(0o700)
    Path("/var/log/sssd").mkdir(exist_ok=True)
    conf = Path("/etc/sssd/sssd.conf")
    conf.parent.mkdir(exist_ok=True)
    conf.write_text(SSSD_CONF)
    conf.chmod(0o600)
    Path("/run/sssd.pid").unlink(missing_ok=True)

    def ready() -> bool:
        return (base / "pipes/nss").exists() and (base / "mc/passwd").exists()

    with _running("sssd", ["/usr/sbin/sssd", "-i", "--logger=files"], ready):
        yield


def sss_module() -> str:
    """Where Debian puts SSSD's NSS module."""
    for directory_name in os.environ.get("LD_LIBRARY_PATH", "").split(":"):
        if (Path(directory_name) / SSS_MODULE).exists():
            return str(Path(directory_name) / SSS_MODULE)
    return next(str(path) for path in Path("/lib").glob(f"*/{SSS_MODULE}"))
