"""Which PostgreSQL URLs are accepted: no secret in them, and no network without TLS.

The settings are read by more than one user and shown by commands, so a password does not belong there; a certificate
that nobody checks protects nothing, so a server on another host must prove its name.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy.engine import URL, make_url

from idmap.domain.errors import InvalidInput
from idmap.domain.reasons import Reason

_KNOWN: Final = frozenset(
    {
        "host",
        "passfile",
        "sslcert",
        "sslkey",
        "sslmode",
        "sslrootcert",
        "target_session_attrs",
    }
)
"""libpq's own names (PostgreSQL manual, "Parameter Key Words")."""

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def check_url(url: str) -> URL:
    """The URL for SQLAlchemy and psycopg. Raises InvalidInput(CONFIGURATION_INVALID), never quoting a password."""
    parsed = make_url(url)
    if parsed.drivername not in {"postgresql", "postgresql+psycopg"}:
        raise _invalid("the driver is psycopg; write postgresql+psycopg://")
    if parsed.password is not None or "password" in parsed.query:
        raise _invalid(
            "no password belongs here; use peer authentication over the server's Unix socket, or"
            " name a file of mode 0600 with ?passfile="
        )
    if not parsed.database:
        raise _invalid("it names no database")
    unknown = sorted(parsed.query.keys() - _KNOWN)
    if unknown:
        raise _invalid(f"parameter {unknown[0]} is not among {', '.join(sorted(_KNOWN))}")
    if parsed.query.get("sslmode") != "verify-full" and not all(map(_is_local, _hosts(parsed))):
        raise _invalid("to a server on another host, sslmode=verify-full is needed")
    return parsed.set(drivername="postgresql+psycopg")


def _hosts(url: URL) -> tuple[str, ...]:
    """Every host that may be asked; none is the local socket."""
    named = url.query.get("host", ())
    hosts = (named,) if isinstance(named, str) else named
    return (*((url.host,) if url.host else ()), *hosts)


def _is_local(host: str) -> bool:
    """A socket's directory, or this host. Several in one string, as libpq takes them, are not."""
    if host.startswith("/"):
        return "," not in host
    name = host.partition("]")[0].removeprefix("[") if "]" in host else host
    return name in _LOOPBACK or name.rpartition(":")[0] in _LOOPBACK


def _invalid(detail: str) -> InvalidInput:
    return InvalidInput(Reason.CONFIGURATION_INVALID, f"registry.url: {detail}")
