"""The admin door on policy: issuers, rules and ranges.

A document is taken whole or refused whole, naming the member to mend. Rules are versioned: their `ETag` is the
version.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body

from idmap.application.administer import remove_issuer, save_issuer
from idmap.application.site_numbers import add_range
from idmap.domain.errors import InvalidInput
from idmap.domain.identity import Issuer
from idmap.domain.issuer_document import parse_profile
from idmap.domain.reasons import Reason
from idmap.domain.roles import Permission
from idmap.entrypoints.http import resources
from idmap.entrypoints.http.answers import Json, One
from idmap.entrypoints.http.callers import AdminRoute, CallerAt, ReasonHeader, author_of
from idmap.entrypoints.http.changing import Given, changes
from idmap.entrypoints.http.paging import words
from idmap.entrypoints.http.parts import Parts
from idmap.entrypoints.http.permissions import needs
from idmap.entrypoints.http.policy_documents import (
    AddedRangeDocument,
    IssuerDocument,
    IssuersDocument,
    RangesDocument,
    RemovedIssuerDocument,
    issuer_document,
    range_document,
)
from idmap.entrypoints.http.request_documents import FreeDocument, RangeRequest

router = APIRouter(route_class=AdminRoute, tags=["policy"])

Document = Annotated[FreeDocument, Body()]


@router.get("/v1/issuers", summary="Trusted issuers, or one profile")
@needs(Permission.READ)
def list_issuers(
    parts: Parts,
    issuer: Annotated[str | None, words("The exact string: its profile alone.", 2048)] = None,
) -> Json[IssuersDocument] | One[IssuerDocument]:
    """Every profile. Two issuers whose strings differ by a slash are two issuers."""
    with parts.registry.read() as reader:
        if issuer is not None:
            given = Given({}, {"issuer": issuer})
            return resources.show(resources.issuer, reader, given)
        profiles = [issuer_document(profile) for profile in reader.issuers()]
    return Json[IssuersDocument]({"issuers": profiles, "next": None})


@router.put(
    "/v1/issuers",
    summary="Trust an issuer, or change its profile",
    dependencies=[changes(resources.issuer)],
)
@needs(Permission.POLICY)
def put_issuer(
    body: Document, caller: CallerAt, parts: Parts, reason: ReasonHeader = None
) -> IssuerDocument:
    """The body is the profile; a member `reason` may ride along. Replaces the profile of exactly that issuer string."""
    document, given = without_reason(body)
    author = author_of(caller, reason, given)
    profile = parse_profile(document)
    save_issuer(parts.registry, author, profile)
    return issuer_document(profile)


@router.delete(
    "/v1/issuers",
    summary="Stop trusting an issuer",
    dependencies=[changes(resources.issuer)],
)
@needs(Permission.POLICY)
def delete_issuer(
    caller: CallerAt,
    parts: Parts,
    issuer: Annotated[str, words("The exact string.", 2048)],
    reason: ReasonHeader = None,
) -> RemovedIssuerDocument:
    """Its tokens open nothing any more; accounts stay."""
    remove_issuer(parts.registry, author_of(caller, reason), Issuer(issuer))
    return {"removed": issuer}


@router.get("/v1/ranges", summary="Number ranges")
@needs(Permission.READ)
def list_ranges(parts: Parts) -> RangesDocument:
    """Every range and how far it is used."""
    with parts.registry.read() as reader:
        return {"ranges": [range_document(status) for status in reader.ranges()]}


@router.post("/v1/ranges", summary="Add a range", status_code=201)
@needs(Permission.POLICY)
def post_range(
    body: RangeRequest, caller: CallerAt, parts: Parts, reason: ReasonHeader = None
) -> AddedRangeDocument:
    """Ranges are never changed or removed: their numbers are in use for good."""
    author = author_of(caller, reason, body.reason)
    added = add_range(
        parts.registry,
        author,
        body.range(),
        parts.site_numbers,
        acknowledge=body.acknowledge,
        acknowledge_foreign=body.acknowledge_foreign,
    )
    return {
        "name": body.name,
        "first": body.first,
        "last": body.last,
        "warnings": list(added.warnings),
        "holes": added.holes,
    }


def without_reason(body: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    given = body.get("reason")
    if given is not None and not isinstance(given, str):
        raise InvalidInput(Reason.REQUEST_INVALID, "reason: a string is needed")
    return {name: value for name, value in body.items() if name != "reason"}, given
