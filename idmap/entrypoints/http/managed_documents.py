"""The JSON that group managers are given: their groups, and of the members nothing that lies outside these."""

from __future__ import annotations

from typing_extensions import TypedDict

from idmap.application.managed_groups import ManagedAccount, ManagedGroup
from idmap.application.questions import GroupMember
from idmap.domain.accounts import AccountState
from idmap.entrypoints.http.answers import Number, exact
from idmap.entrypoints.http.documents import (
    IdentityDocument,
    Next,
    PathDocument,
    identity_document,
    path_document,
)


@exact
class ManagedGroupDocument(PathDocument):
    """A group that the caller manages; without a gid while no rule gives it one."""

    name: str | None
    gid: Number | None
    named_by: list[str]


@exact
class ManagedGroupsDocument(TypedDict):
    """All of them."""

    groups: list[ManagedGroupDocument]
    next: None


def managed_group_document(managed: ManagedGroup) -> ManagedGroupDocument:
    """With the rules and classes that speak of it."""
    posix = managed.posix
    return {
        **path_document(managed.group),
        "name": None if posix is None else posix.name,
        "gid": None if posix is None else posix.gid_number,
        "named_by": list(managed.named_by),
    }


@exact
class MemberDocument(TypedDict):
    """An identity recorded in the group, with its account; or an account that holds the group without."""

    identity: IdentityDocument | None
    active_at_source: bool | None
    username: str | None
    state: AccountState | None


@exact
class MembersPage(TypedDict):
    """One page of a group's members."""

    members: list[MemberDocument]
    next: Next


def member_document(member: GroupMember) -> MemberDocument:
    """As far as this group goes."""
    return {
        "identity": None if member.identity is None else identity_document(member.identity),
        "active_at_source": member.active,
        "username": member.username,
        "state": member.state,
    }


@exact
class ManagedAccountDocument(TypedDict):
    """One account within the caller's reach, with what of it lies there."""

    username: str
    state: AccountState
    identities: list[IdentityDocument]
    groups: list[PathDocument]


def managed_account_document(managed: ManagedAccount) -> ManagedAccountDocument:
    """With its identities in the caller's groups, and these groups."""
    return {
        "username": managed.account.username,
        "state": managed.account.state,
        "identities": [identity_document(identity) for identity in managed.identities],
        "groups": [path_document(group) for group in managed.groups],
    }
