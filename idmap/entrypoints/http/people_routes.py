"""The admin door on people: accounts, groups, identities and bans."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from starlette.responses import JSONResponse, Response

from idmap.application.account_named import account_named
from idmap.application.administer import move_account
from idmap.application.ban import Foreseen, add_ban, foresee_ban, lift_ban
from idmap.application.ports import Author
from idmap.application.questions import (
    AccountQuestion,
    BanQuestion,
    GroupQuestion,
    IdentityQuestion,
)
from idmap.domain.accounts import AccountEvent, AccountState, PosixGroup
from idmap.domain.bans import BanKind
from idmap.domain.groups import Group, is_federated
from idmap.entrypoints.http import paging, resources
from idmap.entrypoints.http.ban_requests import BanRequest
from idmap.entrypoints.http.callers import AdminRoute, CallerAt, ReasonHeader, author_of
from idmap.entrypoints.http.changing import Given, Resource, changes
from idmap.entrypoints.http.documents import (
    ReasonRequest,
    account_document,
    ban_document,
    group_document,
    recorded_document,
)
from idmap.entrypoints.http.paging import After, Limit, Text, asked_identity, paged, words
from idmap.entrypoints.http.parts import Parts, ServeParts

BanId = Annotated[int, Path(ge=1, lt=2**31)]

router = APIRouter(route_class=AdminRoute, tags=["people"])


@router.get("/v1/accounts", summary="Accounts")
def list_accounts(
    parts: Parts,
    after: After = None,
    limit: Limit = 100,
    state: AccountState | None = None,
    rule: Annotated[Text, words("Id of the rule that gave it.")] = None,
    account_class: Annotated[
        Text, Query(alias="class", max_length=64, description="A class of the newest rules.")
    ] = None,
    group: Annotated[Text, words("Name of a POSIX group, primary or secondary.")] = None,
    issuer: Annotated[Text, words("Of one of its identities; the exact string.", 2048)] = None,
    prefix: Annotated[Text, words("How the username begins; from the index.", 32)] = None,
    search: Annotated[
        Text, words("Part of the username; reads on until a page is full.", 32)
    ] = None,
    uid_from: Annotated[int | None, Query(ge=0, lt=2**32)] = None,
    uid_to: Annotated[int | None, Query(ge=0, lt=2**32)] = None,
    grace_before: Annotated[
        date | None, Query(description="In grace whose last day is before this one.")
    ] = None,
    held: Annotated[bool | None, Query(description="Suspended by a person, or not.")] = None,
) -> dict[str, Any]:
    """One page, in order of account id; of username with `prefix`, of uid number with `uid_from` or `uid_to`."""
    with parts.registry.read() as reader:
        rules = None if rule is None else frozenset({rule})
        if account_class is not None:
            of_class = (r for r in reader.rules().rules if r.account_class.name == account_class)
            ids = frozenset(one.rule_id for one in of_class)
            rules = ids if rules is None else rules & ids
        asked = AccountQuestion(
            state=state,
            rules=rules,
            group=group,
            issuer=issuer,
            prefix=prefix,
            search=search,
            uid_from=uid_from,
            uid_to=uid_to,
            grace_before=grace_before,
            held=held,
        )
        page = reader.page_of_accounts(asked, after=after, limit=limit)
    return paged("accounts", page, account_document)


@router.get("/v1/accounts/{name}", summary="One account")
def show_account(name: str, parts: Parts) -> Response:
    """By username, or by uid number: no username is all digits."""
    return _show(parts, resources.account, {"name": name})


@router.post(
    "/v1/accounts/{name}/suspend",
    summary="Suspend an account",
    dependencies=[changes(resources.account)],
)
def suspend_account(
    name: str, body: ReasonRequest, caller: CallerAt, parts: Parts, reason: ReasonHeader = None
) -> dict[str, Any]:
    """It keeps everything and may not log in. On security grounds, ban: that is at once and past every plan."""
    author = author_of(caller, reason, body.reason)
    return _moved(parts, name, author, AccountEvent.SUSPENDED_BY_PERSON)


@router.post(
    "/v1/accounts/{name}/restore",
    summary="Restore a suspended account",
    dependencies=[changes(resources.account)],
)
def restore_account(
    name: str, body: ReasonRequest, caller: CallerAt, parts: Parts, reason: ReasonHeader = None
) -> dict[str, Any]:
    """Active again, with everything it had."""
    author = author_of(caller, reason, body.reason)
    return _moved(parts, name, author, AccountEvent.RESTORED_BY_PERSON)


@router.post(
    "/v1/accounts/{name}/close",
    summary="Close an account for good",
    dependencies=[changes(resources.account)],
)
def close_account(
    name: str, body: ReasonRequest, caller: CallerAt, parts: Parts, reason: ReasonHeader = None
) -> dict[str, Any]:
    """There is no way back; its name and number are never given again."""
    author = author_of(caller, reason, body.reason)
    return _moved(parts, name, author, AccountEvent.CLOSED)


@router.get("/v1/groups", summary="Groups that have a gid")
def list_groups(
    parts: Parts,
    after: After = None,
    limit: Limit = 1000,
    issuer: Annotated[Text, words("Of this issuer; the exact string.", 2048)] = None,
    prefix: Annotated[Text, words("How the name begins; from the index.", 32)] = None,
) -> dict[str, Any]:
    """Each with the federated group it stands for, or as `local`; in order of gid number, of name with `prefix`.

    Private groups are told with their accounts.
    """
    asked = GroupQuestion(issuer=issuer, prefix=prefix)
    with parts.registry.read() as reader:
        page = reader.page_of_groups(asked, after=after, limit=limit)
    return paged("groups", page, _group)


@router.get("/v1/groups/{name}", summary="One group")
def show_group(name: str, parts: Parts) -> Response:
    """By name, or by gid number: no name is all digits."""
    return _show(parts, resources.group, {"name": name})


@router.get("/v1/identities", summary="Identities, or what is on record about one")
def list_identities(
    parts: Parts,
    after: After = None,
    limit: Limit = 100,
    issuer: Annotated[Text, words("The exact string.", 2048)] = None,
    subject: Annotated[Text, words("With `issuer`: this one identity.", 255)] = None,
    subject_prefix: Annotated[
        Text, words("With `issuer`: how the subject begins; from the index.", 255)
    ] = None,
    linked: Annotated[bool | None, Query(description="Has an account, or none.")] = None,
    active: Annotated[bool | None, Query(description="Active at its source, or not.")] = None,
    robot: Annotated[bool | None, Query(description="A robot, or a person.")] = None,
    group: Annotated[Text, words("Path of a federated group it is in.", 1024)] = None,
) -> Response:
    """With `issuer` and `subject`, one; an identity never seen has no groups and no account. Else one page, in order
    of first sight; of subject with `issuer`.
    """
    if subject is not None:
        asked_identity(issuer, subject)
        return _show(parts, resources.identity, {}, {"issuer": issuer or "", "subject": subject})
    asked = IdentityQuestion(
        issuer=issuer,
        prefix=subject_prefix,
        linked=linked,
        active=active,
        robot=robot,
        group=group,
    )
    with parts.registry.read() as reader:
        page = reader.page_of_identities(asked, after=after, limit=limit)
    return JSONResponse(paged("identities", page, recorded_document))


@router.get("/v1/bans", summary="Bans")
def list_bans(
    parts: Parts,
    after: After = None,
    limit: Limit = 1000,
    all: Annotated[  # noqa: A002  # the name of the query parameter
        bool, Query(description="Those that are over by their date too.")
    ] = False,
    account: Annotated[Text, words("A username: bans that reach it, whatever they are of.")] = None,
    kind: Annotated[BanKind | None, Query(description="What they are of.")] = None,
    issuer: Annotated[
        Text,
        words("That name it: it, or a token, group or identity of it; the exact string.", 2048),
    ] = None,
    subject: paging.Subject = None,
    group: Annotated[Text, words("Of a group with this path.", 512)] = None,
    token_id: Annotated[Text, words("Of a token with this id.", 255)] = None,
    author: paging.Author = None,
) -> dict[str, Any]:
    """Those in force now, in order of id, and the counter that nodes compare."""
    with parts.registry.read() as reader:
        counter = reader.ban_counter()
        asked = BanQuestion(
            at=None if all else parts.clock(),
            account_id=None if account is None else account_named(reader, account).account_id,
            identity=None if subject is None else asked_identity(issuer, subject),
            kind=kind,
            issuer=issuer,
            group=group,
            token_id=token_id,
            author=author,
        )
        page = reader.page_of_bans(asked, after=after, limit=limit)
    return paged("bans", page, ban_document, ban_counter=counter)


@router.get("/v1/bans/{ban_id}", summary="One ban")
def show_ban(ban_id: BanId, parts: Parts) -> Response:
    """Until it is lifted; over by its date or not."""
    return _show(parts, resources.ban, {"ban_id": str(ban_id)})


@router.post(
    "/v1/bans",
    summary="Ban an account, an identity, a group, an issuer or a token",
    status_code=201,
    responses={200: {"description": "With `dry_run`: what it would close; nothing was changed."}},
)
def post_ban(
    body: BanRequest,
    caller: CallerAt,
    parts: Parts,
    dry_run: Annotated[bool, Query(description="Only say what it would close.")] = False,
    reason: ReasonHeader = None,
) -> Any:
    """At every door that asks us from the next request on; at every node in contact within a second. `closes` says how
    many accounts are closed by it; `warnings`, which administrators.
    """
    author = author_of(caller, reason, body.reason)
    order, until, at = body.order(), body.end(), parts.clock()
    who = None if caller.claims is None else caller.claims.identity
    if dry_run:
        return JSONResponse(
            _foreseen(foresee_ban(parts.registry, order, until=until, at=at, caller=who))
        )
    ban, foreseen = add_ban(parts.registry, author, order, until=until, at=at, caller=who)
    return {**ban_document(ban), **_foreseen(foreseen)}


@router.delete("/v1/bans/{ban_id}", summary="Lift a ban", dependencies=[changes(resources.ban)])
def delete_ban(
    ban_id: BanId, caller: CallerAt, parts: Parts, reason: ReasonHeader = None
) -> dict[str, Any]:
    """The ban stays on the record."""
    lift_ban(parts.registry, author_of(caller, reason), ban_id)
    return {"lifted": ban_id}


def _foreseen(found: Foreseen) -> dict[str, Any]:
    return {"closes": found.closes, "warnings": list(found.warnings)}


def _moved(parts: ServeParts, name: str, author: Author, event: AccountEvent) -> dict[str, Any]:
    moved = move_account(parts.registry, author, name, event)
    with parts.registry.read() as reader:
        shown = resources.account(reader, Given({"name": moved.username}, {}))
    return account_document(moved) if shown is None else dict(shown.document)


def _show(
    parts: ServeParts,
    resource: Resource,
    path: dict[str, str],
    query: dict[str, str] | None = None,
) -> Response:
    with parts.registry.read() as reader:
        return resources.show(resource, reader, Given(path, query or {}))


def _group(both: tuple[Group, PosixGroup]) -> dict[str, Any]:
    group, posix = both
    return {
        **group_document(posix),
        "issuer": group.issuer,
        "path": group.path,
        "local": not is_federated(group),
    }
