"""Public keys of trusted issuers: fetched rarely, kept on disk, used while the issuer is silent.

Rules: only ever asked about an issuer that is already trusted; https or loopback; no redirects; bounded size and
time; refreshed after an hour; kept for two days when the issuer does not answer (WLCG profile 1.3 allows one to four);
an unknown key id causes at most one fetch a minute and issuer, however many tokens ask; a
failed fetch never drops what was known (jpadilla/pyjwt#1162). One fetch at a time per issuer.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2
import structlog

from idmap.application.ports import Clock
from idmap.domain.errors import Unavailable
from idmap.domain.issuers import IssuerProfile, is_loopback_url
from idmap.domain.reasons import Reason

REFRESH_SECONDS: Final = 3600
STALE_LIMIT_SECONDS: Final = 2 * 86400
UNKNOWN_KEY_COOLDOWN_SECONDS: Final = 60
RETRY_SECONDS: Final = 30
"""After a failed fetch, so long nobody else tries."""

MAX_DOCUMENT: Final = 256 * 1024
MAX_KEYS: Final = 32
_TIMEOUT: Final = httpx2.Timeout(5.0, connect=3.0)
_PUBLIC_MEMBERS: Final = ("kty", "crv", "x", "y", "n", "e", "kid", "use", "alg")

Jwk = Mapping[str, Any]
Fetch = Callable[[str], Mapping[str, Any]]
"""Gets a JSON object from a URL; raises Unavailable(ISSUER_UNAVAILABLE)."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Known:
    keys: tuple[Jwk, ...]
    fetched: int


