"""Law 3 over random rules, records and credentials: deny wins, rules unite, a credential only narrows."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from idmap.domain.assurance import Assurance
from idmap.domain.claims import VerifiedClaims
from idmap.domain.conditions import Condition
from idmap.domain.decision import Recorded, day_of, decide, who_of
from idmap.domain.demands import unmet_demands
from idmap.domain.doors import Door
from idmap.domain.facts import Fact
from idmap.domain.groups import PRIVATE_GROUP, Group
from idmap.domain.identity import Identity, Subject
from idmap.domain.node_access import NodeAccess
from idmap.domain.reasons import Reason
from idmap.domain.rules import Adds, Denies, Gives, Rule, RuleSet
from tests.support import rule_worlds as worlds

NOW = worlds.NOW
doors = st.sampled_from(worlds.DOORS)
some = settings(max_examples=60, deadline=None)


def matching(recorded: Recorded, rules: RuleSet) -> list[Rule]:
    """By looking at all of them, in order of precedence."""
    who = who_of(recorded)
    return [rule for rule in rules.rules if rule.condition.holds(who)]


def granted(recorded: Recorded, rules: RuleSet) -> tuple[Recorded, RuleSet]:
    """The same with somebody active who has an account, whom no rule denies and the last of the rules gives one."""
    lowest = Rule(
        "last", Condition(recorded.identity.issuer, robots=None), Gives(worlds.A_CLASS), -2
    )
    kept = [
        rule
        for rule in rules.rules
        if not isinstance(rule.outcome, Denies) or rule.outcome.node_classes
    ]
    active = replace(recorded, active_at_source=True, account=worlds.ACCOUNT)
    return active, replace(rules, rules=(*kept, lowest))


@some
@given(worlds.records(), worlds.rule_sets())
def test_deny_wins(recorded: Recorded, rules: RuleSet) -> None:
    """Whatever else matches, in whatever order; of several, the one that gives the least grace is told."""
    denials = [
        rule.outcome.grace_days
        for rule in matching(recorded, rules)
        if isinstance(rule.outcome, Denies) and not rule.outcome.node_classes
    ]
    decision = decide(recorded, rules, NOW)
    if not denials:
        assert decision.denied_by is None
        return
    assert decision.grant is None
    assert not decision.allowed
    assert decision.reasons == (Reason.DENIED_BY_RULE,)
    assert decision.denied_by is not None
    assert isinstance(decision.denied_by.outcome, Denies)
    assert decision.denied_by.outcome.grace_days == min(denials)


@some
@given(worlds.records(), worlds.rule_sets())
def test_the_winner_is_the_first_of_the_highest_priority(
    recorded: Recorded, rules: RuleSet
) -> None:
    decision = decide(recorded, rules, NOW)
    giving = [rule for rule in matching(recorded, rules) if isinstance(rule.outcome, Gives)]
    if decision.grant is None:
        assert not decision.allowed
        assert decision.reason is not Reason.OK
        assert not giving or decision.denied_by is not None or _is_over(giving[0], recorded)
        return
    highest = max(rule.priority for rule in giving)
    assert decision.grant.rule is next(rule for rule in giving if rule.priority == highest)
    assert isinstance(decision.grant.rule.outcome, Gives)
    assert decision.grant.account_class is decision.grant.rule.outcome.account_class


def _is_over(rule: Rule, recorded: Recorded) -> bool:
    assert isinstance(rule.outcome, Gives)
    last = rule.outcome.account_class.expires_on
    return recorded.account is None and last is not None and day_of(NOW) > last


@some
@given(worlds.records(), worlds.rule_sets())
def test_rules_that_add_are_united_with_the_winner(recorded: Recorded, rules: RuleSet) -> None:
    """Groups the person is in, and no others; node classes less those that some rule denies."""
    recorded, rules = granted(recorded, rules)
    grant = decide(recorded, rules, NOW).grant
    assert grant is not None
    outcomes = [rule.outcome for rule in matching(recorded, rules)]
    adds = [one for one in outcomes if isinstance(one, Adds)]
    assert isinstance(grant.rule.outcome, Gives)
    wanted = {*grant.rule.outcome.secondary_groups}.union(*(one.secondary_groups for one in adds))
    kept = wanted & recorded.groups - {grant.account_class.primary_group, PRIVATE_GROUP}
    assert grant.secondary_groups == kept
    local = grant.account_class.local_groups.union(*(one.local_groups for one in adds))
    assert grant.local_groups == local
    denied = frozenset[str]().union(
        *(one.node_classes for one in outcomes if isinstance(one, Denies))
    )
    for name in (*worlds.NODE_CLASSES, "unheard_of"):
        given_by = [grant.account_class.access, *(one.access for one in adds)]
        admitted = any(one.admits(name) for one in given_by) and name not in denied
        assert grant.access.admits(name) is admitted
    associations = [grant.account_class.slurm, *(one.slurm for one in adds)]
    assert grant.slurm == next((one for one in associations if one is not None), None)
    assert grant.added_by == tuple(
        rule.rule_id for rule in matching(recorded, rules) if isinstance(rule.outcome, Adds)
    )


@some
@given(worlds.records(), worlds.rule_sets())
def test_no_match_is_a_refusal_with_its_reason(recorded: Recorded, rules: RuleSet) -> None:
    assume(not any(isinstance(r.outcome, Gives | Denies) for r in matching(recorded, rules)))
    decision = decide(recorded, rules, NOW)
    assert decision.grant is None
    reason = Reason.ROBOT_REFUSED if recorded.robot else Reason.NO_RULE_MATCHES
    assert decision.reasons == (reason,)


@some
@given(worlds.records(), worlds.rule_sets())
def test_a_class_that_is_over_gives_no_new_account_and_takes_none(
    recorded: Recorded, rules: RuleSet
) -> None:
    """Usable to the end of its last day (UTC); the accounts that there are end by their own date."""
    newcomer = decide(replace(recorded, account=None), rules, NOW)
    holder = decide(replace(recorded, account=worlds.ACCOUNT), rules, NOW)
    if newcomer.grant is None and holder.grant is not None:
        last = holder.grant.account_class.expires_on
        assert last is not None
        assert last < worlds.TODAY
        assert newcomer.reasons == (Reason.ACCOUNT_EXPIRED,)
    else:
        assert newcomer.grant == holder.grant


@some
@given(worlds.records(), worlds.rule_sets(), doors, st.data())
def test_a_credential_neither_gives_nor_takes_what_the_record_gives(
    recorded: Recorded, rules: RuleSet, door: Door, data: st.DataObject
) -> None:
    """Whatever it claims, more or less: grant, account and what they may do are those of the record alone."""
    alone = decide(recorded, rules, NOW)
    shown = data.draw(worlds.credentials(recorded.identity, door))
    at_door = decide(recorded, rules, NOW, door, shown)
    assert (at_door.grant, at_door.account) == (alone.grant, alone.account)
    assert (at_door.denied_by, at_door.denied_classes) == (alone.denied_by, alone.denied_classes)


@some
@given(worlds.records(), worlds.rule_sets(), doors, st.data())
def test_groups_names_and_kind_that_a_token_claims_change_no_decision(
    recorded: Recorded, rules: RuleSet, door: Door, data: st.DataObject
) -> None:
    """With fewer claims than the record nothing is lost, with more nothing is won."""
    shown = data.draw(worlds.credentials(recorded.identity, door))
    more = replace(
        shown, groups=frozenset(worlds.GROUPS), preferred_username="root", robot=not shown.robot
    )
    fewer = replace(shown, groups=frozenset[Group](), preferred_username=None)
    decisions = {decide(recorded, rules, NOW, door, one) for one in (shown, more, fewer)}
    assert len(decisions) == 1


@some
@given(worlds.records(), worlds.rule_sets(), doors, st.data())
def test_demands_only_narrow(
    recorded: Recorded, rules: RuleSet, door: Door, data: st.DataObject
) -> None:
    """With a demand more there is every refusal there was without it; with or without a credential."""
    shown: VerifiedClaims | None = data.draw(
        st.none() | worlds.credentials(recorded.identity, door)
    )
    more = data.draw(worlds.demand)
    before = decide(recorded, rules, NOW, door, shown)
    stricter = replace(rules, demands=(*rules.demands, more))
    after = decide(recorded, stricter, NOW, door, shown)
    assert after.allowed <= before.allowed
    assert set(before.reasons) - {Reason.OK} <= set(after.reasons)
    assert after.grant == before.grant


@some
@given(worlds.records(), worlds.rule_sets(), doors, st.data())
def test_what_proves_more_is_refused_no_more(
    recorded: Recorded, rules: RuleSet, door: Door, data: st.DataObject
) -> None:
    """Assurance and capabilities beside what was there, and a login just now."""
    shown = data.draw(worlds.credentials(recorded.identity, door))
    better = replace(
        shown,
        assurance=Assurance(
            shown.assurance.values | data.draw(worlds.assurance_values), shown.assurance.acr
        ),
        capabilities=shown.capabilities | data.draw(st.frozensets(worlds.capabilities)),
        auth_time=NOW,
    )
    before, after = (decide(recorded, rules, NOW, door, one) for one in (shown, better))
    assert before.allowed <= after.allowed
    assert set(after.reasons) - {Reason.OK} <= set(before.reasons)


@some
@given(worlds.records(), worlds.records(), worlds.rule_sets(), doors, st.data())
def test_demands_never_look_at_the_record(
    one: Recorded, other: Recorded, rules: RuleSet, door: Door, data: st.DataObject
) -> None:
    """Two people of whom different things are recorded fall short of the same demands with the same token."""
    shown = data.draw(worlds.credentials(one.identity, door))
    other = replace(other, identity=one.identity)
    without = replace(rules, demands=())

    def told(recorded: Recorded) -> frozenset[Reason]:
        found = decide(recorded, rules, NOW, door, shown).reasons
        return frozenset(found) - set(decide(recorded, without, NOW, door, shown).reasons)

    missing = {reason for _, reason in unmet_demands(rules.demands, shown, door, NOW)}
    assert told(one) - {Reason.OK} == told(other) - {Reason.OK} == missing


@some
@given(worlds.records(), worlds.rule_sets(), st.data())
def test_conditions_never_look_at_the_credential(
    recorded: Recorded, rules: RuleSet, data: st.DataObject
) -> None:
    """What a rule asks is answered alike at every door, with every token, and with none."""
    grants = {decide(recorded, rules, NOW).grant}
    for door in worlds.DOORS:
        grants.add(decide(recorded, rules, NOW, door).grant)
        grants.add(
            decide(
                recorded, rules, NOW, door, data.draw(worlds.credentials(recorded.identity, door))
            ).grant
        )
    assert len(grants) == 1


@some
@given(worlds.records(), worlds.rule_sets(), doors, st.data())
def test_somebody_elses_token_or_one_for_another_door_opens_nothing(
    recorded: Recorded, rules: RuleSet, door: Door, data: st.DataObject
) -> None:
    shown = data.draw(worlds.credentials(recorded.identity, door))
    stranger = replace(shown, identity=Identity(recorded.identity.issuer, Subject("s9")))
    assert Reason.IDENTITY_MISMATCH in decide(recorded, rules, NOW, door, stranger).reasons
    elsewhere = replace(shown, door=next(one for one in worlds.DOORS if one != door))
    assert Reason.AUDIENCE_REFUSED in decide(recorded, rules, NOW, door, elsewhere).reasons


@some
@given(worlds.records(), worlds.rule_sets(), doors)
def test_a_node_class_that_the_account_may_not_use_refuses_it_and_no_other_door_does(
    recorded: Recorded, rules: RuleSet, door: Door
) -> None:
    reasons = decide(recorded, rules, NOW, door).reasons
    if recorded.account is None or Reason.NODE_CLASS_REFUSED not in reasons:
        return
    assert worlds.is_ssh(door)
    assert not recorded.account.access.admits(door.label)
    everywhere = replace(recorded, account=replace(recorded.account, access=NodeAccess()))
    assert Reason.NODE_CLASS_REFUSED not in decide(everywhere, rules, NOW, door).reasons


@some
@given(worlds.records(), worlds.rule_sets())
def test_more_on_record_of_what_no_rule_speaks_of_changes_nothing(
    recorded: Recorded, rules: RuleSet
) -> None:
    other = Group(worlds.ISSUERS[0], "unheard/of")
    fact = Fact(worlds.ISSUERS[0], worlds.FACTS[0].kind, "unheard of")
    more = replace(recorded, groups=recorded.groups | {other}, facts=recorded.facts | {fact})
    assert decide(more, rules, NOW) == decide(recorded, rules, NOW)
