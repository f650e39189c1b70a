"""Ordering a ban: of exactly one thing, whose issuer is trusted here, and what the order will close.

A ban is never refused because of whom it hits, administrators included: it warns. What it would do can be asked before
(`foresee_ban`), which reads only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from idmap.application.account_named import account_named
from idmap.application.ports import Author, Registry, RegistryReader
from idmap.domain.bans import Ban
from idmap.domain.errors import InvalidInput
from idmap.domain.groups import Group, parse_group_id
from idmap.domain.identity import Identity, Issuer
from idmap.domain.issuers import find_profile
from idmap.domain.reasons import Reason


@dataclass(frozen=True, slots=True)
class BanOrder:
    """What is to be banned, as a person says it: exactly one of these, `token_id` with its `issuer`."""

    username: str | None = None
    identity: Identity | None = None
    group: Group | None = None
    """Its path as people write it."""
    issuer: Issuer | None = None
    token_id: str | None = None


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What a ban does."""

    closes: int
    """Accounts, tombstones left out, that are closed as long as it holds."""
    warnings: tuple[str, ...]
    """Administrators whom it keeps out, for instance whoever orders it."""


@dataclass(frozen=True, slots=True)
class _Target:
    """What an order means here."""

    account_id: int | None = None
    identity: Identity | None = None
    group: Group | None = None
    issuer: Issuer | None = None
    token_id: str | None = None


def add_ban(
    registry: Registry,
    author: Author,
    order: BanOrder,
    *,
    until: int | None,
    at: int,
    caller: Identity | None = None,
) -> tuple[Ban, Foreseen]:
    """Refuses whom the order names from now on; `caller` is the administrator who orders it, where they are a person.

    Raises NotFound for an account, and InvalidInput(REQUEST_INVALID): not exactly one thing, an issuer that is not
    trusted here or named by an alias, a ban that would already be over.
    """
    _check_end(until, at)
    with registry.write(author) as writer:
        target = _target(writer, order)
        foreseen = _foreseen(writer, target, caller, at)
        ban = writer.add_ban(
            account_id=target.account_id,
            identity=target.identity,
            group=target.group,
            issuer=target.issuer,
            token_id=target.token_id,
            reason=author.reason,
            until=until,
            at=at,
        )
    return ban, foreseen


def foresee_ban(
    registry: Registry,
    order: BanOrder,
    *,
    until: int | None,
    at: int,
    caller: Identity | None = None,
) -> Foreseen:
    """What `add_ban` would do; raises what it would raise. Changes nothing."""
    _check_end(until, at)
    with registry.read() as reader:
        return _foreseen(reader, _target(reader, order), caller, at)


def lift_ban(registry: Registry, author: Author, ban_id: int) -> None:
    """Ends a ban. Raises NotFound."""
    with registry.write(author) as writer:
        writer.lift_ban(ban_id)


def _check_end(until: int | None, at: int) -> None:
    if until is not None and until <= at:
        raise InvalidInput(Reason.REQUEST_INVALID, "until: lies in the past")


def _target(reader: RegistryReader, order: BanOrder) -> _Target:
    named = [order.username, order.identity, order.group, order.issuer]
    if sum(part is not None for part in named) != 1 or (order.token_id and not order.issuer):
        raise InvalidInput(
            Reason.REQUEST_INVALID, "exactly one of account, identity, group, issuer, token"
        )
    if order.username is not None:
        return _Target(account_id=account_named(reader, order.username).account_id)
    if order.identity is not None:
        _check_not_alias(reader, order.identity.issuer)
        return _Target(identity=order.identity)
    if order.group is not None:
        _check_trusted(reader, order.group.issuer)
        try:
            group = parse_group_id(order.group.issuer, order.group.path)
        except InvalidInput as error:
            raise InvalidInput(Reason.REQUEST_INVALID, error.detail) from error
        return _Target(group=group)
    assert order.issuer is not None  # noqa: S101  # one of the four, and none of the others
    _check_trusted(reader, order.issuer)
    return _Target(issuer=order.issuer, token_id=order.token_id)


def _check_trusted(reader: RegistryReader, issuer: Issuer) -> None:
    """A ban of a string that no token names would look like one and refuse nobody."""
    if find_profile(reader.issuers(), issuer) is None:
        raise InvalidInput(
            Reason.REQUEST_INVALID,
            f"issuer {issuer!r} is not trusted here; its tokens open nothing",
        )
    _check_not_alias(reader, issuer)


def _check_not_alias(reader: RegistryReader, issuer: Issuer) -> None:
    profile = find_profile(reader.issuers(), issuer)
    if profile is not None and profile.issuer != issuer:
        raise InvalidInput(
            Reason.REQUEST_INVALID, f"issuer {issuer!r} is an alias; write {profile.issuer!r}"
        )


def _foreseen(
    reader: RegistryReader, target: _Target, caller: Identity | None, at: int
) -> Foreseen:
    return Foreseen(_closes(reader, target, at), tuple(_warnings(reader, target, caller)))


def _closes(reader: RegistryReader, target: _Target, at: int) -> int:
    if target.token_id is not None:
        return 0
    if target.account_id is not None:
        return 1
    if target.identity is not None:
        return int(reader.recorded(target.identity).account is not None)
    return reader.count_closed_by(group=target.group, issuer=target.issuer, at=at)


def _warnings(reader: RegistryReader, target: _Target, caller: Identity | None) -> Iterator[str]:
    if target.token_id is not None:
        return
    if caller is not None and _hits(reader, target, caller):
        yield f"you, {caller}, are kept out too"
    for index, administrator in enumerate(reader.rules().administrators, start=1):
        identity, group = administrator.identity, administrator.group
        if identity is not None and _hits(reader, target, identity):
            yield f"administrator {identity} (admins entry {index}) is kept out"
        if group is not None and _hits_group(reader, target, group):
            yield f"administrators in {group} (admins entry {index}) are kept out"


def _hits(reader: RegistryReader, target: _Target, identity: Identity) -> bool:
    """Whether somebody who shows a token of `identity` is refused."""
    if target.issuer is not None:
        return target.issuer == identity.issuer
    recorded = reader.recorded(identity)
    if recorded.account is None:
        return target.identity == identity or target.group in recorded.groups
    account_id = recorded.account.account_id
    kin = [facts.recorded for facts in reader.people_of(account_id)]
    return target.account_id == account_id or any(
        target.identity == one.identity or target.group in one.groups for one in kin
    )


def _hits_group(reader: RegistryReader, target: _Target, group: Group) -> bool:
    """Whether those who are administrators as members of `group`, or one of them, are refused."""
    if target.group == group or target.issuer == group.issuer:
        return True
    if target.identity is not None:
        return group in reader.recorded(target.identity).groups
    if target.account_id is not None:
        people = reader.people_of(target.account_id)
        return any(group in facts.recorded.groups for facts in people)
    return False
