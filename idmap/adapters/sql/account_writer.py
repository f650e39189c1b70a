"""Accounts and POSIX groups: opened once, moved through their states, never removed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from typing import Any, Final

from sqlalchemy import and_, bindparam, delete, exists, insert, or_, select, update

from idmap.adapters.sql.allocation import Wish
from idmap.adapters.sql.tables import (
    ACCOUNTS,
    BANS,
    GROUPS,
    IDENTITIES,
    LEDGER_NAMES,
    LEDGER_NUMBERS,
    MEMBERSHIPS,
    OBSERVATIONS,
    POSIX_GROUPS,
)
from idmap.adapters.sql.transaction import Transaction
from idmap.domain.accounts import (
    Account,
    AccountEvent,
    AccountState,
    AccountTerms,
    PosixGroup,
    is_held,
    next_state,
)
from idmap.domain.errors import Conflict, InvalidInput
from idmap.domain.groups import PRIVATE_GROUP, PRIVATE_ISSUER, Group
from idmap.domain.identity import Identity, Issuer
from idmap.domain.names import GroupName, Username, check_generated_name, numbered_usernames
from idmap.domain.numbers import GidNumber, RangePurpose, UidNumber
from idmap.domain.plans import OpenAccount, OpenGroup
from idmap.domain.reasons import Reason
from idmap.domain.shared_accounts import holder_of_shared

_PASSWD_FIELD: Final = re.compile(r"/[!-9;-~]{0,254}", re.ASCII)
"""Home and shell go into passwd lines and tab-separated records."""

_ADD_GROUP: Final = insert(GROUPS)
_ADD_POSIX_GROUP: Final = insert(POSIX_GROUPS)
_ADD_ACCOUNT: Final = insert(ACCOUNTS)
_ADD_IDENTITY: Final = insert(IDENTITIES)
_ADD_MEMBERSHIP: Final = insert(MEMBERSHIPS)
_LINK_IDENTITY: Final = (
    update(IDENTITIES)
    .where(IDENTITIES.c.identity_id == bindparam("wanted"))
    .values(account_id=bindparam("linked"), spelling=None)
)
_FIND_IDENTITY: Final = select(
    IDENTITIES.c.identity_id,
    IDENTITIES.c.account_id,
    exists()
    .where(
        BANS.c.lifted_at.is_(None),
        or_(
            BANS.c.identity_id == IDENTITIES.c.identity_id,
            and_(BANS.c.banned_issuer == IDENTITIES.c.issuer, BANS.c.token_id.is_(None)),
            BANS.c.group_id.in_(
                select(OBSERVATIONS.c.group_id)
                .where(OBSERVATIONS.c.identity_id == IDENTITIES.c.identity_id)
                .correlate(IDENTITIES)
            ),
        ),
    )
    .label("banned"),
).where(IDENTITIES.c.issuer == bindparam("issuer"), IDENTITIES.c.subject == bindparam("subject"))


class AccountWriter(Transaction):
    """The part of `RegistryWriter` that the nodes see."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._posix_groups: dict[Group, tuple[int, PosixGroup]] | None = None
        self._linked: dict[Identity, int] = {}
        """Links made in this transaction and perhaps still held back."""

    def open_group(self, change: OpenGroup, *, group_range: str) -> PosixGroup:
        known = self._posix_group_rows()
        if change.group in known:
            raise Conflict(
                Reason.VERSION_CONFLICT,
                f"group {change.group} has gid {known[change.group][1].gid_number} already",
            )
        group_id = self._group_id(change.group)
        wish = Wish(_wished(change.spelled, change.instead))
        number, name = self._allocator.allocate(
            group_range,
            RangePurpose.GROUPS,
            wish,
            f"group:{group_id}",
            None,
            self._group_holder(change.group, group_id),
        )
        self._insert(POSIX_GROUPS, {"group_id": group_id, "name": name, "gid_number": number})
        group = PosixGroup(GroupName(name), GidNumber(number))
        known[change.group] = (group_id, group)
        self._record(
            "open_group",
            issuer=change.group.issuer,
            path=change.group.path,
            name=name,
            gid_number=number,
            range=group_range,
        )
        self._nodes_must_know()
        return group

    def open_account(self, change: OpenAccount) -> Account:
        identity = change.identity
        row = self._connection.execute(
            _FIND_IDENTITY, {"issuer": identity.issuer, "subject": identity.subject}
        ).first()
        linked = self._linked.get(identity) or (row.account_id if row else None)
        if linked is not None:
            raise Conflict(Reason.VERSION_CONFLICT, f"{identity} has account {linked} already")
        known = self._posix_group_rows()
        private = change.primary_group == PRIVATE_GROUP
        if not private and change.primary_group not in known:
            raise Conflict(Reason.NOT_FOUND, f"group {change.primary_group} has no gid yet")
        if not _PASSWD_FIELD.fullmatch(change.home) or not _PASSWD_FIELD.fullmatch(change.shell):
            raise InvalidInput(Reason.REQUEST_INVALID, "home and shell must be absolute paths")

        account_id = self._next_key(ACCOUNTS.c.account_id)
        primary_id = (
            self._next_key(GROUPS.c.group_id) if private else known[change.primary_group][0]
        )
        wish = Wish(
            numbered_usernames(_wished(change.spelled, change.instead), change.last_suffix),
            change.counter,
            f"group:{primary_id}" if private else None,
        )
        number, name = self._allocator.allocate(
            change.number_range,
            change.purpose,
            wish,
            f"account:{account_id}",
            change.rule_id,
            self._holder(_holder_of(change)),
        )
        if change.shared and name != change.spelled:
            raise Conflict(Reason.NAME_TAKEN, f"shared account {change.spelled}")
        if private:
            primary_group = PosixGroup(GroupName(name), GidNumber(number))
            self._open_private_group(primary_id, primary_group)
        else:
            primary_group = known[change.primary_group][1]
        secondary = {
            known[group]
            for group in change.secondary_groups
            if group in known and group != change.primary_group
        }
        account = Account(
            account_id=account_id,
            username=Username(name),
            uid_number=UidNumber(number),
            primary_group=primary_group,
            secondary_groups=tuple(
                sorted((group for _, group in secondary), key=lambda group: group.gid_number)
            ),
            home=change.home.replace("{username}", name),
            shell=change.shell,
            state=AccountState.PENDING if change.pending else AccountState.ACTIVE,
            grace_until=None,
            expires_on=change.terms.expires_on,
            rule_id=change.rule_id,
            access=change.terms.access,
            local_groups=change.terms.local_groups,
            shared=change.shared,
        )
        self._hold_back(_ADD_ACCOUNT, [_account_row(account, primary_id)])
        self._hold_back(
            _ADD_MEMBERSHIP,
            [{"account_id": account_id, "group_id": group_id} for group_id, _ in secondary],
        )
        self._link(identity, row.identity_id if row else None, account_id)
        if row is not None and row.banned:
            self._bans_changed()
        self._record(
            "open_account",
            account_id=account_id,
            username=name,
            uid_number=number,
            range=change.number_range,
            rule=change.rule_id,
            issuer=identity.issuer,
            subject=identity.subject,
            spelled=change.spelled,
            state=str(account.state),
            primary_group=primary_group.name if private else change.primary_group.path,
            secondary_groups=sorted(group.name for _, group in secondary),
            **({"shared": True} if change.shared else {}),
        )
        self._nodes_must_know()
        return account

    def move_account(
        self, account_id: int, event: AccountEvent, grace_until: date | None = None
    ) -> Account:
        """Grace has its last day, nothing else has one: InvalidInput(REQUEST_INVALID) otherwise."""
        account = self._get_account(account_id)
        state = next_state(account.state, event)
        if (state is AccountState.GRACE) != (grace_until is not None):
            raise InvalidInput(Reason.REQUEST_INVALID, "grace_until: for grace, and only for it")
        self._db.execute(
            update(ACCOUNTS)
            .where(ACCOUNTS.c.account_id == account_id)
            .values(state=str(state), grace_until=grace_until, held=is_held(event))
        )
        if state is AccountState.TOMBSTONE:
            self._retire(account)
        self._record(
            "move_account",
            account_id=account_id,
            event=str(event),
            before=str(account.state),
            after=str(state),
            grace_until=None if grace_until is None else grace_until.isoformat(),
        )
        self._nodes_must_know()
        return replace(account, state=state, grace_until=grace_until, held=is_held(event))

    def change_groups(
        self, account_id: int, *, join: Iterable[Group] = (), leave: Iterable[Group] = ()
    ) -> Account:
        """A group that is joined must have a gid; leaving one that is not held does nothing."""
        account = self._open_account_of(account_id)
        known = self._posix_group_rows()
        held = set(account.secondary_groups)
        joining: dict[int, PosixGroup] = {}
        for group in join:
            if group not in known:
                raise Conflict(Reason.NOT_FOUND, f"group {group} has no gid yet")
            if known[group][1] not in held | {account.primary_group}:
                joining[known[group][0]] = known[group][1]
        leaving = {
            known[group][0]: known[group][1]
            for group in leave
            if group in known and known[group][1] in held
        }
        if not joining and not leaving:
            return account
        if joining:
            rows = [{"account_id": account_id, "group_id": group_id} for group_id in joining]
            self._db.execute(_ADD_MEMBERSHIP, rows)
        if leaving:
            self._db.execute(
                delete(MEMBERSHIPS).where(
                    MEMBERSHIPS.c.account_id == account_id, MEMBERSHIPS.c.group_id.in_(leaving)
                )
            )
        self._record(
            "change_groups",
            account_id=account_id,
            join=sorted(group.name for group in joining.values()),
            leave=sorted(group.name for group in leaving.values()),
        )
        self._nodes_must_know()
        now_held = (held - set(leaving.values())) | set(joining.values())
        return replace(
            account,
            secondary_groups=tuple(sorted(now_held, key=lambda group: group.gid_number)),
            leaving=tuple(one for one in account.leaving if one.group in now_held),
        )

    def set_membership_grace(
        self, account_id: int, groups: Iterable[Group], until: date | None
    ) -> Account:
        """Conflict(VERSION_CONFLICT) when the account does not hold one of them."""
        account = self._open_account_of(account_id)
        known = self._posix_group_rows()
        wanted = {known[group][0]: known[group][1] for group in groups if group in known}
        absent = sorted(
            {g.name for g in wanted.values()} - {g.name for g in account.secondary_groups}
        )
        if absent or not wanted:
            raise Conflict(Reason.VERSION_CONFLICT, f"account {account_id} is not in {absent}")
        self._db.execute(
            update(MEMBERSHIPS)
            .where(MEMBERSHIPS.c.account_id == account_id, MEMBERSHIPS.c.group_id.in_(wanted))
            .values(grace_until=until)
        )
        self._record(
            "set_membership_grace",
            account_id=account_id,
            groups=sorted(group.name for group in wanted.values()),
            until=None if until is None else until.isoformat(),
        )
        return self._get_account(account_id)

    def change_shell(self, account_id: int, shell: str) -> Account:
        account = self._open_account_of(account_id)
        if not _PASSWD_FIELD.fullmatch(shell):
            raise InvalidInput(Reason.REQUEST_INVALID, "shell: an absolute path is needed")
        if account.shell == shell:
            return account
        self._db.execute(
            update(ACCOUNTS).where(ACCOUNTS.c.account_id == account_id).values(shell=shell)
        )
        self._record("change_shell", account_id=account_id, before=account.shell, after=shell)
        self._nodes_must_know()
        return replace(account, shell=shell)

    def change_terms(self, account_id: int, terms: AccountTerms) -> Account:
        account = self._open_account_of(account_id)
        if account.terms == terms:
            return account
        before, after = _terms_row(account.terms), _terms_row(terms)
        self._db.execute(update(ACCOUNTS).where(ACCOUNTS.c.account_id == account_id).values(after))
        self._record(
            "change_terms", account_id=account_id, before=_in_json(before), after=_in_json(after)
        )
        self._nodes_must_know()
        return replace(
            account,
            access=terms.access,
            local_groups=terms.local_groups,
            expires_on=terms.expires_on,
        )

    def _open_private_group(self, group_id: int, group: PosixGroup) -> None:
        """Its name is the account's, the only name that a user and a group share."""
        row = {"group_id": group_id, "issuer": PRIVATE_ISSUER, "path": group.name}
        self._hold_back(_ADD_GROUP, [row])
        posix = {"group_id": group_id, "name": group.name, "gid_number": group.gid_number}
        self._hold_back(_ADD_POSIX_GROUP, [posix])

    def _open_account_of(self, account_id: int) -> Account:
        account = self._get_account(account_id)
        if account.state is AccountState.TOMBSTONE:
            raise Conflict(Reason.ACCOUNT_CLOSED, f"account {account_id}")
        return account

    def _posix_group_rows(self) -> dict[Group, tuple[int, PosixGroup]]:
        if self._posix_groups is None:
            statement = select(
                GROUPS.c.group_id,
                GROUPS.c.issuer,
                GROUPS.c.path,
                POSIX_GROUPS.c.name,
                POSIX_GROUPS.c.gid_number,
            ).join_from(GROUPS, POSIX_GROUPS)
            statement = statement.where(GROUPS.c.issuer != PRIVATE_ISSUER)
            self._posix_groups = {
                Group(Issuer(row.issuer), row.path): (
                    row.group_id,
                    PosixGroup(GroupName(row.name), GidNumber(row.gid_number)),
                )
                for row in self._connection.execute(statement)
            }
        return self._posix_groups

    def _link(self, identity: Identity, identity_id: int | None, account_id: int) -> None:
        self._linked[identity] = account_id
        if identity_id is not None:
            self._hold_back(_LINK_IDENTITY, [{"wanted": identity_id, "linked": account_id}])
            return
        self._hold_back(
            _ADD_IDENTITY,
            [
                {
                    "identity_id": self._next_key(IDENTITIES.c.identity_id),
                    "issuer": identity.issuer,
                    "subject": identity.subject,
                    "account_id": account_id,
                    "active": True,
                    "first_seen": self._at,
                }
            ],
        )

    def _retire(self, account: Account) -> None:
        kinds = ("uid", "gid") if account.has_private_group else ("uid",)
        self._db.execute(
            update(LEDGER_NUMBERS)
            .where(LEDGER_NUMBERS.c.kind.in_(kinds), LEDGER_NUMBERS.c.number == account.uid_number)
            .values(retired_at=self._at)
        )
        self._db.execute(
            update(LEDGER_NAMES)
            .where(LEDGER_NAMES.c.name == account.username)
            .values(retired_at=self._at)
        )


