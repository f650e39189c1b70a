"""One running instance: its settings, records, keys, clients, grants and faults in one place.

Handlers receive an `Instance` and nothing else, so two instances in one process share nothing. The
clock and the random order are asked for here only.
"""

from __future__ import annotations

import random
import uuid
from collections import Counter, deque
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .clients import Clients
from .faults import Faults
from .grants import Grant, GrantBook
from .keys import SigningKeys, SignWith
from .paging import ListOrder
from .population import build_directory
from .shapes import Draughtsman
from .tokens import Profile, Subject, TokenWish, access_token_claims

MOST_RECENT_REQUESTS = 1000
# Enough for a test to read a whole crawl; a bound for long demos.


@dataclass(frozen=True, slots=True)
class Settings:
    """How the instance is set up. `issuer` goes into tokens exactly as written."""

    issuer: str
    base_url: str
    discovery_issuer: str
    population: str = "small"
    seed: int = 1
    organisation: str = "demo"
    profile: Profile = "iam"
    include_authn_info: bool = False
    include_labels: bool = False
    include_attributes: bool = False
    list_order: ListOrder = "window"
    control: bool = False
    key_file: Path | None = None
    clients_file: Path | None = None


def with_slash(url: str) -> str:
    """`url` ending in a slash: what IAM does to its issuer in discovery and introspection."""
    return url if url.endswith("/") else f"{url}/"


@dataclass(slots=True)
class RequestLog:
    """What was asked, for tests that count requests. Holds no header, body or token."""

    counts: Counter[str] = field(default_factory=Counter)
    recent: deque[dict[str, Any]] = field(
        default_factory=lambda: deque(maxlen=MOST_RECENT_REQUESTS)
    )

    def record(self, route: str, entry: dict[str, Any]) -> None:
        """Note one answered request; `route` is "METHOD /path/{parameter}"."""
        self.counts[route] += 1
        self.recent.append(entry)

    def clear(self) -> None:
        """Start counting anew."""
        self.counts.clear()
        self.recent.clear()


class Instance:
    """A simulated IAM."""

    def __init__(self, settings: Settings) -> None:
        """Build the population, keys and clients. Raises what their loaders raise."""
        self.settings = settings
        self.directory = build_directory(settings.population, settings.seed)
        self.keys = SigningKeys(settings.key_file)
        self.clients = Clients(settings.clients_file)
        self.grants = GrantBook()
        self.faults = Faults()
        self.requests = RequestLog()
        self._draws = 0

    @property
    def draughtsman(self) -> Draughtsman:
        """Draws records as the settings of now say."""
        return Draughtsman(
            self.directory,
            self.settings.base_url,
            include_labels=self.settings.include_labels,
            include_attributes=self.settings.include_attributes,
        )

    def change_settings(self, **changes: Any) -> None:
        """Change settings that are read at each request: profile, authn info, list order, what SCIM shows."""
        self.settings = replace(self.settings, **changes)

    def now(self) -> datetime:
        """The time, with an offset."""
        return datetime.now(UTC)

    def chance(self) -> random.Random:
        """Randomness for one request: different each time, the same sequence for the same seed."""
        self._draws += 1
        return random.Random(f"{self.settings.seed}:{self._draws}")  # noqa: S311 - order, not secrecy

    def issue(
        self,
        wish: TokenWish,
        subject: Subject,
        *,
        sign_with: SignWith = "good",
        kid: str | None = None,
    ) -> tuple[str, dict[str, Any]]:
        """Sign an access token and remember it. Returns the token and its claims.

        A token signed with the other key is not remembered: this instance did not issue it.
        """
        claims = access_token_claims(
            wish,
            subject,
            issuer=self.settings.issuer,
            organisation=self.settings.organisation,
            now=self.now(),
            token_id=str(uuid.uuid4()),
        )
        token = self.keys.sign(claims, kid=kid, sign_with=sign_with)
        if sign_with == "good":
            self.grants.record(
                token,
                Grant(
                    sub=subject.sub,
                    client_id=wish.client_id,
                    scopes=frozenset(wish.scopes),
                    profile=wish.profile,
                    claims=claims,
                    is_for_person=subject.person is not None,
                ),
            )
        return token, claims
