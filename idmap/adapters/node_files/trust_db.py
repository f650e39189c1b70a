"""trust.db: issuers, keys and salted identities, written by the agent, read by idmap-verify.

A SQLite file that is never changed once it has its name: each snapshot makes a new one (0640, group of the verifier).
The reader notices a replacement by the inode and opens the new one; a file that is missing or damaged is
NODE_FILES_UNREADABLE, and nobody gets in by token (law 4).

    meta(key TEXT PRIMARY KEY, value)              format, salt, revision, created, not_after, demands (as JSON)
    issuers(issuer TEXT PRIMARY KEY, profile TEXT) the profile document as JSON
    spellings(spelling TEXT PRIMARY KEY, issuer)   the issuer itself and each of its aliases, exact
    keys(issuer, kid, jwk TEXT)                    kid NULL for a key without one; jwk as JSON
    identities(digest BLOB PRIMARY KEY, uid_number INTEGER, username TEXT) WITHOUT ROWID
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from idmap.adapters.node_files.replace import replacing
from idmap.application.install_state import TrustContent
from idmap.domain.demands import Demand
from idmap.domain.errors import IdmapError, InvalidInput, NodeInstallFailed, Unavailable
from idmap.domain.identity import Identity, identity_digest
from idmap.domain.issuer_document import parse_profile, profile_document
from idmap.domain.issuers import IssuerProfile
from idmap.domain.reasons import Reason
from idmap.domain.rule_demands import demand_document, parse_demands

FORMAT: Final = 2
"""1 knew no demands; whichever reader meets the other lets nobody in until the agent has written it anew."""
_SCHEMA: Final = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE issuers(issuer TEXT PRIMARY KEY, profile TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE spellings(spelling TEXT PRIMARY KEY, issuer TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE keys(issuer TEXT NOT NULL, kid TEXT, jwk TEXT NOT NULL);
CREATE INDEX keys_by_issuer ON keys(issuer);
CREATE TABLE identities(
    digest BLOB PRIMARY KEY, uid_number INTEGER NOT NULL, username TEXT NOT NULL
) WITHOUT ROWID;
"""


def write_trust_db(path: Path, content: TrustContent, *, group_number: int) -> None:
    """Replaces trust.db. Raises NodeInstallFailed(INSTALL_FAILED) with the old one in place."""
    with replacing(path, mode=0o640, group_number=group_number) as temporary:
        try:
            with closing(sqlite3.connect(temporary, isolation_level=None)) as database:
                # No journal: the file has no reader yet, and a failure throws it away whole.
                database.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;")
                database.execute("BEGIN")
                for statement in filter(str.strip, _SCHEMA.split(";")):
                    database.execute(statement)
                _fill(database, content)
                database.execute("COMMIT")
        except sqlite3.Error as error:
            raise NodeInstallFailed(Reason.INSTALL_FAILED, f"{path}: {error}") from error


