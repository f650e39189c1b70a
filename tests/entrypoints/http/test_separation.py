"""Duties that stay apart at the admin door, whatever the role, and who loses the door at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from idmap.application.ports import ListedPerson, Listing
from idmap.domain.doors import ADMIN
from idmap.domain.groups import Group
from idmap.domain.identity import Identity, Issuer, Subject
from idmap.domain.linking import LinkedId, LinkedIdKind
from idmap.domain.roles import Role
from tests.entrypoints.http.roles_site import (
    ROLE_RULES,
    member,
    save_rules,
    subject_of,
    token_of,
)
from tests.entrypoints.http.site import SETUP, Site, make_site
from tests.support.tokens import ISSUER

FIRST_OF = {role: "/v1/managed" if role is Role.GROUP_MANAGER else "/v1/accounts" for role in Role}
"""Somewhere that each role gets in."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Somebody in every role, all of them with accounts."""
    for made in make_site(tmp_path):
        save_rules(made, ROLE_RULES)
        for role in Role:
            member(made, subject_of(role))
        yield made


def _identity(subject: str) -> dict[str, str]:
    return {"issuer": ISSUER, "subject": subject}


def _group(path: str) -> Group:
    return Group(Issuer(ISSUER), path)


def _code(answer: Any) -> str:
    return str(answer.json().get("code", answer.status_code))


# --- out at once


@pytest.mark.parametrize("role", Role)
def test_a_ban_ends_every_role_at_once(site: Site, role: Role) -> None:
    """Of the identity or of the account; the very next request."""
    for ban in ({"identity": _identity(subject_of(role))}, {"account": subject_of(role)}):
        assert site.ask("GET", FIRST_OF[role], token_of(site, role)).status_code == 200
        made = site.ask("POST", "/v1/bans", "bootstrap", json=ban)
        assert _code(site.ask("GET", FIRST_OF[role], token_of(site, role))) == "banned"
        site.ask("DELETE", f"/v1/bans/{made.json()['id']}", "bootstrap")
    assert site.ask("GET", FIRST_OF[role], token_of(site, role)).status_code == 200


@pytest.mark.parametrize("role", Role)
def test_a_suspension_ends_every_role_at_once(site: Site, role: Role) -> None:
    """And the restoration gives it back."""
    path = f"/v1/accounts/{subject_of(role)}"
    assert site.ask("POST", f"{path}/suspend", "bootstrap", json={}).status_code == 200
    assert _code(site.ask("GET", FIRST_OF[role], token_of(site, role))) == "account_suspended"
    site.ask("POST", f"{path}/restore", "bootstrap", json={})
    assert site.ask("GET", FIRST_OF[role], token_of(site, role)).status_code == 200


@pytest.mark.parametrize("role", Role)
def test_new_rules_end_every_role_at_once(site: Site, role: Role) -> None:
    """From the next request on, with the token that was good a moment ago."""
    token = token_of(site, role)
    assert site.ask("GET", FIRST_OF[role], token).status_code == 200
    kept = [admin for admin in ROLE_RULES["admins"] if admin["role"] != str(role)]
    save_rules(site, {**ROLE_RULES, "admins": kept})
    assert _code(site.ask("GET", FIRST_OF[role], token)) == "role_missing"


@pytest.mark.parametrize("role", Role)
def test_a_role_does_not_travel_over_a_link(site: Site, role: Role) -> None:
    """The second identity of an administrator is nobody at the admin door."""
    body = {"issuer": ISSUER, "subject": "second"}
    path = f"/v1/accounts/{subject_of(role)}/identities"
    assert site.ask("POST", path, "bootstrap", json=body).status_code == 200
    assert _code(site.ask("GET", FIRST_OF[role], site.token("second", ADMIN))) == "role_missing"


@pytest.mark.parametrize("role", Role)
def test_a_demand_of_the_admin_door_holds_for_every_role(site: Site, role: Role) -> None:
    """A site that asks for a second factor there gets it; the admin key is no token."""
    demand = {"id": "second-factor", "doors": ["admin"], "acr": ["https://refeds.org/profile/mfa"]}
    save_rules(site, {**ROLE_RULES, "demands": [demand]})
    assert _code(site.ask("GET", FIRST_OF[role], token_of(site, role))) == "acr_refused"
    strong = token_of(site, role, acr="https://refeds.org/profile/mfa")
    assert site.ask("GET", FIRST_OF[role], strong).status_code == 200
    assert site.ask("GET", FIRST_OF[role], "bootstrap").status_code == 200


