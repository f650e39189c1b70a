"""The admin door on people: accounts, groups, identities and bans."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from idmap.application.account_named import account_named
from idmap.application.administer import move_account
from idmap.application.administrators import check_own_ban, check_reach
from idmap.application.ban import add_ban, foresee_ban, lift_ban
from idmap.application.ports import Author
from idmap.application.questions import (
    AccountQuestion,
    BanQuestion,
    GroupQuestion,
    IdentityQuestion,
)
from idmap.domain.accounts import AccountEvent, AccountState
from idmap.domain.bans import BanKind
from idmap.domain.roles import Permission
from idmap.entrypoints.http import paging, resources
from idmap.entrypoints.http.answers import Json, One
from idmap.entrypoints.http.ban_requests import BanRequest
from idmap.entrypoints.http.callers import AdminRoute, Caller, CallerAt, ReasonHeader, author_of
from idmap.entrypoints.http.changing import Given, changes
from idmap.entrypoints.http.documents import (
    AccountsPage,
    BanDocument,
    BansPage,
    ForeseenBanDocument,
    GroupsPage,
    IdentitiesPage,
    LiftedBanDocument,
    OneAccountDocument,
    OneGroupDocument,
    OrderedBanDocument,
    RecordedDocument,
    account_document,
    ban_document,
    foreseen_ban_document,
    listed_group_document,
    recorded_document,
)
from idmap.entrypoints.http.paging import After, Limit, Text, asked_identity, words
from idmap.entrypoints.http.parts import Parts, ServeParts
from idmap.entrypoints.http.permissions import needs
from idmap.entrypoints.http.request_documents import (
    AskedDay,
    NamedInPath,
    ReasonRequest,
)

BanId = Annotated[int, Path(ge=1, lt=2**31)]

router = APIRouter(route_class=AdminRoute, tags=["people"])


@router.get("/v1/accounts", summary="Accounts")
@needs(Permission.READ)
def list_accounts(
    parts: Parts,
    after: After = None,
    limit: Limit = 100,
    state: AccountState | None = None,
    rule: Annotated[Text, words("Id of the rule that gave it.")] = None,
    account_class: Annotated[Text, words("A class of the rules in force.", alias="class")] = None,
    group: Annotated[Text, words("Name of a POSIX group, primary or secondary.")] = None,
    issuer: Annotated[Text, words("Of one of its identities; the exact string.", 2048)] = None,
    prefix: Annotated[Text, words("How the username begins; from the index.", 32)] = None,
    search: Annotated[
        Text, words("Part of the username; reads on until a page is full.", 32)
    ] = None,
    uid_from: Annotated[int | None, Query(ge=0, lt=2**32)] = None,
    uid_to: Annotated[int | None, Query(ge=0, lt=2**32)] = None,
    grace_before: Annotated[
        AskedDay | None, Query(description="In grace whose last day is before this one.")
    ] = None,
    held: Annotated[bool | None, Query(description="Suspended by a person, or not.")] = None,
) -> AccountsPage:
    """One page, in order of account id; of username with `prefix`, of uid number with `uid_from` or `uid_to`."""
    with parts.registry.read() as reader:
        rules = None if rule is None else frozenset({rule})
        if account_class is not None:
            ids = reader.rules().rules_of_class(account_class)
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
    return {"accounts": [account_document(one) for one in page.items], "next": page.next}


@router.get("/v1/accounts/{name}", summary="One account")
@needs(Permission.READ)
def show_account(name: NamedInPath, parts: Parts) -> One[OneAccountDocument]:
    """By username, or by uid number: no username is all digits."""
    with parts.registry.read() as reader:
        return resources.show(resources.account, reader, Given({"name": name}, {}))


@router.post(
    "/v1/accounts/{name}/suspend",
    summary="Suspend an account",
    dependencies=[changes(resources.account)],
)
@needs(Permission.SUSPEND)
def suspend_account(
    name: NamedInPath,
    body: ReasonRequest,
    caller: CallerAt,
    parts: Parts,
    reason: ReasonHeader = None,
) -> OneAccountDocument:
    """It keeps everything and may not log in. On security grounds, ban: that is at once and past every plan."""
    author = author_of(caller, reason, body.reason)
    return _moved(parts, caller, name, author, AccountEvent.SUSPENDED_BY_PERSON)


@router.post(
    "/v1/accounts/{name}/restore",
    summary="Restore a suspended account",
    dependencies=[changes(resources.account)],
)
@needs(Permission.SUSPEND)
def restore_account(
    name: NamedInPath,
    body: ReasonRequest,
    caller: CallerAt,
    parts: Parts,
    reason: ReasonHeader = None,
) -> OneAccountDocument:
    """Active again, with everything it had."""
    author = author_of(caller, reason, body.reason)
    return _moved(parts, caller, name, author, AccountEvent.RESTORED_BY_PERSON)


@router.post(
    "/v1/accounts/{name}/close",
    summary="Close an account for good",
    dependencies=[changes(resources.account)],
)
@needs(Permission.ACCOUNTS)
def close_account(
    name: NamedInPath,
    body: ReasonRequest,
    caller: CallerAt,
    parts: Parts,
    reason: ReasonHeader = None,
) -> OneAccountDocument:
    """There is no way back; its name and number are never given again."""
    author = author_of(caller, reason, body.reason)
    return _moved(parts, caller, name, author, AccountEvent.CLOSED)


@router.get("/v1/groups", summary="Groups that have a gid")
@needs(Permission.READ)
def list_groups(
    parts: Parts,
    after: After = None,
    limit: Limit = 1000,
    issuer: Annotated[Text, words("Of this issuer; the exact string.", 2048)] = None,
    prefix: Annotated[Text, words("How the name begins; from the index.", 32)] = None,
) -> GroupsPage:
    """Each with the federated group it stands for, or as `local`; in order of gid number, of name with `prefix`.

    Private groups are told with their accounts.
    """
    asked = GroupQuestion(issuer=issuer, prefix=prefix)
    with parts.registry.read() as reader:
        page = reader.page_of_groups(asked, after=after, limit=limit)
    return {"groups": [listed_group_document(one) for one in page.items], "next": page.next}


@router.get("/v1/groups/{name}", summary="One group")
@needs(Permission.READ)
def show_group(name: NamedInPath, parts: Parts) -> One[OneGroupDocument]:
    """By name, or by gid number: no name is all digits."""
    with parts.registry.read() as reader:
        return resources.show(resources.group, reader, Given({"name": name}, {}))


@router.get("/v1/identities", summary="Identities, or what is on record about one")
@needs(Permission.READ)
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
) -> Json[IdentitiesPage] | One[RecordedDocument]:
    """With `issuer` and `subject`, one; an identity never seen has no groups and no account. Else one page, in order
    of first sight; of subject with `issuer`.
    """
    if subject is not None:
        asked_identity(issuer, subject)
        given = Given({}, {"issuer": issuer or "", "subject": subject})
        with parts.registry.read() as reader:
            return resources.show(resources.identity, reader, given)
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
    return Json[IdentitiesPage](
        {"identities": [recorded_document(one) for one in page.items], "next": page.next}
    )


@router.get("/v1/bans", summary="Bans")
@needs(Permission.READ)
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
) -> BansPage:
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
    return {
        "bans": [ban_document(one) for one in page.items],
        "next": page.next,
        "ban_counter": counter,
    }


@router.get("/v1/bans/{ban_id}", summary="One ban")
@needs(Permission.READ)
def show_ban(ban_id: BanId, parts: Parts) -> One[BanDocument]:
    """Until it is lifted; over by its date or not."""
    with parts.registry.read() as reader:
        return resources.show(resources.ban, reader, Given({"ban_id": str(ban_id)}, {}))


@router.post(
    "/v1/bans",
    summary="Ban an account, an identity, a group, an issuer or a token",
    status_code=201,
    responses={200: {"description": "With `dry_run`: what it would close; nothing was changed."}},
)
@needs(Permission.BAN)
def post_ban(
    body: BanRequest,
    caller: CallerAt,
    parts: Parts,
    dry_run: Annotated[bool, Query(description="Only say what it would close.")] = False,
    reason: ReasonHeader = None,
) -> OrderedBanDocument | Json[ForeseenBanDocument]:
    """At every door that asks us from the next request on; at every node in contact within a second. `closes` says how
    many accounts are closed by it; `warnings`, which administrators. With `dry_run` nothing else, and nothing changes.
    """
    author = author_of(caller, reason, body.reason)
    order, until, at = body.order(), body.end(), parts.clock()
    who = caller.identity
    if dry_run:
        found = foresee_ban(parts.registry, order, until=until, at=at, caller=who)
        return Json[ForeseenBanDocument](foreseen_ban_document(found))
    ban, foreseen = add_ban(parts.registry, author, order, until=until, at=at, caller=who)
    return {**ban_document(ban), **foreseen_ban_document(foreseen)}


@router.delete("/v1/bans/{ban_id}", summary="Lift a ban", dependencies=[changes(resources.ban)])
@needs(Permission.BAN)
def delete_ban(
    ban_id: BanId, caller: CallerAt, parts: Parts, reason: ReasonHeader = None
) -> LiftedBanDocument:
    """The ban stays on the record. Nobody lifts a ban that reaches themselves."""
    author = author_of(caller, reason)
    with parts.registry.write(author) as writer:
        check_own_ban(writer, caller.identity, ban_id)
    lift_ban(parts.registry, author, ban_id)
    return {"lifted": ban_id}


def _moved(
    parts: ServeParts, caller: Caller, name: str, author: Author, event: AccountEvent
) -> OneAccountDocument:
    with parts.registry.write(author) as writer:
        check_reach(writer, caller.held, name)
    moved = move_account(parts.registry, author, name, event)
    with parts.registry.read() as reader:
        return resources.shown_account(reader, moved)
