"""The admin door for group managers: their own groups, and the members of these.

Whatever lies outside their groups answers like what does not exist, in every word. Whoever manages no group, an admin
key among them, finds nothing here: site admins, operators and security have `/v1/accounts`.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter

from idmap.application.managed_groups import (
    find_managed,
    managed_groups,
    page_of_managed,
    restore_member,
    suspend_member,
)
from idmap.application.ports import RegistryReader
from idmap.domain.roles import Permission
from idmap.entrypoints.http import paging, resources
from idmap.entrypoints.http.answers import One
from idmap.entrypoints.http.callers import AdminRoute, CallerAt, ReasonHeader, author_of
from idmap.entrypoints.http.changing import Given, changes
from idmap.entrypoints.http.conditions import Representation
from idmap.entrypoints.http.managed_documents import (
    ManagedAccountDocument,
    ManagedGroupsDocument,
    MembersPage,
    managed_account_document,
    managed_group_document,
    member_document,
)
from idmap.entrypoints.http.paging import After, Limit, words
from idmap.entrypoints.http.parts import Parts
from idmap.entrypoints.http.permissions import needs
from idmap.entrypoints.http.request_documents import NamedInPath, ReasonRequest

router = APIRouter(route_class=AdminRoute, tags=["managed groups"])


def _member(reader: RegistryReader, given: Given) -> Representation[ManagedAccountDocument] | None:
    found = find_managed(reader, given.caller, given.path["name"])
    if found is None:
        return None
    location = f"/v1/managed/members/{found.account.username}"
    return Representation.of(managed_account_document(found), location)


@router.get("/v1/managed", summary="The groups that I manage")
@needs(Permission.OWN_GROUPS)
def list_managed(caller: CallerAt, parts: Parts) -> ManagedGroupsDocument:
    """As the rules name them, with their gid and the rules and classes that speak of them."""
    with parts.registry.read() as reader:
        found = managed_groups(reader, caller.identity)
    return {"groups": [managed_group_document(one) for one in found], "next": None}


@router.get("/v1/managed/members", summary="Who is in a group that I manage")
@needs(Permission.OWN_GROUPS)
def list_managed_members(
    caller: CallerAt,
    parts: Parts,
    group: Annotated[str, words("Its path at its issuer.", 1024)],
    issuer: paging.Issuer = None,
    after: After = None,
    limit: Limit = 100,
) -> MembersPage:
    """Identities recorded in it, in order of first sight, then accounts that hold it without. `issuer` is needed when
    groups of the same path are managed at several.
    """
    with parts.registry.read() as reader:
        page = page_of_managed(reader, caller.identity, group, issuer, after=after, limit=limit)
    return {"members": [member_document(one) for one in page.items], "next": page.next}


@router.get("/v1/managed/members/{name}", summary="One member of a group that I manage")
@needs(Permission.OWN_GROUPS)
def show_managed_member(
    name: NamedInPath, caller: CallerAt, parts: Parts
) -> One[ManagedAccountDocument]:
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
    name: NamedInPath,
    body: ReasonRequest,
    caller: CallerAt,
    parts: Parts,
    reason: ReasonHeader = None,
) -> ManagedAccountDocument:
    """The whole account, until a person restores it: no source and no nightly run does. Not of people who have a role,
    and not a shared account that people outside one's groups use.
    """
    author = author_of(caller, reason, body.reason)
    found = suspend_member(parts.registry, author, caller.identity, name)
    return managed_account_document(found)


@router.post(
    "/v1/managed/members/{name}/restore",
    summary="Restore a member whom I suspended",
    dependencies=[changes(_member)],
)
@needs(Permission.OWN_GROUPS)
def restore_managed_member(
    name: NamedInPath,
    body: ReasonRequest,
    caller: CallerAt,
    parts: Parts,
    reason: ReasonHeader = None,
) -> ManagedAccountDocument:
    """Only whom one suspended oneself, and only while the rules give the person an account."""
    author = author_of(caller, reason, body.reason)
    found = restore_member(parts.registry, author, caller.identity, name, parts.clock())
    return managed_account_document(found)
