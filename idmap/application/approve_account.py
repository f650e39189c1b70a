"""An administrator approves a newcomer: the pending account becomes usable as the rules have it today.

Weeks may lie between the two. So the person must still be entitled, and their account is brought to what a nightly run
would make of it, in the same transaction: nobody starts with groups they have left.
"""

from __future__ import annotations

from collections.abc import Sequence

from idmap.application.account_named import account_named
from idmap.application.gather_standings import gather_standings
from idmap.application.ports import Author, Registry
from idmap.application.provision_steps import apply_changes
from idmap.domain.accounts import Account, AccountEvent
from idmap.domain.decision import decide
from idmap.domain.errors import Conflict
from idmap.domain.persons import as_one
from idmap.domain.plans import OpenGroup
from idmap.domain.provisioning import PersonFacts, plan_changes
from idmap.domain.reasons import Reason
from idmap.domain.rules import RuleSet


def approve_account(registry: Registry, author: Author, name: str, at: int) -> Account:
    """The account, active now. A ban stands all the same.

    Raises NotFound; Conflict: TRANSITION_REFUSED unless it is pending, NO_RULE_MATCHES when nothing entitles the
    person any more.
    """
    with registry.write(author) as writer:
        account = account_named(writer, name)
        account = writer.move_account(account.account_id, AccountEvent.APPROVED_BY_PERSON)
        people = writer.people_of(account.account_id)
        rules = writer.rules()
        if not _is_entitled(account, people, rules, at):
            raise Conflict(Reason.NO_RULE_MATCHES, f"account {account.username}")
        standings = gather_standings(writer, rules, at)
        plan = plan_changes(people, rules, writer.posix_groups(), at, standings)
        own = [one for one in plan.changes if getattr(one, "account_id", 0) == account.account_id]
        needed = {group for change in own for group in getattr(change, "groups", ())}
        opened = [one for one in plan.changes if isinstance(one, OpenGroup) and one.group in needed]
        apply_changes(writer, (*opened, *own))
        found = writer.find_account(account_id=account.account_id)
        assert found is not None  # noqa: S101  # no account is ever removed
        return found


def _is_entitled(account: Account, people: Sequence[PersonFacts], rules: RuleSet, at: int) -> bool:
    """Whether the rules give it to its person today, or, of a shared one, to somebody who is to use it."""
    recorded = [one.recorded for one in people]
    if not account.shared:
        return bool(recorded) and decide(as_one(recorded), rules, at).allowed
    grants = (decide(one, rules, at).grant for one in recorded)
    return any(g is not None and g.account_class.shared_name == account.username for g in grants)
