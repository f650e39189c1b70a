"""The admin door on rules: the newest and every other version, saving, pinning, trying, and what differs.

A document is taken whole or refused whole, with the place to mend (`pointer`, RFC 6901). Versions never change; the
`ETag` of the rules is the newest version, with the pinned one where that decides.
"""

from __future__ import annotations

from typing import Annotated, Any, cast

from fastapi import APIRouter, Path, Query

from idmap.application.compare_rules import compare_rules
from idmap.application.ports import Author, RegistryReader
from idmap.application.save_rules import (
    RulesChange,
    SavedRules,
    examine,
    pin_rules,
    roll_back,
    save_rules,
    unpin_rules,
)
from idmap.application.try_rules import (
    NotVerified,
    ShownToken,
    Verdict,
    try_identity,
    try_token,
    verify_shown,
)
from idmap.domain.doors import parse_door
from idmap.domain.errors import NotFound
from idmap.domain.roles import Permission
from idmap.domain.rule_diff import diff_rules
from idmap.domain.rule_examples import failing_examples
from idmap.domain.rule_schema import rules_schema
from idmap.domain.rules import RuleSet
from idmap.domain.secrets import Secret
from idmap.entrypoints.http import resources
from idmap.entrypoints.http.answers import One
from idmap.entrypoints.http.callers import AdminRoute, CallerAt, ReasonHeader, author_of
from idmap.entrypoints.http.changing import Given, changes
from idmap.entrypoints.http.conditions import EntityTag
from idmap.entrypoints.http.paging import After
from idmap.entrypoints.http.parts import Parts, ServeParts
from idmap.entrypoints.http.permissions import needs
from idmap.entrypoints.http.policy_routes import Document, without_reason
from idmap.entrypoints.http.request_documents import RulesTestRequest, VersionRequest
from idmap.entrypoints.http.rule_documents import (
    ExampleFailureDocument,
    FindingDocument,
    PinDocument,
    PinnedDocument,
    RulesDiffDocument,
    RulesDocument,
    RulesSchemaDocument,
    RulesVersionsPage,
    SavedRulesDocument,
    VerdictDocument,
    WhatIfDocument,
    counts_document,
    diff_document,
    example_document,
    finding_document,
    pin_document,
    rules_version_document,
    verdict_document,
    what_if_document,
)

router = APIRouter(route_class=AdminRoute, tags=["rules"])

Version = Annotated[int, Path(ge=0, lt=2**31)]
AcceptLoss = Annotated[
    int | None,
    Query(
        ge=0,
        lt=2**31,
        description="So many people may lose their entitlement by it, whatever the guard's limits.",
    ),
]
ExpectVersion = Annotated[
    int | None,
    Query(
        ge=0, lt=2**31, description="The newest version that the caller has seen; 412 for another."
    ),
]


@router.get("/v1/rules", summary="The newest rules")
@needs(Permission.READ)
def show_rules(parts: Parts) -> One[RulesDocument]:
    """The document as saved, and which version is in force. Version 0 has no rules: nobody gets an account."""
    with parts.registry.read() as reader:
        return resources.show(resources.rules, reader, Given({}, {}))


@router.get("/v1/rules/schema", summary="JSON Schema of rule documents")
@needs(Permission.READ)
def show_schema() -> RulesSchemaDocument:
    """Draft 2020-12; both formats. What it refuses is refused; the parser knows more."""
    return cast("RulesSchemaDocument", rules_schema())


@router.get("/v1/rules/versions", summary="Versions of the rules")
@needs(Permission.READ)
def list_rules_versions(
    parts: Parts, after: After = None, limit: Annotated[int, Query(ge=1, le=100)] = 50
) -> RulesVersionsPage:
    """Newest first, with who saved them and why, and which one is in force."""
    with parts.registry.read() as reader:
        page = reader.page_of_rules(after=after, limit=limit)
    return {"versions": [rules_version_document(one) for one in page.items], "next": page.next}


@router.get("/v1/rules/versions/{version}", summary="One version of the rules")
@needs(Permission.READ)
def show_rules_version(version: Version, parts: Parts) -> One[RulesDocument]:
    """Every version is kept."""
    with parts.registry.read() as reader:
        given = Given({"version": str(version)}, {})
        return resources.show(resources.rules, reader, given)


@router.get(
    "/v1/rules/versions/{version}/diff/{other}", summary="What differs between two versions"
)
@needs(Permission.READ)
def diff_versions(version: Version, other: Version, parts: Parts) -> One[RulesDiffDocument]:
    """Classes, rules, demands, administrators and examples added, removed, and changed member by member."""
    with parts.registry.read() as reader:
        documents = [_document_of(reader, wanted) for wanted in (version, other)]
    document = diff_document(version, other, diff_rules(*documents))
    tag = EntityTag(f"{version}-{other}")
    return One(document, headers={"ETag": str(tag)})


@router.put(
    "/v1/rules", summary="Save a new version of the rules", dependencies=[changes(resources.rules)]
)
@needs(Permission.POLICY)
def put_rules(
    body: Document,
    caller: CallerAt,
    parts: Parts,
    accept_loss: AcceptLoss = None,
    expect_version: ExpectVersion = None,
    reason: ReasonHeader = None,
) -> SavedRulesDocument:
    """The body is the document; a member `reason` may ride along. `If-Match` holds the version this one follows.

    Its examples must come out, errors among the findings refuse it, and so does taking the entitlement from too many.
    """
    document, given = without_reason(body)
    author = author_of(caller, reason, given)
    change = _change(parts, author, accept_loss, expect_version)
    return _saved(save_rules(parts.registry, change, document))