def test_several_roles_unite(site: Site) -> None:
    """An operator who is of the security team too may both."""
    both = [{"role": r, **_identity("the_both")} for r in ("operator", "security")]
    save_rules(site, {**ROLE_RULES, "admins": [*ROLE_RULES["admins"], *both]})
    token = site.token("the_both", ADMIN)
    member(site, "alice")
    assert site.ask("POST", "/v1/bans", token, json={"account": "alice"}).status_code == 201
    assert site.ask("POST", "/v1/accounts/alice/close", token, json={}).status_code == 200
    assert _code(site.ask("PUT", "/v1/rules", token, json=dict(ROLE_RULES))) == "role_missing"


def test_a_robot_in_an_administrators_group_is_none(site: Site) -> None:
    """A group's roles are for people."""
    entry = {"role": "auditor", "issuer": ISSUER, "group": "hpc/auditors"}
    save_rules(site, {**ROLE_RULES, "admins": [entry]})
    for subject, robot in (("person", False), ("robot", True)):
        identity = Identity(Issuer(ISSUER), Subject(subject))
        listed = ListedPerson(
            identity, frozenset({_group("hpc/auditors")}), True, None, robot=robot
        )
        listing = Listing(
            "iam", Issuer(ISSUER), frozenset({_group("hpc/auditors")}), (listed,), site.clock.now
        )
        with site.registry.write(SETUP) as writer:
            writer.record_listing(listing)
        answer = site.ask("GET", "/v1/accounts", site.token(subject, ADMIN))
        assert answer.status_code == (403 if robot else 200), subject


# --- one's own case


def test_nobody_lifts_a_ban_on_themselves(site: Site) -> None:
    """Over by its date or not; somebody else of the security team does."""
    second = {"role": "security", **_identity("the_second")}
    save_rules(site, {**ROLE_RULES, "admins": [*ROLE_RULES["admins"], second]})
    until = "2040-01-01T00:00:00Z"
    body = {"account": subject_of(Role.SECURITY), "until": until}
    ban = site.ask("POST", "/v1/bans", "bootstrap", json=body).json()["id"]
    own = token_of(site, Role.SECURITY)
    assert _code(site.ask("DELETE", f"/v1/bans/{ban}", own)) == "banned"
    site.clock.now = 2_250_000_000
    own = token_of(site, Role.SECURITY)
    refused = site.ask("DELETE", f"/v1/bans/{ban}", own)
    assert (refused.status_code, _code(refused)) == (403, "own_case")
    assert site.ask("GET", f"/v1/bans/{ban}", own).status_code == 200
    assert site.ask("DELETE", f"/v1/bans/{ban}", site.token("the_second", ADMIN)).is_success


def test_a_ban_on_another_identity_of_mine_is_one_on_me(site: Site) -> None:
    """It reaches the account, and so its holder."""
    path = f"/v1/accounts/{subject_of(Role.SECURITY)}/identities"
    site.ask("POST", path, "bootstrap", json=_identity("second"))
    until = "2040-01-01T00:00:00Z"
    body = {"identity": _identity("second"), "until": until}
    ban = site.ask("POST", "/v1/bans", "bootstrap", json=body).json()["id"]
    site.clock.now = 2_250_000_000
    own = token_of(site, Role.SECURITY)
    assert _code(site.ask("DELETE", f"/v1/bans/{ban}", own)) == "own_case"


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.SITE_ADMIN])
def test_only_a_site_admin_changes_who_is_administrator(site: Site, role: Role) -> None:
    """By the rules, by the issuer that says who is in a group, by a group made anew: none of them opens to others."""
    mine = {"role": "site-admin", **_identity(subject_of(role))}
    token = token_of(site, role)
    rules = {**ROLE_RULES, "admins": [mine]}
    rebind = {"issuer": ISSUER, "path": "hpc/admins", "id": "mine"}
    for method, path, body in (
        ("PUT", "/v1/rules", rules),
        ("PUT", "/v1/issuers", {"issuer": ISSUER}),
        ("DELETE", f"/v1/issuers?issuer={ISSUER}", None),
        ("POST", "/v1/groups/rebind", rebind),
    ):
        refused = site.ask(method, path, token, json=body)
        assert (refused.status_code, _code(refused)) == (403, "role_missing"), path
    with site.registry.read() as reader:
        assert reader.rules().version == 2


# --- those who watch


