"""Who may come in at the admin door, and what nobody may do there whatever their role.

Everything is looked at in the registry as it is at that moment: a role that the rules or a source took away, a ban, a
suspension count from the next request on.
"""

from __future__ import annotations

from dataclasses import replace

from idmap.application.account_named import find_account
from idmap.application.ports import RegistryReader
from idmap.domain.administrators import held_roles
from idmap.domain.claims import VerifiedClaims
from idmap.domain.decision import Recorded, account_reason
from idmap.domain.demands import unmet_demands
from idmap.domain.doors import ADMIN
from idmap.domain.errors import Refused
from idmap.domain.identity import Identity
from idmap.domain.reasons import Reason
from idmap.domain.roles import Held, Permission, Role, roles_with


def admit_administrator(reader: RegistryReader, claims: VerifiedClaims, at: int) -> Held:
    """The roles of whoever shows a token of the admin door; one at least.

    Raises Refused: BANNED or the account's own reason, what a demand of the rules misses in the token, ROLE_MISSING.
    """
    recorded, rules = reader.recorded(claims.identity), reader.rules()
    _require_usable(recorded, at)
    for _, reason in unmet_demands(rules.demands, claims, ADMIN, at):
        raise Refused(reason, str(claims.identity))
    held = held_roles(replace(recorded, robot=recorded.robot or claims.robot), rules)
    if not held.roles:
        raise Refused(Reason.ROLE_MISSING, "an entry under [[admins]] in the rules")
    return held


def _require_usable(recorded: Recorded, at: int) -> None:
    if recorded.account is not None:
        reason = account_reason(recorded.account, recorded.bans, at)
        # To wait for approval says nothing against a person; the role is the identity's, not the account's.
        if reason not in {Reason.OK, Reason.ACCOUNT_AWAITS_APPROVAL}:
            raise Refused(reason, str(recorded.identity))
    elif any(ban.holds(at) for ban in recorded.bans):
        raise Refused(Reason.BANNED, str(recorded.identity))


def roles_of_account(reader: RegistryReader, account_id: int) -> frozenset[Role]:
    """The roles of all whose account it is."""
    rules, people = reader.rules(), reader.people_of(account_id)
    return frozenset[Role]().union(*(held_roles(one.recorded, rules).roles for one in people))


def check_reach(
    reader: RegistryReader, caller: Held, name: str | None, *identities: Identity
) -> None:
    """Before something is done to an account, or to these identities and whatever account they have.

    Raises Refused(ROLE_MISSING) when they are of somebody with a role that the caller may not touch. What does not
    exist is for whoever looks it up.
    """
    account = None if name is None else find_account(reader, name)
    theirs = frozenset[Role]() if account is None else roles_of_account(reader, account.account_id)
    for identity in identities:
        recorded = reader.recorded(identity)
        theirs |= held_roles(recorded, reader.rules()).roles
        if recorded.account is not None:
            theirs |= roles_of_account(reader, recorded.account.account_id)
    barred = caller.bars(theirs)
    if barred:
        able = " or ".join(roles_with(Permission.STAFF))
        whose = f"somebody who is {' and '.join(sorted(barred))}"
        raise Refused(Reason.ROLE_MISSING, f"it concerns {whose}; that is for {able}")


def check_own_ban(reader: RegistryReader, caller: Identity | None, ban_id: int) -> None:
    """Nobody lifts a ban that reaches themselves, over by its date or not. Raises Refused(OWN_CASE)."""
    if caller is None:
        return
    if any(ban.ban_id == ban_id for ban in reader.recorded(caller).bans):
        raise Refused(Reason.OWN_CASE, f"ban {ban_id} reaches {caller}")
