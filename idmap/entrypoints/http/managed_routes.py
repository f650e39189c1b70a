"""The admin door for group managers: their own groups, and the members of these.

Whatever lies outside their groups answers like what does not exist, in every word. Whoever manages no group, an admin
key among them, finds nothing here: site admins, operators and security have `/v1/accounts`.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from idmap.application.managed_groups import (
    ManagedAccount,
    ManagedGroup,
    find_managed,
    managed_groups,
    page_of_managed,
    restore_member,
    suspend_member,
)
from idmap.application.ports import RegistryReader
from idmap.application.questions import GroupMember
from idmap.domain.groups import Group
from idmap.domain.roles import Permission
from idmap.entrypoints.http import paging, resources
from idmap.entrypoints.http.callers import AdminRoute, CallerAt, ReasonHeader, author_of
from idmap.entrypoints.http.changing import Given, changes
from idmap.entrypoints.http.conditions import Representation
from idmap.entrypoints.http.documents import ReasonRequest, identity_document
from idmap.entrypoints.http.paging import After, Limit, paged
from idmap.entrypoints.http.parts import Parts
from idmap.entrypoints.http.permissions import needs

router = APIRouter(route_class=AdminRoute, tags=["managed groups"])


def _member(reader: RegistryReader, given: Given) -> Representation | None:
    found = find_managed(reader, given.caller, given.path["name"])
    if found is None:
        return None
    location = f"/v1/managed/members/{found.account.username}"
    return Representation.of(_managed_document(found), location)


@router.get("/v1/managed", summary="The groups that I manage")
@needs(Permission.OWN_GROUPS)
def list_managed(caller: CallerAt, parts: Parts) -> dict[str, Any]:
    """As the rules name them, with their gid and the rules and classes that speak of them."""
    with parts.registry.read() as reader:
        found = managed_groups(reader, caller.identity)
    return {"groups": [_group_document(one) for one in found], "next": None}


@router.get("/v1/managed/members", summary="Who is in a group that I manage")
@needs(Permission.OWN_GROUPS)
def list_managed_members(
    caller: CallerAt,
    parts: Parts,
    group: Annotated[str, Query(max_length=1024, pattern=paging.NO_ZERO_BYTE)],
    issuer: paging.Issuer = None,
    after: After = None,
    limit: Limit = 100,
) -> dict[str, Any]:
    """Identities recorded in it, in order of first sight, then accounts that hold it without. `issuer` is needed when
    groups of the same path are managed at several.
    """
    with parts.registry.read() as reader:
        page = page_of_managed(reader, caller.identity, group, issuer, after=after, limit=limit)
    return paged("members", page, _member_document)


@router.get("/v1/managed/members/{name}", summary="One member of a group that I manage")
@needs(Permission.OWN_GROUPS)
def show_managed_member(name: str, caller: CallerAt, parts: Parts) -> Response:
    """By username, or by uid number."""
    with parts.registry.read() as reader:
        return resources.show(_member, reader, Given({"name": name}, {}, caller=caller.identity))


@router.post(
    "/v1/managed/members/{name}/suspend",
    summary="Suspend a member of a group that I manage",
    dependencies=[changes(_member)],
)
@needs(Permission.OWN_GROUPS)
def suspend_managed_member(
    name: str, body: ReasonRequest, caller: CallerAt, parts: Parts, reason: ReasonHeader = None
) -> dict[str, Any]:
    """The whole account, until a person restores it: no source and no nightly run does. Not of people who have a role,
    and not a shared account that people outside one's groups use.
    """
    author = author_of(caller, reason, body.reason)
    found = suspend_member(parts.registry, author, caller.identity, name)
    return _managed_document(found)


@router.post(
    "/v1/managed/members/{name}/restore",
    summary="Restore a member whom I suspended",
    dependencies=[changes(_member)],
)
@needs(Permission.OWN_GROUPS)
def restore_managed_member(
    name: str, body: ReasonRequest, caller: CallerAt, parts: Parts, reason: ReasonHeader = None
) -> dict[str, Any]:
    """Only whom one suspended oneself, and only while the rules give the person an account."""
    author = author_of(caller, reason, body.reason)
    found = restore_member(parts.registry, author, caller.identity, name, parts.clock())
    return _managed_document(found)


def _path_document(group: Group) -> dict[str, Any]:
    return {"issuer": group.issuer, "path": group.path}


def _group_document(managed: ManagedGroup) -> dict[str, Any]:
    posix = managed.posix
    return {
        **_path_document(managed.group),
        "name": None if posix is None else posix.name,
        "gid": None if posix is None else posix.gid_number,
        "named_by": list(managed.named_by),
    }


def _member_document(member: GroupMember) -> dict[str, Any]:
    return {
        "identity": None if member.identity is None else identity_document(member.identity),
        "active_at_source": member.active,
        "username": member.username,
        "state": None if member.state is None else str(member.state),
    }


def _managed_document(managed: ManagedAccount) -> dict[str, Any]:
    return {
        "username": managed.account.username,
        "state": str(managed.account.state),
        "identities": [identity_document(identity) for identity in managed.identities],
        "groups": [_path_document(group) for group in managed.groups],
    }