@pytest.mark.parametrize("whose", [role for role in Role if role is not Role.GROUP_MANAGER])
def test_an_operator_does_nothing_to_the_accounts_of_those_with_a_role(
    site: Site, whose: Role
) -> None:
    """Not to suspend who watches them, not to unlink who is suspended, not to favour a colleague or themselves."""
    token, account = token_of(site, Role.OPERATOR), subject_of(whose)
    site.ask("POST", "/v1/groups", "bootstrap", json={"name": "lab"})
    member(site, "alice")
    with site.registry.read() as reader:
        before = reader.last_change()
    identity = f"?issuer={ISSUER}&subject={account}"
    orders: list[tuple[str, str, Any]] = [
        ("POST", f"/v1/accounts/{account}/suspend", {}),
        ("POST", f"/v1/accounts/{account}/restore", {}),
        ("POST", f"/v1/accounts/{account}/close", {}),
        ("POST", f"/v1/accounts/{account}/approve", {}),
        ("POST", f"/v1/accounts/{account}/identities", _identity("second")),
        ("POST", "/v1/accounts/alice/identities", _identity(account)),
        ("DELETE", f"/v1/accounts/{account}/identities{identity}", None),
        ("DELETE", f"/v1/accounts/{account}/identities{identity}&dry_run=true", None),
        ("POST", "/v1/groups/lab/members", {"account": account}),
        ("DELETE", f"/v1/groups/lab/members/{account}", None),
    ]
    for method, path, body in orders:
        refused = site.ask(method, path, token, json=body)
        assert (refused.status_code, _code(refused)) == (403, "role_missing"), path
        assert "site-admin or security" in refused.json()["detail"]
    with site.registry.read() as reader:
        assert reader.last_change() == before


def test_an_operator_does_not_approve_evidence_about_them(site: Site) -> None:
    """Of whom it is said, and who they are said to be, alike."""
    security = Identity(Issuer(ISSUER), Subject(subject_of(Role.SECURITY)))
    told = [
        (security, LinkedId(LinkedIdKind.OIDC, ISSUER, "somebody")),
        (
            Identity(Issuer(ISSUER), Subject("alice")),
            LinkedId(LinkedIdKind.OIDC, ISSUER, security.subject),
        ),
    ]
    member(site, "alice")
    people = tuple(
        ListedPerson(one, frozenset({_group("hpc")}), True, None, linked_ids=(claim,))
        for one, claim in told
    )
    listing = Listing("iam", Issuer(ISSUER), frozenset({_group("hpc")}), people, site.clock.now)
    with site.registry.write(SETUP) as writer:
        writer.record_listing(listing)
    token = token_of(site, Role.OPERATOR)
    for number in (1, 2):
        for query in ("", "?dry_run=true"):
            path = f"/v1/links/evidence/{number}/approve{query}"
            assert _code(site.ask("POST", path, token, json={})) == "role_missing"
    assert site.ask("POST", "/v1/links/evidence/1/refuse", token, json={}).status_code == 200


def test_security_suspends_whoever_it_must_and_an_operator_a_manager(site: Site) -> None:
    """Group managers are members like others to those who do the daily work."""
    for role, whose in ((Role.SECURITY, Role.SITE_ADMIN), (Role.OPERATOR, Role.GROUP_MANAGER)):
        for verb in ("suspend", "restore"):
            path = f"/v1/accounts/{subject_of(whose)}/{verb}"
            assert site.ask("POST", path, token_of(site, role), json={}).status_code == 200


# --- what is told


@pytest.mark.parametrize("role", Role)
def test_me_tells_the_roles(site: Site, role: Role) -> None:
    """As the admin door sees them, whichever door the token is for."""
    found = site.ask("GET", "/v1/me", site.token(subject_of(role))).json()
    assert found["roles"] == [str(role)]
    manages = [{"issuer": ISSUER, "path": "hpc/lab"}] if role is Role.GROUP_MANAGER else []
    assert found["manages"] == manages


def test_me_tells_no_role_that_a_token_claims(site: Site) -> None:
    """Recorded membership counts, and nothing through a link."""
    entry = {"role": "auditor", "issuer": ISSUER, "group": "hpc/auditors"}
    save_rules(site, {**ROLE_RULES, "admins": [*ROLE_RULES["admins"], entry]})
    path = f"/v1/accounts/{subject_of(Role.SECURITY)}/identities"
    site.ask("POST", path, "bootstrap", json=_identity("second"))
    claimed = site.token("second", groups=["hpc", "hpc/auditors"])
    found = site.ask("GET", "/v1/me", claimed).json()
    assert (found["roles"], found["manages"]) == ([], [])
    assert found["account"]["username"] == subject_of(Role.SECURITY)


def test_explain_shows_the_roles(site: Site) -> None:
    """Of that identity alone."""

    def shown(subject: str) -> str:
        answer = site.ask("POST", "/v1/explain", "bootstrap", json={"identity": _identity(subject)})
        checks = {c["check"]: c for c in answer.json()["explanations"][0]["checks"]}
        assert checks["roles at the admin door"]["passed"] is True
        return str(checks["roles at the admin door"]["shown"])

    assert shown(subject_of(Role.GROUP_MANAGER)) == "group-manager of hpc/lab"
    assert shown(subject_of(Role.AUDITOR)) == "auditor"
    assert shown("nobody") == "none"
