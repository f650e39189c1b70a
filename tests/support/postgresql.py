"""A private PostgreSQL for tests: one cluster per test run, a fresh database per registry.

The server is the real one, durable as at a site (fsync on), reached by its Unix socket alone, in a directory that goes
with it. It refuses to run as root, so root starts it as `nobody`; connections say which role they are, and a socket
nobody else can reach is trusted. A fresh database is a copy of one that the migrations made.
"""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any, Final

import psycopg

from idmap.adapters.sql import SqlRegistry
from idmap.application.ports import Clock

NOW: Final = 1_700_000_000
ROLE: Final = "idmap"
"""An ordinary role, which owns its databases and nothing else."""
_ADMINISTRATOR: Final = "postgres"

_BINARIES: Final = "/usr/lib/postgresql"
_PLACE: Final = next(place for place in ("/dev/shm", "/tmp") if Path(place).is_dir())
_START_SECONDS: Final = 60
_SETTINGS: Final = {
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "autovacuum": "on",
    "log_min_messages": "warning",
}
_numbers = count(1)


class Cluster:
    """A running server and its directory."""

    def __init__(self, place: str = _PLACE) -> None:
        # Short: the path of a socket has 107 characters at most. In memory where the machine allows: fsync is
        # asked for all the same, and no test cuts the power.
        self.directory = Path(tempfile.mkdtemp(prefix="pg-", dir=place))
        self.data = self.directory / "data"
        self._server: subprocess.Popen[bytes] | None = None
        self._main_process = os.getpid()
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(self.directory, nobody.pw_uid, nobody.pw_gid)
        self._run_to_end(
            "initdb", "--pgdata", str(self.data), "--username", _ADMINISTRATOR, "--auth", "trust",
            "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-instructions", "--no-sync",
        )  # fmt: skip
        lines = [f"{name} = '{value}'\n" for name, value in _SETTINGS.items()]
        with (self.data / "postgresql.conf").open("a") as file:
            file.writelines([f"unix_socket_directories = '{self.directory}'\n", *lines])
        self.start()
        with self.connect("postgres") as connection:
            connection.execute(f"CREATE ROLE {ROLE} LOGIN NOSUPERUSER")

    def start(self) -> None:
        """Returns when it answers."""
        with (self.directory / "log").open("ab") as log:
            self._server = subprocess.Popen(
                # Should the tests be killed, the kernel tells it to end.
                [*_as_nobody("--pdeathsig=INT"), _binary("postgres"), "-D", str(self.data)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
            )  # fmt: skip
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                self.connect("postgres").close()
            except psycopg.OperationalError:
                assert self._server.poll() is None, self.log()
                assert time.monotonic() < deadline, self.log()
                time.sleep(0.05)
            else:
                return

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT ends every connection; SIGQUIT ends at once, as in a crash."""
        if self._server is not None and os.getpid() == self._main_process:
            self._server.send_signal(how)
            self._server.wait(timeout=60)
            self._server = None

    def remove(self) -> None:
        """Stops it and deletes its directory."""
        self.stop(signal.SIGQUIT)
        if os.getpid() == self._main_process:
            shutil.rmtree(self.directory, ignore_errors=True)

    def connect(self, database: str) -> psycopg.Connection[Any]:
        """A connection of an administrator, in autocommit."""
        return psycopg.connect(
            host=str(self.directory), dbname=database, user=_ADMINISTRATOR, autocommit=True
        )

    def url(self, database: str) -> str:
        """As in the settings."""
        return f"postgresql+psycopg://{ROLE}@/{database}?host={self.directory}"

    def make_database(self, template: str = "template0") -> str:
        """A new database's name."""
        name = f"registry{next(_numbers)}"
        with self.connect("postgres") as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" OWNER {ROLE}')
        return name

    def drop_database(self, name: str) -> None:
        """Whoever is still connected is cut off."""
        with self.connect("postgres") as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def log(self) -> str:
        """What the server said."""
        return (self.directory / "log").read_text(errors="replace")

    def _run_to_end(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [*_as_nobody(), _binary(program), *arguments],
            cwd="/", timeout=120, check=False, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


@lru_cache(maxsize=1)
def cluster() -> Cluster:
    """The cluster of this test run."""
    made = Cluster()
    atexit.register(made.remove)
    return made


@lru_cache(maxsize=1)
def _template() -> str:
    name = cluster().make_database()
    with tempfile.TemporaryDirectory() as marks:
        SqlRegistry.create(cluster().url(name), lambda: NOW, Path(marks)).close()
    return name


class FreshRegistry(SqlRegistry):
    """A registry whose database is dropped, and whose marks are deleted, when it is closed."""

    database = ""
    url = ""
    marks_directory = Path()

    def another(self) -> SqlRegistry:
        """What another process on this host would open."""
        return SqlRegistry.open(self.url, lambda: NOW, self.marks_directory)

    def close(self) -> None:
        super().close()
        cluster().drop_database(self.database)
        shutil.rmtree(self.marks_directory, ignore_errors=True)


def make_postgresql_registry(clock: Clock = lambda: NOW) -> FreshRegistry:
    """An empty registry on PostgreSQL."""
    name = cluster().make_database(_template())
    marks = Path(tempfile.mkdtemp(prefix="idmap-marks-", dir=_PLACE))
    registry = FreshRegistry.open(cluster().url(name), clock, marks)
    registry.database, registry.url, registry.marks_directory = name, cluster().url(name), marks
    return registry


def _as_nobody(*more: str) -> Sequence[str]:
    nobody = ("--reuid=nobody", "--regid=nogroup", "--clear-groups") if os.geteuid() == 0 else ()
    return ("setpriv", *nobody, *more, "--") if nobody or more else ()


def _binary(name: str) -> str:
    """The newest server's, where Debian puts it, or the one on PATH."""
    versions = [path for path in Path(_BINARIES).glob("*") if (path / "bin" / name).exists()]
    if versions:
        return str(max(versions, key=lambda path: float(path.name)) / "bin" / name)
    found = shutil.which(name)
    assert found, f"{name}: install the package postgresql; see tools/packages.txt"
    return found
