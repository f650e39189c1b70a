"""The admin door on people: accounts, groups, identities and bans."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from idmap.application.administer import add_ban, lift_ban, move_account
from idmap.application.ports import Author, RegistryReader
from idmap.domain.accounts import Account, AccountEvent, AccountState
from idmap.domain.errors import NotFound
from idmap.domain.groups import is_federated
from idmap.entrypoints.http.callers import AdminRoute, CallerAt, ReasonHeader, author_of
from idmap.entrypoints.http.documents import (
    BanRequest,
    ReasonRequest,
    account_document,
    ban_document,
    group_document,
    identity_document,
    identity_from,
    recorded_document,
)
from idmap.entrypoints.http.parts import Parts, ServeParts

router = APIRouter(route_class=AdminRoute, tags=["people"])


@router.get("/v1/accounts", summary="Accounts")
def list_accounts(
    parts: Parts,
    after: Annotated[int, Query(ge=0, description="The `next` of the page before.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    state: AccountState | None = None,
    search: Annotated[str | None, Query(max_length=32, description="Part of the username.")] = None,
) -> dict[str, Any]:
    """One page, in order of account id; `next` is null on the last."""
    with parts.registry.read() as reader:
        found = reader.list_accounts(after=after, limit=limit + 1, state=state, search=search)
    page = found[:limit]
    more = len(found) > limit
    return {
        "accounts": [account_document(account) for account in page],
        "next": page[-1].account_id if more else None,
    }


@router.get("/v1/accounts/{name}", summary="One account")
def show_account(name: str, parts: Parts) -> dict[str, Any]:
    """By username, or by uid number: no username is all digits."""
    with parts.registry.read() as reader:
        account = _find(reader, name)
        identities = reader.identities_of(account.account_id)
        bans = {ban.ban_id: ban for i in identities for ban in reader.recorded(i).bans}
    return {
        **account_document(account),
        "identities": [identity_document(identity) for identity in identities],
        "bans": [ban_document(ban) for ban in bans.values()],
    }


@router.post("/v1/accounts/{name}/suspend", summary="Suspend an account")
def suspend_account(
    name: str, body: ReasonRequest, caller: CallerAt, parts: Parts, reason: ReasonHeader = None
) -> dict[str, Any]:
    """It keeps everything and may not log in. On security grounds, ban: that is at once and past every plan."""
    author = author_of(caller, reason, body.reason)
    return _moved(parts, name, author, AccountEvent.SUSPENDED_BY_PERSON)


@router.post("/v1/accounts/{name}/restore", summary="Restore a suspended account")
def restore_account(
    name: str, body: ReasonRequest, caller: CallerAt, parts: Parts, reason: ReasonHeader = None
) -> dict[str, Any]:
    """Active again, with everything it had."""
    author = author_of(caller, reason, body.reason)
    return _moved(parts, name, author, AccountEvent.RESTORED_BY_PERSON)


@router.post("/v1/accounts/{name}/close", summary="Close an account for good")
def close_account(
    name: str, body: ReasonRequest, caller: CallerAt, parts: Parts, reason: ReasonHeader = None
) -> dict[str, Any]:
    """There is no way back; its name and number are never given again."""
    author = author_of(caller, reason, body.reason)
    return _moved(parts, name, author, AccountEvent.CLOSED)


@router.get("/v1/groups", summary="Groups that have a gid")
def list_groups(parts: Parts) -> dict[str, Any]:
    """Each with the federated group it stands for, or as `local`. Private groups are told with their accounts."""
    with parts.registry.read() as reader:
        groups = sorted(reader.posix_groups().items(), key=lambda item: item[1].gid_number)
    return {
        "groups": [
            {
                **group_document(posix),
                "issuer": group.issuer,
                "path": group.path,
                "local": not is_federated(group),
            }
            for group, posix in groups
        ]
    }


@router.get("/v1/identities", summary="What is on record about an identity")
def show_identity(
    parts: Parts,
    issuer: Annotated[str, Query(max_length=2048)],
    subject: Annotated[str, Query(max_length=255)],
) -> dict[str, Any]:
    """An identity never seen has no groups and no account."""
    with parts.registry.read() as reader:
        return recorded_document(reader.recorded(identity_from(issuer, subject)))


@router.get("/v1/bans", summary="Bans")
def list_bans(
    parts: Parts,
    all: Annotated[  # noqa: A002  # the name of the query parameter
        bool, Query(description="Those that are over by their date too.")
    ] = False,
) -> dict[str, Any]:
    """Those in force now, and the counter that nodes compare."""
    with parts.registry.read() as reader:
        bans = reader.bans(at=None if all else parts.clock())
        counter = reader.ban_counter()
    return {"bans": [ban_document(ban) for ban in bans], "ban_counter": counter}


@router.post("/v1/bans", summary="Ban an account or an identity", status_code=201)
def post_ban(
    body: BanRequest, caller: CallerAt, parts: Parts, reason: ReasonHeader = None
) -> dict[str, Any]:
    """At every door that asks us from the next request on; at every node in contact within a second."""
    author = author_of(caller, reason, body.reason)
    ban = add_ban(
        parts.registry,
        author,
        username=body.account,
        identity=None if body.identity is None else body.identity.identity(),
        until=None if body.until is None else int(body.until.timestamp()),
        at=parts.clock(),
    )
    return ban_document(ban)


@router.delete("/v1/bans/{ban_id}", summary="Lift a ban")
def delete_ban(
    ban_id: int, caller: CallerAt, parts: Parts, reason: ReasonHeader = None
) -> dict[str, Any]:
    """The ban stays on the record."""
    lift_ban(parts.registry, author_of(caller, reason), ban_id)
    return {"lifted": ban_id}


def _moved(parts: ServeParts, name: str, author: Author, event: AccountEvent) -> dict[str, Any]:
    return account_document(move_account(parts.registry, author, name, event))


def _find(reader: RegistryReader, name: str) -> Account:
    by_number = name.isascii() and name.isdigit() and len(name) <= 10
    account = (
        reader.find_account(uid_number=int(name))
        if by_number
        else reader.find_account(username=name)
    )
    if account is None:
        raise NotFound(f"account {name[:64]!r}")
    return account
