"""The admin door on groups of the site's own, on groups made anew at their issuer, and on ranges against the site."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from idmap.application.administrators import check_reach
from idmap.application.local_groups import (
    add_local_group,
    add_member,
    rebind_group,
    remove_member,
)
from idmap.application.ports import RegistryReader
from idmap.application.site_numbers import acknowledge_foreign, check_ranges
from idmap.domain.errors import NotFound
from idmap.domain.roles import Permission
from idmap.entrypoints.http import resources
from idmap.entrypoints.http.callers import AdminRoute, CallerAt, ReasonHeader, author_of
from idmap.entrypoints.http.changing import Given, changes
from idmap.entrypoints.http.conditions import Representation
from idmap.entrypoints.http.documents import (
    AddedGroupDocument,
    OneGroupDocument,
    ReboundGroupDocument,
    group_document,
)
from idmap.entrypoints.http.paging import Text, words
from idmap.entrypoints.http.parts import Parts
from idmap.entrypoints.http.permissions import needs
from idmap.entrypoints.http.policy_documents import (
    CheckedRangesDocument,
    HolesDocument,
    checked_range_document,
)
from idmap.entrypoints.http.request_documents import (
    NO_ZERO_BYTE,
    IssuerText,
    Label,
    NamedInPath,
    ReasonRequest,
    ReasonText,
)

router = APIRouter(route_class=AdminRoute, tags=["groups"])


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LocalGroupRequest(_Request):
    """A group of the site's own."""

    name: str = Field(
        min_length=1, max_length=64, pattern=NO_ZERO_BYTE, description="Its POSIX name, exactly."
    )
    range: Label = Field(default="groups", description="The range of groups its gid is from.")
    reason: ReasonText = None


class MemberRequest(_Request):
    """An account to put into a site-local group."""

    account: str = Field(min_length=1, max_length=64, pattern=NO_ZERO_BYTE, description="Username.")
    reason: ReasonText = None


class RebindRequest(_Request):
    """A group that was deleted at its issuer and made anew under the same path."""

    issuer: IssuerText
    path: str = Field(min_length=1, max_length=512, pattern=NO_ZERO_BYTE)
    id: str = Field(
        min_length=1,
        max_length=255,
        pattern=NO_ZERO_BYTE,
        description="The new one's id, as the run named it.",
    )
    reason: ReasonText = None


@router.post("/v1/groups", summary="Add a site-local group", status_code=201)
@needs(Permission.ACCOUNTS)
def post_group(
    body: LocalGroupRequest, caller: CallerAt, parts: Parts, reason: ReasonHeader = None
) -> AddedGroupDocument:
    """Bound to no issuer: no source, token or rule matches it. Its name and gid are for good."""
    author = author_of(caller, reason, body.reason)
    made = add_local_group(parts.registry, author, body.name, number_range=body.range)
    return {**group_document(made), "local": True}


@router.post(
    "/v1/groups/{name}/members",
    summary="Put an account into a site-local group",
    dependencies=[changes(resources.group)],
)
@needs(Permission.ACCOUNTS)
def post_member(
    name: NamedInPath,
    body: MemberRequest,
    caller: CallerAt,
    parts: Parts,
    reason: ReasonHeader = None,
) -> OneGroupDocument:
    """Until it is taken out again: no nightly run changes it."""
    author = author_of(caller, reason, body.reason)
    with parts.registry.write(author) as writer:
        check_reach(writer, caller.held, body.account)
        add_member(writer, name, body.account)
        return _shown(writer, name)


@router.delete(
    "/v1/groups/{name}/members/{account}",
    summary="Take an account out of a site-local group",
    dependencies=[changes(resources.group)],
)
@needs(Permission.ACCOUNTS)
def delete_member(
    name: NamedInPath,
    account: NamedInPath,
    caller: CallerAt,
    parts: Parts,
    reason: ReasonHeader = None,
) -> OneGroupDocument:
    """Sessions that run already keep the group."""
    with parts.registry.write(author_of(caller, reason)) as writer:
        check_reach(writer, caller.held, account)
        remove_member(writer, name, account)
        return _shown(writer, name)


def _of_path(reader: RegistryReader, given: Given) -> Representation[OneGroupDocument] | None:
    """The group that a body names by issuer and path."""
    body = given.body if isinstance(given.body, dict) else {}
    for group, posix in reader.posix_groups().items():
        if (group.issuer, group.path) == (body.get("issuer"), body.get("path")):
            return resources.group(reader, Given({"name": posix.name}, {}))
    return None


@router.post(
    "/v1/groups/rebind",
    summary="Accept a group that was made anew at its issuer",
    dependencies=[changes(_of_path)],
)
@needs(Permission.POLICY)
def post_rebind(
    body: RebindRequest, caller: CallerAt, parts: Parts, reason: ReasonHeader = None
) -> ReboundGroupDocument:
    """Its members get the gid of the old one and with it its files; that is for a person to say."""
    author = author_of(caller, reason, body.reason)
    rebind_group(parts.registry, author, body.issuer, body.path, body.id)
    return {"issuer": body.issuer, "path": body.path, "id": body.id}


@router.get("/v1/ranges/check", summary="What else on the site uses numbers of the ranges?")
@needs(Permission.READ)
def check_site(
    parts: Parts,
    name: Annotated[Text, words("Only this one.", 63)] = None,
) -> CheckedRangesDocument:
    """Asks the host's NSS and the directory now. Numbers that are holes already are not told again."""
    checked = check_ranges(parts.registry, parts.site_numbers, name)
    return {"ranges": [checked_range_document(one) for one in checked]}


@router.post("/v1/ranges/{name}/foreign", summary="Never issue what something else uses")
@needs(Permission.POLICY)
def post_foreign(
    name: NamedInPath,
    body: ReasonRequest,
    caller: CallerAt,
    parts: Parts,
    reason: ReasonHeader = None,
) -> HolesDocument:
    """Every number of the range that the site uses now becomes a hole of it."""
    author = author_of(caller, reason, body.reason)
    return {
        "name": name,
        "holes": acknowledge_foreign(parts.registry, author, parts.site_numbers, name),
    }


def _shown(reader: RegistryReader, name: str) -> OneGroupDocument:
    found = resources.group(reader, Given({"name": name}, {}))
    if found is None:
        raise NotFound(f"group {name!r}")
    return found.document
