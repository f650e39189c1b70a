"""Laws 11 and 13 at every route: each entrance takes one kind of credential, and strangers learn nothing."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Route
from structlog.testing import capture_logs

from idmap.application.ports import CredentialKind, ListedPerson, Listing
from idmap.domain.doors import ADMIN, API
from idmap.domain.identity import Identity, Issuer, Subject
from idmap.domain.reasons import Reason
from idmap.domain.secrets import Secret
from idmap.entrypoints.http.callers import Entrance
from tests.entrypoints.http.site import ADMINISTRATOR, PORTAL, SETUP, SSH, Site
from tests.support.tokens import ISSUER, claims, mint

TABLE: dict[str, list[str]] = tomllib.loads(
    Path(__file__).with_name("route_doors.toml").read_text(encoding="utf-8")
)
GUARDED = [(door, line) for door, lines in TABLE.items() if door != "open" for line in lines]

NOT_ACCEPTED, REFUSED, AUDIENCE = (
    Reason.NOT_ACCEPTED,
    Reason.CREDENTIAL_REFUSED,
    Reason.AUDIENCE_REFUSED,
)
EXPECTED: dict[str, dict[str, Reason | None]] = {
    # what is shown        at api, admin, component, node; None: it opens
    "nothing": dict.fromkeys(("api", "admin", "component", "node"), Reason.CREDENTIAL_MISSING),
    "nonsense": dict.fromkeys(("api", "admin", "component", "node"), NOT_ACCEPTED),
    "basic": dict.fromkeys(("api", "admin", "component", "node"), NOT_ACCEPTED),
    "forged token": dict.fromkeys(("api", "admin", "component", "node"), NOT_ACCEPTED),
    "revoked node": dict.fromkeys(("api", "admin", "component", "node"), NOT_ACCEPTED),
    "admin key": {"api": REFUSED, "admin": None, "component": REFUSED, "node": REFUSED},
    "component": {"api": REFUSED, "admin": REFUSED, "component": None, "node": REFUSED},
    "node": {"api": REFUSED, "admin": REFUSED, "component": REFUSED, "node": None},
    "api token": {
        "api": None,
        "admin": AUDIENCE,
        "component": NOT_ACCEPTED,
        "node": NOT_ACCEPTED,
    },
    "admin token": {
        "api": AUDIENCE,
        "admin": None,
        "component": NOT_ACCEPTED,
        "node": NOT_ACCEPTED,
    },
    "stranger's admin token": {
        "api": AUDIENCE,
        "admin": Reason.ROLE_MISSING,
        "component": NOT_ACCEPTED,
        "node": NOT_ACCEPTED,
    },
    "ssh token": {
        "api": AUDIENCE,
        "admin": AUDIENCE,
        "component": NOT_ACCEPTED,
        "node": NOT_ACCEPTED,
    },
    "portal token": {
        "api": AUDIENCE,
        "admin": AUDIENCE,
        "component": NOT_ACCEPTED,
        "node": NOT_ACCEPTED,
    },
}


def _shown(site: Site, kind: str) -> dict[str, str]:
    if kind == "nothing":
        return {}
    if kind == "basic":
        return {"Authorization": "Basic YWRtaW46YWRtaW4="}
    forged = site.token("alice")
    bearer = {
        "nonsense": "idmap-adm-nonsense",
        "forged token": forged[:-8] + ("AAAAAAAA" if forged[-8:] != "AAAAAAAA" else "BBBBBBBB"),
        "revoked node": site.secrets["gone1"],
        "admin key": site.secrets["bootstrap"],
        "component": site.secrets["portal"],
        "node": site.secrets["login1"],
        "api token": site.token("alice", API),
        "admin token": site.token(ADMINISTRATOR, ADMIN),
        "stranger's admin token": site.token("mallory", ADMIN),
        "ssh token": site.token(ADMINISTRATOR, SSH),
        "portal token": site.token(ADMINISTRATOR, PORTAL),
    }
    return {"Authorization": f"Bearer {bearer[kind]}"}


def _call(site: Site, line: str, headers: dict[str, str]) -> Any:
    method, path = line.split()
    path = path.replace("{sha256}", "0" * 64).replace("{version}", "1").replace("{ban_id}", "1")
    path = re.sub(r"\{\w+\}", "nobody", path)
    return site.client.request(method, path, headers={"Idmap-Reason": "x", **headers}, json={})


def test_the_table_lists_every_route_and_its_entrance(site: Site) -> None:
    """Whoever adds a route adds a line, and a person sees which door it opens."""
    found: dict[str, set[str]] = {}
    for route in site.app.routes:
        assert isinstance(route, Route)
        entrance = getattr(route, "entrance", Entrance.OPEN)
        for method in (route.methods or set()) - {"HEAD"}:
            found.setdefault(str(entrance), set()).add(f"{method} {route.path}")
    assert found == {door: set(lines) for door, lines in TABLE.items()}


@pytest.mark.parametrize("kind", EXPECTED)
def test_each_credential_opens_its_own_entrance_only(site: Site, kind: str) -> None:
    """Law 13, the whole matrix: every guarded route with every kind of credential."""
    headers = _shown(site, kind)
    for door, line in GUARDED:
        expected = EXPECTED[kind][door]
        if expected is None:
            if line == "GET /v1/events":
                continue  # does not end; test_events opens it
            answer = _call(site, line, headers)
            assert answer.status_code != 401, line
            assert "credential" not in answer.text or answer.status_code < 400, line
            continue
        answer = _call(site, line, headers)
        assert answer.json()["code"] == expected, f"{kind} at {line}"
        assert answer.status_code in {401, 403}
        assert "detail" not in answer.json()


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://elsewhere.example/"},
        {"iss": "https://iam.example"},
        {"header": {"kid": "nobody's"}},
        {"header": {"jku": "https://evil.example/"}},
        {"cut": 3},
    ],
    ids=["unknown issuer", "issuer without its slash", "unknown key", "brings its own key", "cut"],
)
def test_before_a_proof_the_outside_sees_one_code(site: Site, changes: dict[str, Any]) -> None:
    """Law 11: the real reason is in the log, under the correlation id of the answer, and only there."""
    cut = changes.pop("cut", 0)
    header = changes.pop("header", {})
    token = mint(claims(API, **changes), header=header).reveal()
    token = token[: len(token) - cut] if cut else token
    for place in ("/v1/me", "/v1/accounts", "/v1/resolve"):
        with capture_logs() as logs:
            shown_here = place != "/v1/resolve"
            answer = site.ask("GET", place, token) if shown_here else site.resolve(token, API)
        body = answer.json()
        assert answer.status_code == 401
        assert set(body) == {
            "type", "title", "status", "code", "next_step", "correlation_id", "concerns"
        }  # fmt: skip
        assert body["code"] == "not_accepted"
        refusals = [entry for entry in logs if entry["event"] == "request_refused"]
        assert [entry["correlation_id"] for entry in refusals] == [body["correlation_id"]]
        assert refusals[0]["code"] != "not_accepted"
        assert token not in str(logs)
        assert answer.headers["idmap-correlation-id"] == body["correlation_id"]


def test_after_the_proof_the_reason_is_told(site: Site) -> None:
    """An expired token of a known signature says so; the private detail stays with us."""
    token = site.token("alice", exp=site.clock.now - 3600)
    body = site.ask("GET", "/v1/me", token).json()
    assert (body["code"], "detail" in body) == ("token_expired", False)


def test_a_challenge_comes_with_every_refused_credential(site: Site) -> None:
    """RFC 6750 §3: an error is named only once a credential was shown."""
    assert site.ask("GET", "/v1/me").headers["www-authenticate"] == 'Bearer realm="idmap"'
    assert "invalid_token" in site.ask("GET", "/v1/me", "x").headers["www-authenticate"]


def test_two_credentials_at_once_are_none(site: Site) -> None:
    """Nothing is chosen for the caller."""
    both = [("Authorization", f"Bearer {site.secrets[n]}") for n in ("bootstrap", "portal")]
    answer = site.client.get("/v1/accounts", headers=both)
    assert answer.json()["code"] == "not_accepted"


def test_a_member_of_an_administrators_group_is_one(site: Site) -> None:
    """Only by recorded membership: a token that merely claims the group opens nothing (law 3)."""
    token = site.token("carol", ADMIN, groups=["hpc/admins"])
    assert site.ask("GET", "/v1/accounts", token).json()["code"] == "role_missing"
    with site.registry.write(SETUP) as writer:
        verifier = site.app.state.running.parts.verifier
        found = verifier.verify(Secret(token), ADMIN, site.clock.now)
        writer.record_observation(found.identity, found.groups, None, site.clock.now)
    assert site.ask("GET", "/v1/accounts", token).status_code == 200


def test_a_banned_administrator_is_out_at_once(site: Site) -> None:
    """A ban reaches the admin door too."""
    token = site.token(ADMINISTRATOR, ADMIN)
    assert site.ask("GET", "/v1/accounts", token).status_code == 200
    ban = {"identity": {"issuer": "https://iam.example/", "subject": ADMINISTRATOR}}
    assert site.ask("POST", "/v1/bans", "bootstrap", json=ban).status_code == 201
    assert site.ask("GET", "/v1/accounts", token).json()["code"] == "banned"


def test_an_administrator_whom_the_source_disabled_is_none(site: Site) -> None:
    """Who left the home institution does not keep the site's keys."""
    token = site.token(ADMINISTRATOR, ADMIN)
    identity = Identity(Issuer(ISSUER), Subject(ADMINISTRATOR))
    gone = ListedPerson(identity, frozenset(), active=False, preferred_username=None)
    listing = Listing("iam", identity.issuer, frozenset(), (gone,), began=site.clock.now)
    with site.registry.write(SETUP) as writer:
        writer.record_listing(listing)
    assert site.ask("GET", "/v1/accounts", token).json()["code"] == "role_missing"


def test_the_admin_door_wants_somebody_who_is_there(site: Site) -> None:
    """Law 13: recent authentication."""
    token = site.token(ADMINISTRATOR, ADMIN, auth_time=site.clock.now - 7200)
    assert site.ask("GET", "/v1/accounts", token).json()["code"] == "authentication_too_old"


def test_a_revoked_credential_opens_nothing(site: Site) -> None:
    """From the next request on."""
    with site.registry.write(SETUP) as writer:
        writer.revoke_credential(CredentialKind.ADMIN_KEY, "bootstrap")
    assert site.ask("GET", "/v1/accounts", "bootstrap").json()["code"] == "not_accepted"
