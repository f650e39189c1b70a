"""Rows to domain values and back; nothing here decides anything.

What was once written is trusted to be well formed: the writer checked it, and the database's
constraints keep it so.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Row

from idmap.adapters.sql.changes import canonical
from idmap.application.ports import (
    CredentialKind,
    KeptAnswer,
    MachineCredential,
    NodeStatus,
    RangeStatus,
    RunRecord,
)
from idmap.domain.accounts import Account, AccountState, LeavingGroup, PosixGroup
from idmap.domain.bans import Ban
from idmap.domain.groups import Group
from idmap.domain.identity import Identity, Issuer, Subject
from idmap.domain.issuer_document import parse_profile, profile_document
from idmap.domain.issuers import IssuerProfile
from idmap.domain.names import GroupName, Username
from idmap.domain.node_access import parse_node_access
from idmap.domain.numbers import GidNumber, NumberRange, RangePurpose, UidNumber
from idmap.domain.spelling import NO_SPELLING, SPELLING_FACTS, Spelling

Record = Row[*tuple[Any, ...]]
"""A row of whatever columns."""


def account_of(
    row: Record,
    primary_group: PosixGroup,
    secondary_groups: tuple[PosixGroup, ...],
    leaving: tuple[LeavingGroup, ...] = (),
) -> Account:
    """An account from a row of `accounts`."""
    return Account(
        account_id=row.account_id,
        username=Username(row.username),
        uid_number=UidNumber(row.uid_number),
        primary_group=primary_group,
        secondary_groups=secondary_groups,
        home=row.home,
        shell=row.shell,
        state=AccountState(row.state),
        grace_until=row.grace_until,
        expires_on=row.expires_on,
        held=row.held,
        rule_id=row.rule_id,
        leaving=leaving,
        access=parse_node_access(row.node_classes),
        local_groups=frozenset(filter(None, row.local_groups.split(","))),
        shared=row.shared,
    )


def posix_group_of(row: Record) -> PosixGroup:
    """A group from `name` and `gid_number`."""
    return PosixGroup(GroupName(row.name), GidNumber(row.gid_number))


def identity_of(row: Record) -> Identity:
    """An identity from `issuer` and `subject`."""
    return Identity(Issuer(row.issuer), Subject(row.subject))


def range_of(row: Record) -> RangeStatus:
    """A range and its use from a row of `ranges` with `has_gids`."""
    return RangeStatus(
        NumberRange(row.name, purpose_of(row), row.first, row.last),
        row.next_number,
        has_gids=row.has_gids,
    )


def purpose_of(row: Record) -> RangePurpose:
    """What a range is for, from a row of `ranges`."""
    return RangePurpose(row.serves or row.purpose)


def spelling_text(spelling: Spelling) -> str | None:
    """What may spell a name, as it is stored; None for nothing. The preferred name has a column of its own."""
    facts = {name: getattr(spelling, name) for name in SPELLING_FACTS}
    found = {name: fact for name, fact in facts.items() if fact is not None}
    return canonical(found) if found else None


def spelling_of(text: str | None) -> Spelling:
    """The inverse."""
    return NO_SPELLING if text is None else Spelling(**json.loads(text))


def ban_of(row: Record) -> Ban:
    """A ban from a row of `ban_book.SOME_BANS`: with its identity and its group."""
    return Ban(
        ban_id=row.ban_id,
        account_id=row.account_id,
        identity=None if row.issuer is None else identity_of(row),
        reason=row.reason,
        author=row.author,
        since=row.since,
        until=row.until,
        group=None if row.group_path is None else Group(Issuer(row.group_issuer), row.group_path),
        issuer=None if row.banned_issuer is None else Issuer(row.banned_issuer),
        token_id=row.token_id,
    )


def credential_of(row: Record) -> MachineCredential:
    """A machine credential; the digest stays in the database."""
    return MachineCredential(
        kind=CredentialKind(row.kind),
        name=row.name,
        node_class=row.node_class,
        doors=tuple(json.loads(row.doors)),
        created=row.created,
        revoked=row.revoked_at is not None,
    )


def node_of(row: Record) -> NodeStatus:
    """A node's last report."""
    return NodeStatus(
        name=row.name,
        node_class=row.node_class,
        revision=row.revision,
        ban_counter=row.ban_counter,
        reported=row.reported,
        masked=tuple(json.loads(row.masked)),
    )


def run_of(row: Record) -> RunRecord:
    """A provisioning run."""
    return RunRecord(
        run_id=row.run_id,
        started=row.started,
        finished=row.finished,
        outcome=row.outcome,
        reason=row.reason,
        plan=None if row.plan is None else json.loads(row.plan),
    )


def kept_answer_of(row: Record) -> KeptAnswer:
    """An answer kept to be repeated."""
    return KeptAnswer(
        caller=row.caller,
        key=row.request_key,
        fingerprint=bytes(row.fingerprint),
        at=row.at,
        expires=row.expires,
        status=row.status,
        headers=json.loads(row.headers),
        body=row.body,
    )


def profile_text(profile: IssuerProfile) -> str:
    """A profile as it is stored."""
    return canonical(profile_document(profile))


def profile_of(text: str) -> IssuerProfile:
    """The inverse of `profile_text`; also reads what older versions stored. Raises InvalidInput."""
    return parse_profile(json.loads(text))
