"""The JSON of users, groups and lists is what IAM 1.12 prints."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from iam_simulator.testing import RunningSimulator

Get = Callable[..., Any]
USER = "urn:indigo-dc:scim:schemas:IndigoUser"
GROUP = "urn:indigo-dc:scim:schemas:IndigoGroup"
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d")


def test_a_user_has_the_core_attributes_and_the_extension(iam: RunningSimulator, get: Get) -> None:
    """Alice, read by her UUID, shows everything IAM shows on a single read."""
    answer = get(iam, f"/scim/Users/{iam.person_id('alice')}")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/scim+json")
    alice = answer.json()
    assert alice["schemas"] == ["urn:ietf:params:scim:schemas:core:2.0:User", USER]
    assert alice["id"] == iam.person_id("alice")
    assert alice["userName"] == alice["displayName"] == "alice"
    assert alice["name"] == {
        "givenName": "Alice",
        "familyName": "Adams",
        "formatted": "Alice Adams",
    }
    assert alice["active"] is True
    assert alice["emails"] == [{"type": "work", "value": "alice@example.org", "primary": True}]
    assert alice["meta"]["location"] == f"{iam.url}/scim/Users/{alice['id']}"
    assert alice["groups"][0] == {
        "value": iam.group_id("demo"),
        "display": "demo",
        "$ref": f"{iam.url}/scim/Groups/{iam.group_id('demo')}",
    }
    extension = alice[USER]
    assert extension["serviceAccount"] is False
    assert extension["oidcIds"] == [{"issuer": "https://idp.example.org/", "subject": "alice-1"}]
    assert extension["sshKeys"][0]["value"].startswith("AAAA")
    assert INSTANT.fullmatch(extension["aupSignatureTime"])


def test_times_are_iso_8601_with_milliseconds_and_an_offset(
    iam: RunningSimulator, get: Get
) -> None:
    """No time is in UTC's Z form and none lacks its milliseconds."""
    meta = get(iam, f"/scim/Users/{iam.person_id('alice')}").json()["meta"]
    assert INSTANT.fullmatch(meta["created"])
    assert INSTANT.fullmatch(meta["lastModified"])
    assert meta["created"].endswith("+01:00")


def test_certificates_carry_a_pem_body_on_single_reads_only(
    iam: RunningSimulator, get: Get
) -> None:
    """Lists strip the PEM; the key is `certificates`."""
    single = get(iam, f"/scim/Users/{iam.person_id('alice')}").json()
    everybody = get(iam, "/scim/Users").json()["Resources"]
    listed = next(user for user in everybody if user["userName"] == "alice")
    assert "pemEncodedCertificate" in single[USER]["certificates"][0]
    assert "pemEncodedCertificate" not in listed[USER]["certificates"][0]


def test_empty_values_are_dropped(iam: RunningSimulator, get: Get) -> None:
    """Heidi is in no group and has no key, so neither list appears; nothing is null."""
    answer = get(iam, f"/scim/Users/{iam.person_id('heidi')}")
    heidi = answer.json()
    assert "groups" not in heidi
    assert set(heidi[USER]) == {"serviceAccount"}
    assert "null" not in answer.text


def test_a_person_may_have_no_extension_at_all(iam: RunningSimulator, get: Get) -> None:
    """Ivan plays an older instance."""
    assert USER not in get(iam, f"/scim/Users/{iam.person_id('ivan')}").json()


def test_attributes_of_a_person_are_hidden_unless_configured(
    iam: RunningSimulator, get: Get
) -> None:
    """Alice has a nickname, which SCIM does not show."""
    alice = get(iam, f"/scim/Users/{iam.person_id('alice')}").json()
    assert "attributes" not in alice[USER]
    assert "labels" not in alice[USER]


def test_a_group_shows_its_path_and_prints_nulls_but_never_members(
    iam: RunningSimulator, get: Get
) -> None:
    """The root group has no parent, and says so with a null."""
    demo = get(iam, f"/scim/Groups/{iam.group_id('demo')}").json()
    assert demo["displayName"] == "demo"
    assert "members" not in demo
    assert demo[GROUP]["parentGroup"] is None
    gpu = get(iam, f"/scim/Groups/{iam.group_id('demo/gpu')}").json()
    assert gpu[GROUP] == {
        "parentGroup": {
            "value": iam.group_id("demo"),
            "display": "demo",
            "$ref": f"{iam.url}/scim/Groups/{iam.group_id('demo')}",
        },
        "description": None,
        "labels": [],
    }


def test_a_member_is_a_reference_without_username_or_status(
    iam: RunningSimulator, get: Get
) -> None:
    """Frank is inactive and listed all the same; the reference does not tell."""
    members = get(iam, f"/scim/Groups/{iam.group_id('demo/compute')}/members").json()["Resources"]
    assert {
        "value": iam.person_id("frank"),
        "display": "Frank Example",
        "$ref": f"{iam.url}/scim/Users/{iam.person_id('frank')}",
    } in members
    assert all(set(member) == {"value", "display", "$ref"} for member in members)


def test_subgroups_are_the_direct_children_by_path(iam: RunningSimulator, get: Get) -> None:
    """`demo/gpu/debug` is a grandchild and not listed."""
    children = get(iam, f"/scim/Groups/{iam.group_id('demo')}/subgroups").json()["Resources"]
    assert [child["display"] for child in children] == [
        "demo/admins",
        "demo/compute",
        "demo/empty",
        "demo/gpu",
        "demo/hostile",
        "demo/projects",
    ]


def test_attributes_select_what_a_list_shows(iam: RunningSimulator, get: Get) -> None:
    """`attributes=userName` leaves the username, the id and the schemas."""
    users = get(iam, "/scim/Users", attributes="userName").json()["Resources"]
    assert all(set(user) == {"schemas", "id", "userName"} for user in users)


def test_me_is_the_person_behind_the_token(iam: RunningSimulator, get: Get) -> None:
    """A user's token with `scim:read` shows that user; a client's token has nobody behind it."""
    token = iam.token("bob", scope="openid scim:read")
    assert get(iam, "/scim/Me", token=token).json()["userName"] == "bob"
    assert get(iam, "/scim/Me").status_code == 404


def test_hostile_usernames_arrive_unchanged(iam: RunningSimulator, get: Get) -> None:
    """The simulator passes on what a site must refuse."""
    group = iam.group_id("demo/hostile")
    rows = get(iam, f"/iam/account/find/bygroup/{group}").json()["Resources"]
    names = {row["userName"] for row in rows}
    assert names == {"root", "slurm", "ubuntu", "../x", "a" * 300, "\u0430lice"}