class JwksCache:
    """The IssuerKeys port for the service: memory over disk over the issuer."""

    def __init__(self, directory: Path | None, clock: Clock, fetch: Fetch | None = None) -> None:
        """`directory` keeps the keys across restarts; without it they are lost with the process."""
        self._directory = directory
        self._clock = clock
        self._fetch = fetch or fetch_json
        self._known: dict[str, _Known] = {}
        self._tried: dict[str, int] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()

    def find_key(self, profile: IssuerProfile, key_id: str | None) -> Jwk | None:
        """See IssuerKeys.find_key."""
        found = pick_key(self.keys_of(profile), key_id)
        if found is None and self._may_try(profile, UNKNOWN_KEY_COOLDOWN_SECONDS):
            self._refresh(profile)
            found = pick_key(self.keys_of(profile), key_id)
        return found

    def keys_of(self, profile: IssuerProfile) -> tuple[Jwk, ...]:
        """Every key known now; fetches when none is, or the known ones are due for a refresh.

        Raises Unavailable(ISSUER_UNAVAILABLE) when none was ever fetched, or the known ones are too old.
        """
        known = self._recall(profile)
        age = None if known is None else self._clock() - known.fetched
        if (age is None or age >= REFRESH_SECONDS) and self._may_try(profile, RETRY_SECONDS):
            self._refresh(profile)
            known = self._recall(profile)
        if known is None or self._clock() - known.fetched > STALE_LIMIT_SECONDS:
            raise Unavailable(Reason.ISSUER_UNAVAILABLE, f"no keys of {profile.issuer}")
        return known.keys

    def _recall(self, profile: IssuerProfile) -> _Known | None:
        """From memory, or from disk when another process fetched more recently."""
        known = self._known.get(profile.issuer)
        if known is None or self._clock() - known.fetched >= REFRESH_SECONDS:
            stored = self._load(profile)
            if stored is not None and (known is None or stored.fetched > known.fetched):
                self._known[profile.issuer] = known = stored
        return known

    def _may_try(self, profile: IssuerProfile, pause: int) -> bool:
        tried = self._tried.get(profile.issuer)
        return tried is None or not 0 <= self._clock() - tried < pause

    def _refresh(self, profile: IssuerProfile) -> None:
        """One fetch; a failure is logged and changes nothing."""
        with self._guard:
            lock = self._locks.setdefault(profile.issuer, threading.Lock())
        if not lock.acquire(blocking=profile.issuer not in self._known):
            return
        try:
            if not self._may_try(profile, 1):
                return
            self._tried[profile.issuer] = self._clock()
            keys = fetch_keys(profile, self._fetch)
            self._known[profile.issuer] = _Known(keys, self._clock())
            self._store(profile, self._known[profile.issuer])
            _log.info("issuer_keys_fetched", issuer=profile.issuer, keys=len(keys))
        except Unavailable as error:
            _log.warning("issuer_keys_unavailable", issuer=profile.issuer, detail=error.detail)
        finally:
            lock.release()

    def _file(self, profile: IssuerProfile) -> Path | None:
        if self._directory is None:
            return None
        return self._directory / f"{hashlib.sha256(profile.issuer.encode()).hexdigest()[:32]}.json"

    def _load(self, profile: IssuerProfile) -> _Known | None:
        path = self._file(profile)
        try:
            if path is None:
                return None
            value = json.loads(path.read_bytes())
            if value["issuer"] != profile.issuer:
                return None
            return _Known(tuple(value["keys"]), int(value["fetched"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _store(self, profile: IssuerProfile, known: _Known) -> None:
        path = self._file(profile)
        if path is None:
            return
        value = {"issuer": profile.issuer, "fetched": known.fetched, "keys": list(known.keys)}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
                json.dump(value, file)
            Path(file.name).replace(path)
        except OSError as error:
            _log.warning(
                "issuer_keys_not_stored", issuer=profile.issuer, detail=type(error).__name__
            )


def pick_key(keys: tuple[Jwk, ...], key_id: str | None) -> Jwk | None:
    """The one key of that id; without an id the only key there is. Duplicate ids name no key."""
    candidates = keys if key_id is None else tuple(k for k in keys if k.get("kid") == key_id)
    return candidates[0] if len(candidates) == 1 else None


def fetch_keys(profile: IssuerProfile, fetch: Fetch) -> tuple[Jwk, ...]:
    """The issuer's signing keys, public members only (RFC 7517; OpenID Connect Discovery §4).

    Raises Unavailable(ISSUER_UNAVAILABLE), also when discovery names another issuer than the profile.
    """
    jwks_uri = profile.jwks_uri or discover(profile.issuer, profile.spells(), fetch)["jwks_uri"]
    if not isinstance(jwks_uri, str) or not (
        jwks_uri.startswith("https://") or is_loopback_url(jwks_uri)
    ):
        raise _unavailable("jwks_uri is not https")
    keys = fetch(jwks_uri).get("keys")
    if not isinstance(keys, list):
        raise _unavailable("the JWKS has no list of keys")
    public = tuple(
        {name: key[name] for name in _PUBLIC_MEMBERS if isinstance(key.get(name), str)}
        for key in keys[:MAX_KEYS]
        if isinstance(key, dict) and key.get("kty") in {"RSA", "EC", "OKP"}
    )
    if not public:
        raise _unavailable("the JWKS has no usable key")
    return public


def discover(issuer: str, accepted: frozenset[Any], fetch: Fetch) -> Mapping[str, Any]:
    """The discovery document, checked to speak of this very issuer (OpenID Connect Discovery §4.3)."""
    document = fetch(f"{issuer.removesuffix('/')}/.well-known/openid-configuration")
    if document.get("issuer") not in accepted:
        raise _unavailable(f"discovery names the issuer {str(document.get('issuer'))[:255]!r}")
    return document


def fetch_json(url: str) -> Mapping[str, Any]:
    """A JSON object over https (or loopback). Raises Unavailable(ISSUER_UNAVAILABLE)."""
    try:
        with (
            httpx2.Client(timeout=_TIMEOUT, follow_redirects=False) as client,
            client.stream("GET", url, headers={"Accept": "application/json"}) as response,
        ):
            if response.status_code != 200:
                raise _unavailable(f"{url} answered {response.status_code}")
            body = bytearray()
            for part in response.iter_bytes():
                body += part
                if len(body) > MAX_DOCUMENT:
                    raise _unavailable(f"{url} answered more than {MAX_DOCUMENT} bytes")
        value = json.loads(body)
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, RecursionError) as error:
        raise _unavailable(f"{url}: {type(error).__name__}") from error
    if not isinstance(value, dict):
        raise _unavailable(f"{url} answered no JSON object")
    return value


def _unavailable(detail: str) -> Unavailable:
    return Unavailable(Reason.ISSUER_UNAVAILABLE, detail)
