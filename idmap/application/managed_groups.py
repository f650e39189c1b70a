"""What group managers may: see who is in their groups, suspend members, restore whom they suspended themselves.

`manages` of `[[admins]]` lists the groups, each by itself: a group's children are groups of their own. An account is
within a manager's reach when it holds one of them or one of its identities is recorded in one. Of any other account
they learn nothing, not even that it exists.

Nothing here grants. A restored account has what the rules give it that day, so one whose person is entitled no
more stays suspended: from grace, a manager who suspends and restores would make grace endless. Not theirs to suspend
are accounts of people who have a role, their own among them, and shared accounts that people outside their groups use.
"""

from __future__ import annotations

from dataclasses import dataclass

from idmap.application.account_named import find_account
from idmap.application.administrators import roles_of_account
from idmap.application.ports import Author, Registry, RegistryReader
from idmap.application.questions import GroupMember, Page
from idmap.domain.accounts import Account, AccountEvent, AccountState, PosixGroup
from idmap.domain.administrators import held_roles
from idmap.domain.decision import decide
from idmap.domain.errors import InvalidInput, NotFound, Refused
from idmap.domain.groups import Group
from idmap.domain.identity import Identity
from idmap.domain.persons import as_one
from idmap.domain.reasons import Reason
from idmap.domain.roles import Permission, roles_with
from idmap.domain.rules import who_names
from idmap.domain.shared_accounts import Sharer


@dataclass(frozen=True, slots=True)
class ManagedGroup:
    """A group as its manager sees it."""

    group: Group
    posix: PosixGroup | None
    """None while no rule gives it a gid."""
    named_by: tuple[str, ...]
    """The rules and classes that speak of it."""


@dataclass(frozen=True, slots=True)
class ManagedAccount:
    """An account within a manager's reach, with what of it lies in their groups."""

    account: Account
    identities: tuple[Identity, ...]
    """Those recorded in one of the groups."""
    groups: tuple[Group, ...]
    """Those of the manager's groups that it holds or that these are recorded in."""
    alone: bool
    """Nobody uses it who is in none of the manager's groups."""


def managed_groups(reader: RegistryReader, manager: Identity | None) -> tuple[ManagedGroup, ...]:
    """The groups of a manager; none for anybody else, nor for a machine."""
    rules, posix = reader.rules(), reader.posix_groups()
    return tuple(
        ManagedGroup(
            group,
            posix.get(group),
            tuple(one for one in who_names(rules, group) if not one.startswith("admin ")),
        )
        for group in sorted(_manages(reader, manager))
    )


def page_of_managed(
    reader: RegistryReader,
    manager: Identity | None,
    path: str,
    issuer: str | None,
    *,
    after: str | None,
    limit: int,
) -> Page[GroupMember]:
    """Members of one of the manager's groups. Raises NotFound for any other, whether or not there is one;
    InvalidInput(REQUEST_INVALID) when the path is managed at several issuers and none is named.
    """
    found = [
        group
        for group in _manages(reader, manager)
        if group.path == path.removeprefix("/") and issuer in {None, group.issuer}
    ]
    if not found:
        raise NotFound(f"group {path[:100]!r}")
    if len(found) > 1:
        raise InvalidInput(Reason.REQUEST_INVALID, "issuer: the path is managed at several")
    return reader.page_of_members(found[0], after=after, limit=limit)


def find_managed(
    reader: RegistryReader, manager: Identity | None, name: str
) -> ManagedAccount | None:
    """The account of that name or uid number within the manager's reach."""
    manages = _manages(reader, manager)
    account = find_account(reader, name) if manages else None
    if account is None or account.state is AccountState.TOMBSTONE:
        return None
    people = [one.recorded for one in reader.people_of(account.account_id)]
    within = [one for one in people if one.groups & manages]
    held = {account.primary_group, *account.secondary_groups}
    posix = reader.posix_groups()
    recorded = frozenset[Group]().union(*(one.groups for one in within))
    groups = {group for group in manages if group in recorded or posix.get(group) in held}
    if not groups:
        return None
    return ManagedAccount(
        account=account,
        identities=tuple(one.identity for one in within),
        groups=tuple(sorted(groups)),
        alone=not account.shared or len(within) == len(people),
    )


def suspend_member(
    registry: Registry, author: Author, manager: Identity | None, name: str
) -> ManagedAccount:
    """Suspended until a person restores it, whatever the sources say.

    Raises NotFound; Refused(ROLE_MISSING) for somebody who has a role, and for an account that others use too;
    Conflict(TRANSITION_REFUSED).
    """
    with registry.write(author) as writer:
        found = _get_managed(writer, manager, name)
        account_id = found.account.account_id
        if roles_of_account(writer, account_id):
            raise _not_theirs(name, "it is of somebody who has a role", Permission.STAFF)
        if not found.alone:
            raise _not_theirs(name, "others use it too", Permission.SUSPEND)
        writer.move_account(account_id, AccountEvent.SUSPENDED_BY_PERSON)
        return _get_managed(writer, manager, name)


def restore_member(
    registry: Registry, author: Author, manager: Identity | None, name: str, at: int
) -> ManagedAccount:
    """Active again.

    Raises NotFound; Refused: ROLE_MISSING unless this very author suspended it, the decision's reason when the rules
    give the person no account now; Conflict(TRANSITION_REFUSED).
    """
    with registry.write(author) as writer:
        found = _get_managed(writer, manager, name)
        account_id = found.account.account_id
        if found.account.state is AccountState.SUSPENDED:
            if writer.suspended_by(account_id) != author.name:
                raise _not_theirs(name, "it was not you who suspended it", Permission.SUSPEND)
            _check_entitled(writer, found.account, at)
        writer.move_account(account_id, AccountEvent.RESTORED_BY_PERSON)
        return _get_managed(writer, manager, name)


def _manages(reader: RegistryReader, manager: Identity | None) -> frozenset[Group]:
    if manager is None:
        return frozenset()
    return held_roles(reader.recorded(manager), reader.rules()).manages


def _get_managed(reader: RegistryReader, manager: Identity | None, name: str) -> ManagedAccount:
    found = find_managed(reader, manager, name)
    if found is None:
        raise NotFound(f"account {name[:64]!r}")
    return found


def _not_theirs(name: str, why: str, permission: Permission) -> Refused:
    able = " or ".join(roles_with(permission))
    return Refused(Reason.ROLE_MISSING, f"account {name[:64]!r}: {why}; that is for {able}")


def _check_entitled(reader: RegistryReader, account: Account, at: int) -> None:
    people = [one.recorded for one in reader.people_of(account.account_id)]
    rules, reason = reader.rules(), Reason.NO_RULE_MATCHES
    if account.shared and people:
        sharers = (Sharer(one, decide(one, rules, at)) for one in people)
        entitled = any(one.shared_name == account.username for one in sharers)
    elif people:
        decision = decide(as_one(people), rules, at)
        entitled, reason = decision.grant is not None, decision.reason
    else:
        entitled = False
    if not entitled:
        raise Refused(reason, f"account {account.username}: to restore it now would extend it")
