"""What a plan has to know of accounts beside those of the people it is about: how full pools are, who shares what."""

from __future__ import annotations

from collections.abc import Iterator

from idmap.application.ports import RegistryReader
from idmap.application.questions import BanQuestion
from idmap.domain.accounts import Account, AccountState
from idmap.domain.decision import Grant
from idmap.domain.names import Username
from idmap.domain.provisioning import Standings
from idmap.domain.reasons import Reason
from idmap.domain.rules import RuleSet


def gather_standings(reader: RegistryReader, rules: RuleSet, at: int) -> Standings:
    """Of every class with a size, how many accounts are not closed; of every shared name, its account.

    A name that is taken, or whose account is somebody's own, closed, held or banned, lets nobody in.
    """
    pools = {
        given.name: reader.count_accounts_of(rules.rules_of_class(given.name))
        for given in {given.name: given for _, given in rules.account_rules()}.values()
        if given.pool_size is not None
    }
    shared: dict[Username, Account] = {}
    closed: set[Username] = set()
    unknown: list[Username] = []
    for name in map(Username, sorted(rules.shared_names)):
        account = reader.find_account(username=name)
        if account is None:
            unknown.append(name)
        elif _lets_in(reader, account, at):
            shared[name] = account
        else:
            closed.add(name)
    closed |= {Username(name) for name in reader.names_taken(unknown)}
    banned = frozenset(issuer for issuer, _ in reader.credential_bans().issuers_at(at))
    return Standings(pools, shared, frozenset(closed), banned)


def in_the_way(standings: Standings, grant: Grant) -> Reason | None:
    """Why a newcomer who is entitled to this gets nothing for now; None when nothing stands in the way."""
    given = grant.account_class
    if given.pool_size is not None and standings.pools.get(given.name, 0) >= given.pool_size:
        return Reason.POOL_FULL
    closed = given.shared_name is not None and given.shared_name in standings.closed
    return Reason.ACCOUNT_CLOSED if closed else None


def stuck_names(reader: RegistryReader, rules: RuleSet) -> Iterator[str]:
    """Names of shared accounts that can never be opened as the rules have them: notes for whoever reads a plan."""
    names = sorted(rules.shared_names)
    found = {name: reader.find_account(username=name) for name in names}
    taken = reader.names_taken([name for name in names if found[name] is None])
    for name in names:
        account = found[name]
        if name in taken or (account is not None and not account.shared):
            yield f"shared account {name}: the name is somebody else's; nobody is let in"


def _lets_in(reader: RegistryReader, account: Account, at: int) -> bool:
    if not account.shared or account.held or account.state is AccountState.TOMBSTONE:
        return False
    return not reader.page_of_bans(BanQuestion(at=at, account_id=account.account_id), limit=1).items
