"""An administrator approves a newcomer: the pending account becomes usable as the rules have it today.

Weeks may lie between the two. So the person must still be entitled, and their account is brought to what a nightly run
would make of it, in the same transaction: nobody starts with groups they have left.
"""

from __future__ import annotations

from idmap.application.account_named import account_named
from idmap.application.ports import Author, Registry
from idmap.application.provision_steps import apply_changes
from idmap.domain.accounts import Account, AccountEvent
from idmap.domain.decision import decide
from idmap.domain.errors import Conflict
from idmap.domain.persons import as_one
from idmap.domain.plans import OpenAccount, OpenGroup
from idmap.domain.provisioning import plan_changes
from idmap.domain.reasons import Reason


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
        if not people or not decide(as_one([one.recorded for one in people]), rules, at).allowed:
            raise Conflict(Reason.NO_RULE_MATCHES, f"account {account.username}")
        plan = plan_changes(people, rules, writer.posix_groups(), at)
        needed = {group for change in plan.changes for group in getattr(change, "groups", ())}
        apply_changes(
            writer,
            (
                change
                for change in plan.changes
                if not isinstance(change, OpenAccount)
                and (not isinstance(change, OpenGroup) or change.group in needed)
            ),
        )
        found = writer.find_account(account_id=account.account_id)
        assert found is not None  # noqa: S101  # no account is ever removed
        return found
