"""Every route of the admin door with every role and every wrong credential, compared with a table a person edits."""

from __future__ import annotations

import asyncio
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute

from idmap.domain.doors import ADMIN, API
from idmap.domain.reasons import Reason
from idmap.domain.roles import Permission, Role, roles_with
from idmap.entrypoints.http.callers import AdminRoute
from idmap.entrypoints.http.permissions import needs
from tests.entrypoints.http.roles_site import ROLE_RULES, save_rules, subject_of, token_of
from tests.entrypoints.http.site import PORTAL, SSH, Site, make_site

TABLE: dict[str, str] = tomllib.loads(
    Path(__file__).with_name("route_roles.toml").read_text(encoding="utf-8")
)
ALLOWED = {
    line: frozenset(Role(word) for word in cells.split() if set(word) != {"-"})
    for line, cells in TABLE.items()
}

REFUSED: dict[str, tuple[int, Reason]] = {
    "nothing": (401, Reason.CREDENTIAL_MISSING),
    "an unknown key": (401, Reason.NOT_ACCEPTED),
    "a component": (403, Reason.CREDENTIAL_REFUSED),
    "a node": (403, Reason.CREDENTIAL_REFUSED),
    "nobody in particular": (403, Reason.ROLE_MISSING),
}
"""What is shown, and how every route of the admin door answers to it."""

OF_EACH_ROLE: dict[str, tuple[int, Reason]] = {
    "of the API": (403, Reason.AUDIENCE_REFUSED),
    "of an ssh door": (403, Reason.AUDIENCE_REFUSED),
    "of a component's door": (403, Reason.AUDIENCE_REFUSED),
    "of somebody who logged in long ago": (401, Reason.AUTHENTICATION_TOO_OLD),
}
"""A token of somebody with the role that is no fresh token of the admin door."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One site for all of it: what is asked here changes nothing, as a last test shows."""
    for made in make_site(tmp_path_factory.mktemp("roles")):
        save_rules(made, ROLE_RULES)
        yield made


def _shown(site: Site, kind: str) -> str | None:
    return {
        "nothing": None,
        "an unknown key": "idmap-adm-unknown",
        "a component": "portal",
        "a node": "login1",
        "nobody in particular": site.token("mallory", ADMIN, groups=["hpc/admins"]),
    }[kind]


def _wrong(site: Site, role: Role, kind: str) -> str:
    doors = {"of the API": API, "of an ssh door": SSH, "of a component's door": PORTAL}
    if kind in doors:
        return site.token(subject_of(role), doors[kind])
    return token_of(site, role, auth_time=site.clock.now - 7200)


def _call(site: Site, line: str, credential: str | None) -> Any:
    """With a body and names that fit nothing: whoever is let in is told so."""
    method, path = line.split()
    path = path.replace("{version}", "1").replace("{ban_id}", "1")
    path = path.replace("{evidence_id}", "1")
    return site.ask(method, re.sub(r"\{\w+\}", "nobody", path), credential, json={})


