"""What a plan has to know of accounts beside those of the people it is about: how full pools are, who shares what."""

from __future__ import annotations

from idmap.application.ports import RegistryReader
from idmap.application.questions import BanQuestion
from idmap.domain.accounts import Account, AccountState
from idmap.domain.names import Username
from idmap.domain.provisioning import Standings
from idmap.domain.rules import RuleSet


def gather_standings(reader: RegistryReader, rules: RuleSet, at: int) -> Standings:
    """Of every class with a size, how many accounts are not closed; of every shared name, its account.

    A name whose account is somebody's own, is closed, or is banned lets nobody in.
    """
    classes = {given.name: given for _, given in rules.account_rules()}
    pools = {
        name: reader.count_accounts_of(rules.rules_of_class(name))
        for name, given in classes.items()
        if given.pool_size is not None
    }
    names = {given.shared_name for _, given in rules.account_rules() if given.shared_name}
    shared: dict[Username, Account] = {}
    closed: set[Username] = set()
    for name in sorted(names):
        account = reader.find_account(username=name)
        if account is None:
            continue
        if _lets_in(reader, account, at):
            shared[account.username] = account
        else:
            closed.add(account.username)
    return Standings(pools, shared, frozenset(closed))


def _lets_in(reader: RegistryReader, account: Account, at: int) -> bool:
    if not account.shared or account.state is AccountState.TOMBSTONE:
        return False
    return not reader.page_of_bans(BanQuestion(at=at, account_id=account.account_id), limit=1).items