def _wished(spelled: str | None, instead: tuple[str, ...]) -> tuple[str, ...]:
    """The names in order. Raises InvalidInput(NAME_REFUSED) for one that may never be issued."""
    names = instead if spelled is None else (spelled, *instead)
    return tuple(check_generated_name(name) for name in names)


def _holder_of(change: OpenAccount) -> Identity:
    if not change.shared:
        return change.identity
    if change.spelled is None:
        raise InvalidInput(Reason.NAME_REFUSED, "a shared account has a name of its own")
    return holder_of_shared(change.spelled)


def _in_json(row: dict[str, Any]) -> dict[str, Any]:
    return {name: v.isoformat() if isinstance(v, date) else v for name, v in row.items()}


def _account_row(account: Account, primary_group_id: int) -> dict[str, Any]:
    return {
        "account_id": account.account_id,
        "username": account.username,
        "uid_number": account.uid_number,
        "primary_group_id": primary_group_id,
        "home": account.home,
        "shell": account.shell,
        "state": str(account.state),
        "rule_id": account.rule_id,
        "shared": account.shared,
        **_terms_row(account.terms),
    }


def _terms_row(terms: AccountTerms) -> dict[str, Any]:
    return {
        "node_classes": str(terms.access),
        "local_groups": ",".join(sorted(terms.local_groups)),
        "expires_on": terms.expires_on,
    }
