"""How the dumps in this folder were made: by the code of that time, with a row in every table.

    git archive COMMIT idmap | tar -x -C OLD && PYTHONPATH=OLD python make.py r0002.sql

Run once for each schema that was released, with the last code that had it; the dumps never change afterwards.
It uses nothing but the registry's port, and so works with the code of any version.
"""

from __future__ import annotations

import hashlib
import sqlite3
import sys
import tempfile
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any, Final

from idmap.adapters.sql import SqlRegistry
from idmap.application.ports import Author, CredentialKind, ListedPerson, Listing, RunRecord
from idmap.domain.accounts import AccountEvent
from idmap.domain.doors import parse_door
from idmap.domain.groups import Group
from idmap.domain.identity import Identity, Issuer, Subject
from idmap.domain.issuers import IssuerProfile
from idmap.domain.names import GroupName, Username
from idmap.domain.numbers import NumberRange, RangePurpose
from idmap.domain.plans import OpenAccount, OpenGroup

NOW: Final = 1_700_000_000
ISSUER: Final = Issuer("https://iam.example.org/")
VO, STAFF = (Group(ISSUER, path) for path in ("vo", "vo/staff"))
RULES: Final[dict[str, Any]] = {
    "format": 1,
    "groups": {"range": "groups"},
    "classes": {
        "member": {
            "range": "people",
            "primary_group": "vo",
            "shell": "/bin/bash",
            "home": "/home/{username}",
        }
    },
    "rules": [{"id": "members", "issuer": ISSUER, "group": "vo", "class": "member"}],
}


def person(subject: str) -> Identity:
    return Identity(ISSUER, Subject(subject))


def listed(subject: str, **more: Any) -> ListedPerson:
    values: dict[str, Any] = {"active": True, "preferred_username": subject} | more
    if values.get("robot") and "robot" not in ListedPerson.__dataclass_fields__:
        del values["robot"]
    return ListedPerson(person(subject), frozenset({VO}), **values)


def fill(registry: SqlRegistry) -> None:
    """People in every state, bans of both kinds, machines, a run: whatever a schema had a table for."""
    with registry.write(Author("admin-key", "a new site")) as writer:
        audiences = {parse_door("api"): frozenset({"https://idmap.example.org"})}
        writer.save_issuer(IssuerProfile(issuer=ISSUER, audiences=audiences))
        writer.add_range(NumberRange("people", RangePurpose.PEOPLE, 200_000, 200_999))
        writer.add_range(NumberRange("groups", RangePurpose.GROUPS, 300_000, 300_999))
        writer.save_rules(RULES, expect_version=None)
        writer.open_group(OpenGroup(VO, GroupName("vo")), group_range="groups")
        writer.open_group(OpenGroup(STAFF, None), group_range="groups")
    subjects = ("active", "grace", "suspended", "closed", "banned")
    author = Author("provision:run-1", "nightly schedule", plan="digest-of-a-plan")
    with registry.write(author) as writer:
        people = (*map(listed, subjects), listed("robot", robot=True), listed("x", readable=False))
        writer.record_listing(Listing("iam", ISSUER, frozenset({VO, STAFF}), people, NOW))
        for subject in subjects:
            writer.open_account(
                OpenAccount(
                    identity=person(subject),
                    rule_id="members",
                    number_range="people",
                    spelled=Username(subject),
                    primary_group=VO,
                    secondary_groups=(STAFF,),
                    shell="/bin/bash",
                    home="/home/{username}",
                )
            )
        writer.move_account(2, AccountEvent.ENTITLEMENT_LOST, date(2030, 1, 1))
        writer.move_account(3, AccountEvent.SUSPENDED_BY_PERSON)
        writer.move_account(4, AccountEvent.CLOSED)
        writer.save_run(RunRecord("run-1", NOW, NOW + 9, "applied", None, {"changes": []}))
    with registry.write(Author("admin-key", "an incident")) as writer:
        writer.record_observation(person("active"), frozenset({STAFF}), None, NOW + 1)
        writer.add_ban(account_id=5, identity=None, reason="theft", until=None, at=NOW)
        writer.add_ban(account_id=None, identity=person("y"), reason="x", until=NOW + 9, at=NOW)
        writer.lift_ban(2)
        for kind, name in zip(CredentialKind, ("bootstrap", "gate", "n1"), strict=True):
            digest = hashlib.sha256(name.encode()).digest()
            node_class = "login" if kind is CredentialKind.NODE else None
            writer.add_credential(kind, name, digest, node_class=node_class, at=NOW)
        writer.save_node_report(
            "n1", revision=1, ban_counter=0, masked=("web",), local_names=("web",), at=NOW
        )
    registry.take_lease("work", "one", at=NOW, seconds=60)


def main() -> None:
    """Writes the dump, and beside it the marks file."""
    with tempfile.TemporaryDirectory() as directory:
        registry = SqlRegistry.create(f"sqlite:///{directory}/registry.db", lambda: NOW)
        fill(registry)
        registry.close()
        with closing(sqlite3.connect(f"{directory}/registry.db")) as database:
            dump = Path(sys.argv[1])
            dump.write_text("\n".join(database.iterdump()) + "\n")
        marks = Path(directory, "registry.db.high-water.json").read_text()
        dump.with_suffix(".high-water.json").write_text(marks + "\n")


if __name__ == "__main__":
    main()
