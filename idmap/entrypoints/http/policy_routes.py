"""The admin door on policy: issuers, rules and ranges.

A document is taken whole or refused whole, naming the member to mend. Rules are versioned: their `ETag` is the
version.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Query

from idmap.application.administer import remove_issuer, save_issuer
from idmap.application.compare_rules import compare_rules
from idmap.application.link_identities import person_of
from idmap.application.site_numbers import add_range
from idmap.domain.considered import consider
from idmap.domain.decision import decide
from idmap.domain.errors import InvalidInput
from idmap.domain.identity import Issuer
from idmap.domain.issuer_document import parse_profile
from idmap.domain.reasons import Reason
from idmap.domain.roles import Permission
from idmap.domain.rule_document import parse_rules
from idmap.entrypoints.http import resources
from idmap.entrypoints.http.answers import Json, One
from idmap.entrypoints.http.callers import AdminRoute, CallerAt, ReasonHeader, author_of
from idmap.entrypoints.http.changing import Given, changes
from idmap.entrypoints.http.documents import identity_document
from idmap.entrypoints.http.door_documents import considered_document
from idmap.entrypoints.http.paging import After, words
from idmap.entrypoints.http.parts import Parts
from idmap.entrypoints.http.permissions import needs
from idmap.entrypoints.http.policy_documents import (
    AddedRangeDocument,
    IssuerDocument,
    IssuersDocument,
    RangesDocument,
    RemovedIssuerDocument,
    RulesDocument,
    RulesVersionsPage,
    VerdictDocument,
    WhatIfDocument,
    issuer_document,
    range_document,
    rules_version_document,
)
from idmap.entrypoints.http.request_documents import FreeDocument, RangeRequest, RulesTestRequest

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
    document, given = _without_reason(body)
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


@router.get("/v1/rules", summary="The newest rules")
@needs(Permission.READ)
def show_rules(parts: Parts) -> One[RulesDocument]:
    """The document as saved; `ETag` is its version. Version 0 has no rules: nobody gets an account."""
    with parts.registry.read() as reader:
        return resources.show(resources.rules, reader, Given({}, {}))


@router.get("/v1/rules/versions", summary="Versions of the rules")
@needs(Permission.READ)
def list_rules_versions(
    parts: Parts, after: After = None, limit: Annotated[int, Query(ge=1, le=100)] = 50
) -> RulesVersionsPage:
    """Newest first, with who saved them."""
    with parts.registry.read() as reader:
        page = reader.page_of_rules(after=after, limit=limit)
    return {"versions": [rules_version_document(one) for one in page.items], "next": page.next}


@router.get("/v1/rules/versions/{version}", summary="One version of the rules")
@needs(Permission.READ)
def show_rules_version(
    version: Annotated[int, Path(ge=0, lt=2**31)], parts: Parts
) -> One[RulesDocument]:
    """Every version is kept."""
    with parts.registry.read() as reader:
        given = Given({"version": str(version)}, {})
        return resources.show(resources.rules, reader, given)


@router.put(
    "/v1/rules", summary="Save a new version of the rules", dependencies=[changes(resources.rules)]
)
@needs(Permission.POLICY)
def put_rules(
    body: Document, caller: CallerAt, parts: Parts, reason: ReasonHeader = None
) -> RulesDocument:
    """The body is the document; a member `reason` may ride along. `If-Match` holds the version this one follows."""
    document, given = _without_reason(body)
    author = author_of(caller, reason, given)
    with parts.registry.write(author) as writer:
        rules = writer.save_rules(document, expect_version=None)
    return {"version": rules.version, "document": document}


@router.post("/v1/rules/test", summary="What would change?")
@needs(Permission.READ)
def try_rules(body: RulesTestRequest, parts: Parts) -> VerdictDocument | WhatIfDocument:
    """Decides for one identity, or counts who gains and who loses among everybody on record. Saves nothing."""
    at = parts.clock()
    with parts.registry.read() as reader:
        saved = reader.rules()
        rules = saved if body.document is None else parse_rules(body.document, saved.version + 1)
        if body.identity is not None:
            recorded = person_of(reader, reader.recorded(body.identity.identity()))
            decision = decide(recorded, rules, at)
            return {
                "allowed": decision.allowed,
                "reason": decision.reason,
                "rules": [
                    considered_document(one) for one in consider(recorded, rules, decision.grant)
                ],
            }
    found = compare_rules(parts.registry, rules, at)
    return {
        "against_version": saved.version,
        "people": found.people,
        "entitled": found.entitled,
        "gains": found.gains,
        "loses": found.loses,
        "moves": found.moves,
        "gaining": [identity_document(identity) for identity in found.gaining],
        "losing": [identity_document(identity) for identity in found.losing],
    }


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


def _without_reason(body: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    given = body.get("reason")
    if given is not None and not isinstance(given, str):
        raise InvalidInput(Reason.REQUEST_INVALID, "reason: a string is needed")
    return {name: value for name, value in body.items() if name != "reason"}, given
