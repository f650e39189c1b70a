"""Public keys of trusted issuers: fetched rarely, kept on disk, used while the issuer is silent.

Rules: only ever asked about an issuer that is already trusted; bounded size and time (`exchange`); refreshed after an
hour, in the background while the known keys serve; kept for two days when the issuer does not answer (WLCG profile
1.3 allows one to four); an unknown key id causes at most one fetch a minute and issuer, however many tokens ask; a
failed fetch never drops what was known (jpadilla/pyjwt#1162). One fetch at a time per issuer, and few threads that
wait for it, so that an issuer without answers does not cost the others theirs.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import structlog

from idmap.adapters.oidc.exchange import MAX_BODY, Ask, NoAnswer, exchange
from idmap.adapters.oidc.key_files import Jwk, KeyFiles, Known, public_keys
from idmap.application.ports import Clock
from idmap.application.single_flight import SingleFlight
from idmap.domain.errors import Unavailable
from idmap.domain.issuers import IssuerProfile, is_loopback_url
from idmap.domain.reasons import Reason

REFRESH_SECONDS: Final = 3600
OVERDUE_SECONDS: Final = 2 * REFRESH_SECONDS
"""Keys older than this are refreshed before they are used, if the issuer answers: after an idle night the first
token must not pass by a key that was withdrawn."""

STALE_LIMIT_SECONDS: Final = 2 * 86400
UNKNOWN_KEY_COOLDOWN_SECONDS: Final = 60
RETRY_SECONDS: Final = 30
"""After a failed fetch, so long nobody else tries."""

FETCH_SECONDS: Final = 10.0
"""For one document, name resolution to last byte."""

MAX_DOCUMENT: Final = MAX_BODY

Fetch = Callable[[str], Mapping[str, Any]]
"""Gets a JSON object from a URL; raises Unavailable(ISSUER_UNAVAILABLE)."""

Aside = Callable[[Callable[[], None]], None]
"""Runs something without making anybody wait."""

_log = structlog.get_logger(__name__)


def in_a_thread(errand: Callable[[], None]) -> None:
    """In a thread of its own, which does not keep the process alive."""
    threading.Thread(target=errand, name="issuer-keys", daemon=True).start()


class JwksCache:
    """The IssuerKeys port for the service: memory over disk over the issuer."""

    def __init__(
        self,
        directory: Path | None,
        clock: Clock,
        fetch: Fetch | None = None,
        aside: Aside = in_a_thread,
    ) -> None:
        """`directory` keeps the keys across restarts; without it they are lost with the process."""
        self._files = None if directory is None else KeyFiles(directory, clock)
        self._clock = clock
        self._fetch = fetch or fetch_json
        self._aside = aside
        self._known: dict[str, Known] = {}
        self._tried: dict[str, int] = {}
        self._searched: dict[str, int] = {}
        self._flights = SingleFlight()
        self._version = 0

    @property
    def version(self) -> int:
        """Rises when the keys of any issuer change; for memories of what they proved."""
        return self._version

    def find_key(self, profile: IssuerProfile, key_id: str | None) -> Jwk | None:
        """See IssuerKeys.find_key."""
        found = pick_key(self.keys_of(profile), key_id)
        if found is None and (
            self._is_over(self._searched, profile, UNKNOWN_KEY_COOLDOWN_SECONDS)
            or self._flights.is_flying(profile.issuer)
        ):
            self._refresh(profile, self._searched, UNKNOWN_KEY_COOLDOWN_SECONDS)
            found = pick_key(self.keys_of(profile), key_id)
        return found

    def keys_of(self, profile: IssuerProfile) -> tuple[Jwk, ...]:
        """Every key known now; fetches when none is, or the known ones are due for a refresh.

        Raises Unavailable(ISSUER_UNAVAILABLE) when none was ever fetched, or the known ones are too old.
        """
        known = self._recall(profile)
        age = None if known is None else self._clock() - known.fetched
        due = age is None or age >= REFRESH_SECONDS
        if due and self._is_over(self._tried, profile, RETRY_SECONDS):
            if age is None or age >= OVERDUE_SECONDS:
                self._refresh(profile, self._tried, RETRY_SECONDS, wait=age is None)
            else:
                self._aside(lambda: self._refresh(profile, self._tried, RETRY_SECONDS, wait=False))
            known = self._recall(profile)
        elif age is None and self._flights.is_flying(profile.issuer):
            self._refresh(profile, self._tried, RETRY_SECONDS)
            known = self._recall(profile)
        if known is None or self._clock() - known.fetched > STALE_LIMIT_SECONDS:
            raise Unavailable(Reason.ISSUER_UNAVAILABLE, f"no keys of {profile.issuer}")
        return known.keys

    def _recall(self, profile: IssuerProfile) -> Known | None:
        """From memory, or from disk when another process fetched more recently."""
        known = self._known.get(profile.issuer)
        stored = None if self._files is None else self._files.load_if_new(profile.issuer)
        if stored is not None and (known is None or stored.fetched > known.fetched):
            known = self._remember(profile, stored)
        return known

    def _remember(self, profile: IssuerProfile, known: Known) -> Known:
        before = self._known.get(profile.issuer)
        self._known[profile.issuer] = known
        if before is None or before.keys != known.keys:
            self._version += 1
        return known

    def _is_over(self, asked: Mapping[str, int], profile: IssuerProfile, pause: int) -> bool:
        last = asked.get(profile.issuer)
        return last is None or not 0 <= self._clock() - last < pause

    def _refresh(
        self, profile: IssuerProfile, asked: dict[str, int], pause: int, *, wait: bool = True
    ) -> None:
        """One fetch, or the one under way; a failure is logged and changes nothing."""

        def errand() -> None:
            if not self._is_over(asked, profile, pause):
                return
            asked[profile.issuer] = self._tried[profile.issuer] = self._clock()
            try:
                keys = fetch_keys(profile, self._fetch)
            except Unavailable as error:
                _log.warning("issuer_keys_unavailable", issuer=profile.issuer, detail=error.detail)
                return
            known = self._remember(profile, Known(keys, self._clock()))
            if self._files is not None:
                self._files.store(profile.issuer, known)
            _log.info("issuer_keys_fetched", issuer=profile.issuer, keys=len(keys))

        # Discovery and the key set: two documents.
        self._flights.run(profile.issuer, errand, seconds=2 * FETCH_SECONDS, wait=wait)


def pick_key(keys: tuple[Jwk, ...], key_id: str | None) -> Jwk | None:
    """The one key of that id; without an id the only key there is. Duplicate ids name no key."""
    candidates = keys if key_id is None else tuple(k for k in keys if k.get("kid") == key_id)
    return candidates[0] if len(candidates) == 1 else None


def fetch_keys(profile: IssuerProfile, fetch: Fetch) -> tuple[Jwk, ...]:
    """The issuer's signing keys, public members only (RFC 7517; OpenID Connect Discovery §4).

    Raises Unavailable(ISSUER_UNAVAILABLE), also when discovery names another issuer than the profile.
    """
    jwks_uri = profile.jwks_uri or discover(profile.issuer, profile.spells(), fetch).get("jwks_uri")
    if not isinstance(jwks_uri, str) or not is_safe_url(jwks_uri):
        raise _unavailable("jwks_uri is not https")
    keys = fetch(jwks_uri).get("keys")
    if not isinstance(keys, list):
        raise _unavailable("the JWKS has no list of keys")
    public = public_keys(keys)
    if not public:
        raise _unavailable("the JWKS has no usable key")
    return public


def is_safe_url(url: str) -> bool:
    """Whether we go there: https, or plain http to this very host."""
    return url.startswith("https://") or is_loopback_url(url)


def discover(issuer: str, accepted: frozenset[Any], fetch: Fetch) -> Mapping[str, Any]:
    """The discovery document, checked to speak of this very issuer (OpenID Connect Discovery §4.3)."""
    document = fetch(f"{issuer.removesuffix('/')}/.well-known/openid-configuration")
    named = document.get("issuer")
    if not isinstance(named, str) or named not in accepted:
        raise _unavailable(f"discovery names the issuer {str(named)[:255]!r}")
    return document


def fetch_json(url: str, *, seconds: float = FETCH_SECONDS) -> Mapping[str, Any]:
    """A JSON object over https (or loopback), within `seconds`. Raises Unavailable(ISSUER_UNAVAILABLE)."""
    try:
        status, body = exchange(Ask("GET", url), seconds=seconds)
        if status != 200:
            raise _unavailable(f"{url} answered {status}")
        value = json.loads(body)
    except NoAnswer as error:
        raise _unavailable(str(error)) from error
    except (ValueError, RecursionError) as error:
        raise _unavailable(f"{url}: {type(error).__name__}") from error
    if not isinstance(value, dict):
        raise _unavailable(f"{url} answered no JSON object")
    return value


def _unavailable(detail: str) -> Unavailable:
    return Unavailable(Reason.ISSUER_UNAVAILABLE, detail)