@router.post(
    "/v1/rules/rollback",
    summary="Save an old version anew",
    dependencies=[changes(resources.rules)],
)
@needs(Permission.POLICY)
def post_rollback(
    body: VersionRequest,
    caller: CallerAt,
    parts: Parts,
    accept_loss: AcceptLoss = None,
    expect_version: ExpectVersion = None,
    reason: ReasonHeader = None,
) -> SavedRulesDocument:
    """The document of that version becomes the newest, after the same checks as any other."""
    author = author_of(caller, reason, body.reason)
    change = _change(parts, author, accept_loss, expect_version)
    return _saved(roll_back(parts.registry, change, body.version))


@router.get("/v1/rules/pin", summary="The pinned version")
@needs(Permission.READ)
def show_pin(parts: Parts) -> One[PinDocument]:
    """While a version is pinned it is in force, whatever is saved after it."""
    with parts.registry.read() as reader:
        return resources.show(resources.rules_pin, reader, Given({}, {}))


@router.put("/v1/rules/pin", summary="Pin a version", dependencies=[changes(resources.rules_pin)])
@needs(Permission.POLICY)
def put_pin(
    body: VersionRequest,
    caller: CallerAt,
    parts: Parts,
    accept_loss: AcceptLoss = None,
    reason: ReasonHeader = None,
) -> PinnedDocument:
    """From now on it is in force; newer ones may be saved meanwhile."""
    author = author_of(caller, reason, body.reason)
    change = _change(parts, author, accept_loss, None)
    pin, compared = pin_rules(parts.registry, change, body.version)
    with parts.registry.read() as reader:
        newest = (reader.rules_document() or (0, None))[0]
    return {**pin_document(pin, newest), "what_if": counts_document(compared)}


@router.delete(
    "/v1/rules/pin",
    summary="Let the newest version be in force",
    dependencies=[changes(resources.rules_pin)],
)
@needs(Permission.POLICY)
def delete_pin(
    caller: CallerAt, parts: Parts, accept_loss: AcceptLoss = None, reason: ReasonHeader = None
) -> PinnedDocument:
    """Ends the pin. What was saved meanwhile comes into force, after a look at who loses by it."""
    change = _change(parts, author_of(caller, reason), accept_loss, None)
    newest, compared = unpin_rules(parts.registry, change)
    return {**pin_document(None, newest), "what_if": counts_document(compared)}


@router.post("/v1/rules/test", summary="What would change?")
@needs(Permission.READ)
def try_rules(body: RulesTestRequest, parts: Parts) -> VerdictDocument | WhatIfDocument:
    """Decides for one identity or token, or for everybody on record: counts first, people on request. Saves nothing.

    A token is verified at its door; it is not stored, and what it says is not put on record.
    """
    at = parts.clock()
    shown = None
    if body.token is not None and body.door is not None:
        secret = Secret(body.token.get_secret_value())
        asked = ShownToken(secret, parse_door(body.door), body.issuer)
        shown = verify_shown(parts.verifier, asked, at)
    with parts.registry.read() as reader:
        in_force = reader.rules()
        rules, findings, failing = _candidate(reader, body.document, in_force, at)
        if isinstance(shown, NotVerified):
            return verdict_document(shown, in_force.version, findings, failing)
        found: Verdict | None = None
        if shown is not None:
            found = try_token(reader, rules, *shown, at)
        elif body.identity is not None:
            found = try_identity(reader, rules, body.identity.identity(), at)
        if found is not None:
            return verdict_document(found, in_force.version, findings, failing)
        compared = compare_rules(reader, in_force, rules, at, asked=body.people_asked())
        return what_if_document(
            compared,
            in_force.version,
            reader.rules_pin() is not None,
            findings,
            failing,
            with_people=body.people,
        )


def _candidate(
    reader: RegistryReader, document: dict[str, Any] | None, in_force: RuleSet, at: int
) -> tuple[RuleSet, list[FindingDocument], list[ExampleFailureDocument]]:
    """The rules to try with what is found in them: those sent, else those in force."""
    if document is None:
        if not in_force.version:
            return in_force, [], []
        rules, written = in_force, _document_of(reader, in_force.version)
    else:
        rules, written = reader.check_rules(document), document
    findings = [finding_document(one) for one in examine(reader, written, rules, at)]
    return rules, findings, [example_document(one) for one in failing_examples(rules, at)]


def _document_of(reader: RegistryReader, version: int) -> dict[str, Any]:
    """Version 0 is what there is before the first: nothing. Raises NotFound."""
    if version == 0:
        return {"format": None}
    found = reader.rules_document(version)
    if found is None:
        raise NotFound(f"version {version} of the rules")
    return dict(found[1])


def _change(
    parts: ServeParts, author: Author, accept_loss: int | None, expect_version: int | None
) -> RulesChange:
    return RulesChange(author, parts.guard, parts.clock(), accept_loss, expect_version)


def _saved(saved: SavedRules) -> SavedRulesDocument:
    return {
        "version": saved.rules.version,
        "document": dict(saved.document),
        "in_force": saved.in_force,
        "findings": [finding_document(one) for one in saved.findings],
        "what_if": counts_document(saved.compared),
    }