def test_the_table_has_every_route_and_no_other(site: Site) -> None:
    """Whoever adds a route adds a line, and a person sees who is let in."""
    routes = {
        f"{method} {route.path}"
        for route in site.app.routes
        if isinstance(route, AdminRoute)
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert routes == set(TABLE)
    for line, cells in TABLE.items():
        drawn = [role if role in ALLOWED[line] else "-" * len(role) for role in Role]
        assert cells == " ".join(drawn), f"{line}: one word for each role, in order"


def test_the_table_says_what_the_code_says(site: Site) -> None:
    """The permission beside the route, and the roles that have it."""
    for route in site.app.routes:
        if isinstance(route, AdminRoute):
            for method in (route.methods or set()) - {"HEAD"}:
                allowed = frozenset(roles_with(route.permission))
                assert allowed == ALLOWED[f"{method} {route.path}"], route.path


@pytest.mark.parametrize("role", Role)
def test_a_role_opens_its_own_routes_and_no_other(site: Site, role: Role) -> None:
    """With a real token, route by route; a refusal names the roles that would do."""
    token = token_of(site, role)
    for line, allowed in ALLOWED.items():
        answer = _call(site, line, token)
        if role in allowed:
            assert answer.status_code not in {401, 403}, f"{role} at {line}: {answer.text}"
            continue
        assert (answer.status_code, answer.json()["code"]) == (403, "role_missing"), (role, line)
        named = re.findall(r"[a-z-]+", answer.json()["detail"].removeprefix("for "))
        assert {Role(word) for word in named if word != "or"} == allowed, (role, line)


def test_the_admin_key_opens_every_route(site: Site) -> None:
    """It is a site-admin."""
    for line, allowed in ALLOWED.items():
        assert Role.SITE_ADMIN in allowed, line
        answer = _call(site, line, "bootstrap")
        assert answer.status_code not in {401, 403}, line


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_administrators_opens_none(site: Site, kind: str) -> None:
    """Whatever the route."""
    shown = _shown(site, kind)
    for line in ALLOWED:
        answer = _call(site, line, shown)
        assert (answer.status_code, answer.json()["code"]) == REFUSED[kind], (kind, line)


@pytest.mark.parametrize("kind", OF_EACH_ROLE)
@pytest.mark.parametrize("role", Role)
def test_the_admin_door_wants_its_own_fresh_token(site: Site, role: Role, kind: str) -> None:
    """Law 13, for each role at each route: no role makes up for the audience or for having been there."""
    token = _wrong(site, role, kind)
    for line in ALLOWED:
        answer = _call(site, line, token)
        assert (answer.status_code, answer.json()["code"]) == OF_EACH_ROLE[kind], (role, line)


def test_nothing_was_changed_by_any_of_it(site: Site) -> None:
    """Else a cell would have been proved by an order that was carried out."""
    with site.registry.read() as reader:
        actions = [entry.action for entry in reader.changes(after=0, limit=1000)]
        assert actions.count("save_rules") == 2
        assert reader.rules().version == 2
        assert actions[-1] == "save_rules"


# --- the mechanism


def test_a_route_that_states_no_permission_cannot_be_made() -> None:
    """Forgetting is found when the module is loaded, not when somebody walks in."""
    router = APIRouter(route_class=AdminRoute)

    def forgotten() -> dict[str, str]:
        return {}

    for method in (router.get, router.post, router.delete):
        with pytest.raises(TypeError, match=r"forgotten: an admin route needs @needs"):
            method("/v1/forgotten")(forgotten)
    assert not router.routes
    router.post("/v1/stated")(needs(Permission.READ)(forgotten))
    (route,) = router.routes
    assert isinstance(route, AdminRoute)
    assert route.permission is Permission.READ


@pytest.mark.parametrize("body", [b"{not json", b'{"role": 7}', b"\xff" * 100])
def test_the_role_is_asked_before_the_body(site: Site, body: bytes) -> None:
    """A refused caller learns nothing of what the route would have said to the body, its key or its conditions."""
    token = token_of(site, Role.AUDITOR)
    headers = {
        "Content-Type": "application/json",
        "If-Match": "not a tag",
        "Idempotency-Key": "x" * 1000,
    }
    answer = site.ask("PUT", "/v1/rules", token, content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "role_missing")


def test_a_refused_body_is_never_read(site: Site) -> None:
    """Not a byte of it."""
    token = token_of(site, Role.AUDITOR)
    sent: list[Any] = []

    async def receive() -> Any:
        raise AssertionError("the body was asked for")

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "http_version": "1.1", "method": "POST", "scheme": "https", "path": "/v1/bans",
        "raw_path": b"/v1/bans", "query_string": b"", "root_path": "", "server": ("idmap.example", 443),
        "client": ("127.0.0.1", 1),
        "headers": [(b"authorization", f"Bearer {token}".encode()), (b"content-length", b"2")],
    }  # fmt: skip
    asyncio.run(site.app(scope, receive, send))
    assert sent[0]["status"] == 403


def test_openapi_tells_the_permission_and_the_roles(site: Site) -> None:
    """Of every route of the admin door, in words and for machines."""
    document = site.app.openapi()
    for route in site.app.routes:
        if not isinstance(route, APIRoute):
            continue
        for method in (route.methods or set()) - {"HEAD"}:
            operation = document["paths"][route.path][method.lower()]
            if not isinstance(route, AdminRoute):
                assert "x-idmap-permission" not in operation
                continue
            roles = [str(role) for role in roles_with(route.permission)]
            assert operation["x-idmap-permission"] == route.permission
            assert operation["x-idmap-roles"] == roles
            assert operation["description"].endswith(f"For {', '.join(roles)}.")
    assert all(f"`{role}`" in document["info"]["description"] for role in Role)
