"""What explain says is what a door would say: over random facts, bans and times."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from idmap.application.explain import explain_identity
from idmap.application.open_account import open_own_account
from idmap.application.ports import Author
from idmap.domain.accounts import AccountEvent
from idmap.domain.decision import day_of, decide
from idmap.domain.doors import API, Door
from idmap.domain.reasons import Reason
from tests.application.test_open_account import _claims, _registry
from tests.support.examples import examples
from tests.support.tokens import NOW, SSH

EVENTS = (
    None,
    AccountEvent.ENTITLEMENT_LOST,
    AccountEvent.SUSPENDED_BY_PERSON,
    AccountEvent.CLOSED,
)


@settings(max_examples=examples(100), deadline=None)
@given(
    member=st.booleans(),
    event=st.sampled_from(EVENTS),
    banned=st.sampled_from((None, 10, 10_000)),
    later=st.integers(0, 3 * 86400),
    door=st.sampled_from((None, API, SSH)),
)
def test_explain_agrees_with_the_decision(
    member: bool, event: AccountEvent | None, banned: int | None, later: int, door: Door | None
) -> None:
    """The outcome is the decision's own; a refusal always says what would help."""
    registry = _registry()
    claims = _claims({"hpc"} if member else set(), "alice")
    if member:
        account = open_own_account(registry, claims, NOW).account
        with registry.write(Author("test", "a story")) as writer:
            if event is not None:
                grace = day_of(NOW) if event is AccountEvent.ENTITLEMENT_LOST else None
                writer.move_account(account.account_id, event, grace)
    if banned is not None:
        with registry.write(Author("test", "a ban")) as writer:
            writer.add_ban(
                account_id=None, identity=claims.identity, reason="x", until=NOW + banned, at=NOW
            )
    at = NOW + later
    told = explain_identity(registry, claims.identity, door, at)
    with registry.read() as reader:
        recorded, rules = reader.recorded(claims.identity), reader.rules()
    if door is not None:
        assert told.reasons == decide(recorded, rules, at, door).reasons
    elif recorded.account is None:
        assert told.reasons == decide(recorded, rules, at).reasons
    else:
        assert told.outcome == decide(recorded, rules, at, API).reason
    assert (told.outcome is Reason.OK) or told.helps
    winner = decide(recorded, rules, at).grant
    used = [one.rule_id for one in told.considered if one.used]
    assert used == ([] if winner is None else [winner.rule.rule_id])
