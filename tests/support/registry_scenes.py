"""A small site for tests of the registry: one issuer, a few groups, a few people."""

from __future__ import annotations

from typing import Any

from idmap.application.ports import Author, ListedPerson, Listing, Registry
from idmap.domain.accounts import Account
from idmap.domain.doors import parse_door
from idmap.domain.groups import Group
from idmap.domain.identity import Identity, Issuer, Subject
from idmap.domain.issuers import IssuerProfile
from idmap.domain.names import GroupName, Username
from idmap.domain.numbers import NumberRange, RangePurpose
from idmap.domain.plans import OpenAccount, OpenGroup

ISSUER = Issuer("https://iam.example.org/")
OTHER = Issuer("https://other.example.org/")
AUTHOR = Author("admin-key", "a test", plan="digest-of-a-plan")
VO, STAFF, LATER = (Group(ISSUER, path) for path in ("vo", "vo/staff_members", "vo/later"))
PEOPLE = NumberRange("people", RangePurpose.PEOPLE, 200_000, 200_999)
GROUPS = NumberRange("groups", RangePurpose.GROUPS, 300_000, 300_999)
NOW = 1_700_000_000


def person(subject: str, issuer: Issuer = ISSUER) -> Identity:
    """An identity of the site's issuer."""
    return Identity(issuer, Subject(subject))


def profile(issuer: Issuer = ISSUER, **more: Any) -> IssuerProfile:
    """A profile that opens one ssh door and the API."""
    audiences = {
        parse_door("ssh:login"): frozenset({f"{issuer}#ssh"}),
        parse_door("api"): frozenset({f"{issuer}#api"}),
    }
    return IssuerProfile(issuer=issuer, audiences=audiences, **more)


def document(**rule: Any) -> dict[str, Any]:
    """Rules that give members of `vo` an account."""
    written = {"id": "members", "issuer": ISSUER, "group": "vo", "class": "member"} | rule
    return {
        "format": 1,
        "classes": {
            "member": {
                "range": "people",
                "primary_group": "vo",
                "shell": "/bin/bash",
                "home": "/home/{username}",
            }
        },
        "rules": [written],
    }


def opening(identity: Identity, spelled: str | None = None, **more: Any) -> OpenAccount:
    """An account for a person of `vo`."""
    values: dict[str, Any] = {
        "identity": identity,
        "rule_id": "members",
        "number_range": "people",
        "spelled": None if spelled is None else Username(spelled),
        "primary_group": VO,
        "secondary_groups": (),
        "shell": "/bin/bash",
        "home": "/home/{username}",
    }
    return OpenAccount(**(values | more))


def listed(subject: str, *groups: Group, **more: Any) -> ListedPerson:
    """A person as a source lists them."""
    values: dict[str, Any] = {"active": True, "preferred_username": None} | more
    return ListedPerson(person(subject), frozenset(groups), **values)


def listing(
    *people: ListedPerson, began: int = NOW, watched: tuple[Group, ...] = (VO, STAFF)
) -> Listing:
    """A complete listing of the site's issuer by its source `iam`."""
    return Listing("iam", ISSUER, frozenset(watched), people, began)


def furnish(registry: Registry) -> None:
    """The site's issuer, ranges, and gids for `vo` and its staff."""
    with registry.write(AUTHOR) as writer:
        writer.save_issuer(profile())
        writer.add_range(PEOPLE)
        writer.add_range(GROUPS)
        writer.open_group(OpenGroup(VO, GroupName("vo")), group_range="groups")
        writer.open_group(OpenGroup(STAFF, None), group_range="groups")


def open_one(registry: Registry, subject: str, spelled: str | None = None, **more: Any) -> Account:
    """One account in a transaction of its own."""
    with registry.write(AUTHOR) as writer:
        return writer.open_account(opening(person(subject), spelled, **more))
