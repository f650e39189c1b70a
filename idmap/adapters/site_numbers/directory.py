"""The numbers that an LDAP directory knows (RFC 2307: posixAccount, posixGroup), those of one range, page by page.

The server filters and pages (RFC 2696), so a directory of any size costs what lies in the range. A search that is
cut short by a limit of the server is a failure: numbers that were not told would be taken for free (law 4).
Plain ldap is for loopback and unix sockets; elsewhere ldaps, or StartTLS with a checked certificate.
"""

from __future__ import annotations

import contextlib
import ssl
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

with warnings.catch_warnings():
    warnings.simplefilter(
        "ignore", DeprecationWarning
    )  # pyasn1's old names, which ldap3 still uses
    import ldap3
    from ldap3.core.exceptions import LDAPException

from idmap.domain.errors import Unavailable
from idmap.domain.numbers import ForeignNumber, NumberKind
from idmap.domain.reasons import Reason
from idmap.domain.secrets import Secret

WHERE: Final = "ldap"
PAGE_SIZE: Final = 500
_SUCCESS: Final = 0


@dataclass(frozen=True, slots=True)
class Directory:
    """Where the directory is and who asks. Without `bind_dn`, nobody in particular."""

    url: str
    base: str
    bind_dn: str | None = None
    password: Secret | None = None
    ca_file: Path | None = None
    timeout_seconds: int = 20


class DirectoryNumbers:
    """Implements `SiteNumbers` on an LDAP directory; a connection for each question."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def find_in_use(self, kind: NumberKind, first: int, last: int) -> Iterable[ForeignNumber]:
        """Everything in the range. Raises Unavailable(SITE_UNAVAILABLE); its detail never holds the password."""
        found: dict[int, ForeignNumber] = {}
        try:
            for known in self._search(kind, first, last):
                found.setdefault(
                    known.number, known
                )  # a group's own name before that of a user in it
            return tuple(found[number] for number in sorted(found))
        except LDAPException as error:
            raise Unavailable(
                Reason.SITE_UNAVAILABLE, f"{self._directory.url}: {type(error).__name__}"
            ) from None

    def _search(self, kind: NumberKind, first: int, last: int) -> Iterator[ForeignNumber]:
        connection = self._connection()
        try:
            self._bind(connection)
            for attribute, object_class, name in _ASKED[kind]:
                wanted = (
                    f"(&(objectClass={object_class})({attribute}>={first})({attribute}<={last}))"
                )
                for entry in self._pages(connection, wanted, (attribute, name)):
                    yield from _numbers(entry, kind, attribute, name)
        finally:
            _close(connection)

    def _pages(
        self, connection: Any, wanted: str, attributes: tuple[str, ...]
    ) -> Iterator[Mapping[str, Any]]:
        """Each entry's attributes."""
        cookie: object = None
        while True:
            connection.search(
                self._directory.base,
                wanted,
                attributes=list(attributes),
                paged_size=PAGE_SIZE,
                paged_cookie=cookie,
                time_limit=self._directory.timeout_seconds,
            )
            if connection.result["result"] != _SUCCESS:
                raise Unavailable(
                    Reason.SITE_UNAVAILABLE,
                    f"{self._directory.url}: the search ended with {connection.result['description']}",
                )
            for entry in connection.response:
                if entry["type"] == "searchResEntry":
                    yield entry["raw_attributes"]
            paged = connection.result.get("controls", {}).get("1.2.840.113556.1.4.319")
            cookie = paged["value"]["cookie"] if paged else None
            if not cookie:
                return

    def _bind(self, connection: Any) -> None:
        """With TLS first where the network is not this host's own: the password never travels in the clear."""
        parts = urlsplit(self._directory.url)
        connection.open()
        if parts.scheme == "ldap" and parts.hostname not in _LOOPBACK:
            self._start_tls(connection)
        if not connection.bind():
            raise Unavailable(
                Reason.SITE_UNAVAILABLE,
                f"{self._directory.url}: the bind ended with {connection.result['description']}",
            )

    def _start_tls(self, connection: Any) -> None:
        if not connection.start_tls():
            raise Unavailable(Reason.SITE_UNAVAILABLE, f"{self._directory.url}: no StartTLS")

    def _connection(self) -> Any:
        directory = self._directory
        tls = ldap3.Tls(
            validate=ssl.CERT_REQUIRED,
            ca_certs_file=None if directory.ca_file is None else str(directory.ca_file),
        )
        server = ldap3.Server(
            directory.url,
            tls=tls,
            connect_timeout=directory.timeout_seconds,
            get_info=ldap3.NONE,
        )
        password = directory.password
        return ldap3.Connection(
            server,
            user=directory.bind_dn,
            password=None if password is None else password.reveal(),
            authentication=ldap3.ANONYMOUS if directory.bind_dn is None else ldap3.SIMPLE,
            auto_bind=ldap3.AUTO_BIND_NONE,
            auto_referrals=False,
            read_only=True,
            receive_timeout=directory.timeout_seconds,
            raise_exceptions=False,
        )


_ASKED: Final = {
    NumberKind.UID: (("uidNumber", "posixAccount", "uid"),),
    NumberKind.GID: (("gidNumber", "posixGroup", "cn"), ("gidNumber", "posixAccount", "uid")),
}
"""(attribute, object class, name): an account's primary gid is in use, whether or not it has an entry."""

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def _close(connection: Any) -> None:
    """Also one that never opened: ldap3 leaves its socket to the collector."""
    with contextlib.suppress(LDAPException, OSError):
        connection.unbind()
    if connection.socket is not None:
        connection.socket.close()


def _numbers(
    entry: Mapping[str, Any], kind: NumberKind, attribute: str, name: str
) -> Iterator[ForeignNumber]:
    names = [value.decode("utf-8", "replace") for value in entry.get(name, ())]
    for value in entry.get(attribute, ()):
        if value.isdigit():
            yield ForeignNumber(kind, int(value), names[0][:64] if names else "?", WHERE)