class TrustDb:
    """The reader. Safe to share between threads; opens the newest file by itself."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._opened: tuple[int, int] | None = None
        self._database: sqlite3.Connection | None = None
        self._salt = b""
        self._revision = 0
        self._created = 0
        self._profiles: dict[str, IssuerProfile] = {}
        self._demands: tuple[Demand, ...] = ()

    def find_issuer(self, text: str) -> IssuerProfile | None:
        """The profile whose issuer or alias is exactly `text`."""
        with self._lock:
            database = self._current()
            row = self._row(database, "SELECT issuer FROM spellings WHERE spelling = ?", text)
            return self._profile(database, row[0]) if row else None

    def find_key(self, profile: IssuerProfile, key_id: str | None) -> Mapping[str, Any] | None:
        """The IssuerKeys port: the one JWK of that id; without an id the only one there is."""
        keys = [
            jwk for jwk in self.keys(profile.issuer) if key_id is None or jwk.get("kid") == key_id
        ]
        return keys[0] if len(keys) == 1 else None

    def keys(self, issuer: str) -> tuple[Mapping[str, Any], ...]:
        """Every key known for the issuer."""
        with self._lock:
            try:
                rows = self._current().execute("SELECT jwk FROM keys WHERE issuer = ?", (issuer,))
                return tuple(json.loads(jwk) for (jwk,) in rows)
            except (sqlite3.Error, ValueError) as error:
                raise self._unreadable(error) from error

    def find_account(self, identity: Identity) -> tuple[int, str] | None:
        """(uid number, username) of the account that the identity is linked to, unless masked on this node."""
        with self._lock:
            database = self._current()
            return self._account(database, identity_digest(self._salt, identity))

    def find_account_by_digest(self, digest: bytes) -> tuple[int, str] | None:
        """The same, of an identity known by its salted digest only."""
        with self._lock:
            return self._account(self._current(), digest)

    def salt(self) -> bytes:
        """The realm's, under which identities and banned tokens are known here."""
        with self._lock:
            self._current()
            return self._salt

    def demands(self) -> tuple[Demand, ...]:
        """What tokens must prove at ssh doors, by the rules of the snapshot that the file was made from."""
        with self._lock:
            self._current()
            return self._demands

    def revision(self) -> tuple[int, int]:
        """(revision, created) of the snapshot that the file was made from."""
        with self._lock:
            self._current()
            return self._revision, self._created

    def count_identities(self) -> int:
        """How many identities can log in here."""
        with self._lock:
            row = self._row(self._current(), "SELECT count(*) FROM identities")
            return int(row[0]) if row else 0

    def close(self) -> None:
        """Closes the file; the next question opens it again."""
        with self._lock:
            self._forget()

    def _current(self) -> sqlite3.Connection:
        try:
            status = self._path.stat()
            if self._database is None or self._opened != (status.st_dev, status.st_ino):
                return self._open(status.st_dev, status.st_ino)
            return self._database
        except (OSError, sqlite3.Error, KeyError, TypeError, ValueError, InvalidInput) as error:
            self._forget()
            raise self._unreadable(error) from error

    def _open(self, device: int, inode: int) -> sqlite3.Connection:
        self._forget()
        uri = f"file:{quote(str(self._path))}?mode=ro&immutable=1"
        database = sqlite3.connect(uri, uri=True, check_same_thread=False, isolation_level=None)
        try:
            meta = dict(database.execute("SELECT key, value FROM meta").fetchall())
            if meta["format"] != FORMAT:
                raise ValueError(f"format {meta['format']!r}")
            self._salt = bytes(meta["salt"])
            self._revision, self._created = int(meta["revision"]), int(meta["created"])
            self._demands = parse_demands(json.loads(meta["demands"]))
        except BaseException:
            database.close()
            raise
        self._database = database
        # The inode seen before the opening: a replacement in between only means opening once more.
        self._opened = (device, inode)
        return database

    def _forget(self) -> None:
        if self._database is not None:
            self._database.close()
        self._database = None
        self._opened = None
        self._profiles = {}

    def _profile(self, database: sqlite3.Connection, issuer: str) -> IssuerProfile:
        known = self._profiles.get(issuer)
        if known is not None:
            return known
        row = self._row(database, "SELECT profile FROM issuers WHERE issuer = ?", issuer)
        try:
            if row is None:
                raise ValueError("a spelling without its issuer")
            profile = parse_profile(json.loads(row[0]))
        except (ValueError, TypeError, IdmapError) as error:
            raise self._unreadable(error) from error
        self._profiles[issuer] = profile
        return profile

    def _account(self, database: sqlite3.Connection, digest: bytes) -> tuple[int, str] | None:
        row = self._row(
            database, "SELECT uid_number, username FROM identities WHERE digest = ?", digest
        )
        return None if row is None else (int(row[0]), str(row[1]))

    def _row(
        self, database: sqlite3.Connection, query: str, *values: Any
    ) -> tuple[Any, ...] | None:
        try:
            row: tuple[Any, ...] | None = database.execute(query, values).fetchone()
            return row
        except (sqlite3.Error, ValueError) as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> Unavailable:
        return Unavailable(
            Reason.NODE_FILES_UNREADABLE, f"{self._path}: {type(error).__name__}: {error}"
        )


def _fill(database: sqlite3.Connection, content: TrustContent) -> None:
    database.executemany(
        "INSERT INTO meta VALUES (?, ?)",
        [
            ("format", FORMAT),
            ("salt", content.salt),
            ("revision", content.revision),
            ("created", content.created),
            ("not_after", content.not_after),
            ("demands", json.dumps([demand_document(demand) for demand in content.demands])),
        ],
    )
    for trusted in content.issuers:
        issuer = trusted.profile.issuer
        document = json.dumps(profile_document(trusted.profile), sort_keys=True)
        database.execute("INSERT INTO issuers VALUES (?, ?)", (issuer, document))
        database.executemany(
            "INSERT INTO spellings VALUES (?, ?)",
            [(text, issuer) for text in trusted.profile.spells()],
        )
        database.executemany(
            "INSERT INTO keys VALUES (?, ?, ?)",
            [
                (issuer, jwk.get("kid"), json.dumps(dict(jwk), sort_keys=True))
                for jwk in trusted.keys
            ],
        )
    database.executemany("INSERT INTO identities VALUES (?, ?, ?)", sorted(content.identities))
