"""Facts beside groups, from the source or a token to the account: runs, guard, first login, explanation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from idmap.application.explain import explain_token
from idmap.application.open_account import facts_with_token, open_own_account
from idmap.application.ports import Author, ListedPerson, Listing, Registry
from idmap.application.provision_apply import Pace
from idmap.application.provision_report import Outcome
from idmap.domain.accounts import AccountState
from idmap.domain.claims import VerifiedClaims
from idmap.domain.doors import API
from idmap.domain.errors import Refused
from idmap.domain.facts import Fact, FactKind
from idmap.domain.identity import Identity, Issuer, Subject
from idmap.domain.issuers import GroupsDialect
from idmap.domain.numbers import NumberRange, RangePurpose
from idmap.domain.reasons import Reason
from idmap.domain.secrets import Secret
from tests.support.provisioning import RULES, Site, ToldSource, identity, open_registry
from tests.support.registries import make_registry
from tests.support.tokens import ISSUER as TOKEN_ISSUER
from tests.support.tokens import NOW, claims, mint, profile, verifier

LABEL, ASSURANCE, DOMAIN = FactKind.LABEL, FactKind.ASSURANCE, FactKind.EMAIL_DOMAIN
STAFF = (LABEL, "staff")


def _with(when: dict[str, Any]) -> dict[str, Any]:
    """The site's rules, with more to ask of its members."""
    (rule,) = RULES["rules"]
    return {**RULES, "format": 2, "rules": [{**rule, "when": when}]}


STAFF_ONLY = _with({"labels": {"any": ["staff"]}})


@pytest.fixture
def site() -> Iterator[Site]:
    """Members of demo/compute with the label `staff` get an account; alice and bob have it."""
    with open_registry() as registry:
        members = {"demo/compute": {"alice", "bob", "carol"}, "demo/gpu": {"alice"}}
        says = {"alice": {STAFF}, "bob": {STAFF}}
        source = ToldSource(members=members, says=says)
        yield Site(registry, source).prepare(STAFF_ONLY)


def facts_of(site: Site, name: str) -> set[tuple[FactKind, str]]:
    with site.registry.read() as reader:
        return {(fact.kind, fact.value) for fact in reader.recorded(identity(name)).facts}


# --- the nightly run


def test_a_label_gives_an_account_and_its_loss_starts_grace(site: Site) -> None:
    """A person whose facts changed counts as changed, though no group did."""
    assert site.run().outcome is Outcome.APPLIED
    assert (site.has_account("alice"), site.has_account("carol")) == (True, False)
    assert facts_of(site, "alice") == {STAFF}
    assert site.run().outcome is Outcome.NOTHING_TO_DO
    site.source.says["bob"] = set()
    assert site.run().plan.counts() == {"start_grace": 1}
    assert (site.account("bob").state, facts_of(site, "bob")) == (AccountState.GRACE, set())
    site.source.says["bob"] = {STAFF}
    assert site.run().plan.counts() == {"restore_account": 1}
    assert site.run().outcome is Outcome.NOTHING_TO_DO


def test_part_by_part_comes_to_the_same(site: Site) -> None:
    """However small the transactions are."""
    site.pace = Pace(batch=1, pause=lambda: None)
    assert site.run().outcome is Outcome.APPLIED
    site.source.says = {"bob": {STAFF}, "carol": {STAFF}}
    report = site.run()
    assert (report.outcome, report.plan.counts()) == (
        Outcome.APPLIED,
        {"open_account": 1, "start_grace": 1},
    )
    assert [facts_of(site, name) for name in ("alice", "bob", "carol")] == [set(), {STAFF}, {STAFF}]
    assert site.run().outcome is Outcome.NOTHING_TO_DO


def test_the_source_is_asked_for_what_the_rules_ask_for_and_no_more(site: Site) -> None:
    site.source.says["alice"] = {STAFF, (DOMAIN, "lab.example")}
    site.run()
    assert facts_of(site, "alice") == {STAFF}
    site.save_rules(RULES)
    site.run()
    assert facts_of(site, "alice") == set()
    site.save_rules(_with({"email_domain": {"none": ["free.example"]}}))
    site.run()
    assert facts_of(site, "alice") == {(DOMAIN, "lab.example")}
    assert site.source.asked_for == [frozenset({LABEL}), frozenset(), frozenset({DOMAIN})]


def test_a_run_forgets_what_no_rule_asks_for_where_no_source_reads_anybody(site: Site) -> None:
    """What tokens said at an issuer of their own."""
    other = Issuer("https://other.example/")
    rule = {"id": "theirs", "effect": "add", "issuer": other, "group": "vo", "node_classes": ["x"]}
    asking = {**rule, "when": {"assurance": {"any": ["high"]}}}
    stranger = Identity(other, Subject("x"))
    with site.registry.write(Author("test", "another issuer")) as writer:
        writer.save_issuer(replace(writer.issuers()[0], issuer=other))
    site.save_rules({**STAFF_ONLY, "rules": [*STAFF_ONLY["rules"], asking]})
    with site.registry.write(Author("test", "a token")) as writer:
        fact = frozenset({Fact(other, ASSURANCE, "high")})
        writer.record_observation(stranger, frozenset(), None, site.now, facts=fact)
    site.run()
    with site.registry.read() as reader:
        assert reader.recorded(stranger).facts == fact
    site.save_rules({**STAFF_ONLY, "rules": [*STAFF_ONLY["rules"], rule]})
    site.run(dry_run=True)
    with site.registry.read() as reader:
        assert reader.recorded(stranger).facts == fact
    site.run()
    with site.registry.read() as reader:
        assert reader.recorded(stranger).facts == frozenset()


def test_an_unreadable_record_keeps_label_and_account(site: Site) -> None:
    """Law 6."""
    site.run()
    site.source.unreadable = {"bob"}
    assert site.run().outcome is Outcome.NOTHING_TO_DO
    assert site.account("bob").state is AccountState.ACTIVE
    assert facts_of(site, "bob") == {STAFF}


def test_a_source_that_cannot_tell_what_the_rules_ask_for_ends_the_run(site: Site) -> None:
    """Its silence would take the label from everybody; nothing is changed (law 6)."""
    site.run()
    before = site.everything()
    site.source.tells = frozenset({DOMAIN})
    report = site.run()
    assert (report.outcome, report.reason) == (Outcome.FAILED, Reason.SOURCE_LACKS_FACTS)
    assert "label" in report.detail
    assert site.everything() == before


def test_what_tokens_say_need_not_come_from_the_source(site: Site) -> None:
    """Assurance and rights to resources are in tokens; that a source tells none is no failure."""
    site.save_rules(_with({"assurance": {"any": ["high"]}}))
    site.source.tells = frozenset({LABEL})
    assert site.run().reason is None


def test_when_nobody_has_a_label_any_more_the_guard_stops(site: Site) -> None:
    """As after a change of the source's configuration: however few lose something by it."""
    site.run()
    site.source.says = {}
    before = site.everything()
    report = site.run()
    assert (report.outcome, report.reason) == (Outcome.STOPPED, Reason.GUARD_STOPPED)
    assert "label" in report.detail
    assert site.everything() == before
    assert report.plan is not None
    assert site.run(approve=report.plan.digest).outcome is Outcome.APPLIED


def test_when_the_rules_ask_no_more_the_guard_does_not_mind(site: Site) -> None:
    site.run()
    site.save_rules(RULES)
    assert site.run().reason is None


def test_labels_of_an_issuer_whose_groups_nobody_reads_are_told_aloud(site: Site) -> None:
    """Law 4: nobody has one; the report says why."""
    other = Issuer("https://other.example/")
    asks = {
        "id": "theirs",
        "issuer": other,
        "class": "member",
        "when": {"labels": {"any": ["staff"]}},
    }
    rules = {**STAFF_ONLY, "rules": [*STAFF_ONLY["rules"], asks]}
    rules["classes"] = {
        "member": {**RULES["classes"]["member"], "primary_group": {"private": True}}
    }
    with site.registry.write(Author("test", "another issuer")) as writer:
        writer.save_issuer(replace(writer.issuers()[0], issuer=other))
    site.save_rules(rules)
    assert any(other in note and "label" in note for note in site.run().notes)


# --- first login

HIGH = "https://refeds.org/assurance/IAP/high"
MEMBERS: dict[str, Any] = {
    "format": 2,
    "classes": {
        "users": {"range": "people", "primary_group": "hpc", "shell": "/bin/sh", "home": "/h"}
    },
    "rules": [
        {"id": "members", "issuer": TOKEN_ISSUER, "group": "hpc", "class": "users"},
        {
            "id": "sure",
            "effect": "add",
            "issuer": TOKEN_ISSUER,
            "group": "hpc",
            "node_classes": ["secure"],
            "when": {"assurance": {"any": [HIGH]}},
        },
    ],
}
PERSON = Identity(Issuer(TOKEN_ISSUER), Subject("s"))


def _registry(rules: dict[str, Any] = MEMBERS, *, record: bool = True) -> Registry:
    registry = make_registry(lambda: NOW)
    with registry.write(Author("test", "set up")) as writer:
        writer.save_issuer(
            profile(
                record_groups_from_tokens=record,
                groups_claims={"groups": GroupsDialect.PATH},
            )
        )
        writer.add_range(NumberRange("people", RangePurpose.PEOPLE, 200000, 200999))
        writer.add_range(NumberRange("groups", RangePurpose.GROUPS, 300000, 300999))
        writer.save_rules(rules, expect_version=None)
    return registry


def _verified(**said: Any) -> VerifiedClaims:
    checked, _ = verifier(profile(groups_claims={"groups": GroupsDialect.PATH}))
    token = mint(claims(API, **{"sub": "s", "groups": ["hpc"], **said}))
    return checked.verify(token, API, NOW)


def _recorded(registry: Registry) -> set[tuple[FactKind, str]]:
    with registry.read() as reader:
        return {(fact.kind, fact.value) for fact in reader.recorded(PERSON).facts}


def test_a_newcomers_token_puts_what_rules_ask_for_on_record() -> None:
    """And nothing else of it: no rule asks for a mail domain."""
    registry = _registry()
    open_own_account(registry, _verified(eduperson_assurance=HIGH, email="jo@lab.example"), NOW)
    assert _recorded(registry) == {(ASSURANCE, HIGH)}


def test_without_permission_to_record_no_fact_of_a_token_counts() -> None:
    """Law 3."""
    rules = {
        **MEMBERS,
        "rules": [
            {
                "id": "right",
                "issuer": TOKEN_ISSUER,
                "class": "users",
                "when": {"entitlements": {"any": ["urn:mace:egi.eu:res:hpc"]}},
            }
        ],
    }
    granted = {
        "groups_claims": {"entitlements": GroupsDialect.ENTITLEMENT},
        "urn_namespace": "urn:mace:egi.eu",
        "urn_authorities": frozenset({""}),
    }
    checked, _ = verifier(profile(**granted))
    token = mint(claims(API, sub="s", entitlements=["urn:mace:egi.eu:res:hpc"]))
    verified = checked.verify(token, API, NOW)
    with pytest.raises(Refused) as refused:
        open_own_account(_registry(rules, record=False), verified, NOW)
    assert refused.value.reason is Reason.NO_RULE_MATCHES
    registry = _registry(
        {
            **rules,
            "classes": {
                "users": {**MEMBERS["classes"]["users"], "primary_group": {"private": True}}
            },
        }
    )
    assert open_own_account(registry, verified, NOW).created
    assert _recorded(registry) == {(FactKind.ENTITLEMENT, "urn:mace:egi.eu:res:hpc")}


def test_a_better_assurance_of_somebody_with_an_account_goes_on_record() -> None:
    """Else no rule could ever give them more; the account itself waits for the nightly run."""
    registry = _registry()
    first = open_own_account(registry, _verified(), NOW)
    assert _recorded(registry) == set()
    again = open_own_account(registry, _verified(eduperson_assurance=HIGH, iat=NOW - 5), NOW)
    assert (again.account, again.created, again.revision) == (first.account, False, first.revision)
    assert _recorded(registry) == {(ASSURANCE, HIGH)}
    with registry.read() as reader:
        changes = reader.last_change()
    open_own_account(registry, _verified(eduperson_assurance=HIGH, iat=NOW - 4), NOW)
    open_own_account(registry, _verified(iat=NOW - 3), NOW)
    with registry.read() as reader:
        assert reader.last_change() == changes, "a repetition, and a token that says less"
    assert _recorded(registry) == {(ASSURANCE, HIGH)}
    open_own_account(registry, _verified(eduperson_assurance="low", iat=NOW - 2), NOW)
    assert _recorded(registry) == {(ASSURANCE, "low")}, "a new word takes the place of the old ones"


def test_a_refused_newcomer_leaves_no_fact_behind() -> None:
    registry = _registry()
    with pytest.raises(Refused):
        open_own_account(registry, _verified(groups=["other"], eduperson_assurance=HIGH), NOW)
    with registry.read() as reader:
        assert not list(reader.people())
        assert reader.facts_said(PERSON).by_tokens == frozenset()


def test_explanation_tells_what_is_on_record_and_what_a_token_would_put_there() -> None:
    """Before and after; with the token's facts in place of those that tokens said before."""
    registry = _registry()
    checked, _ = verifier(profile(groups_claims={"groups": GroupsDialect.PATH}))

    def checks(**said: Any) -> dict[str, str]:
        token: Secret = mint(claims(API, **{"sub": "s", "groups": ["hpc"], **said}))
        story = explain_token(registry, checked, token, API, NOW)
        return {check.name: check.shown for check in story.checks}

    before = checks(eduperson_assurance=HIGH)
    assert "facts on record" not in before
    assert before["facts this token may put on record"] == f"+ assurance {HIGH} @ {TOKEN_ISSUER}"
    open_own_account(registry, _verified(eduperson_assurance=HIGH), NOW)
    after = checks(eduperson_assurance=HIGH)
    assert after["facts on record"] == f"assurance {HIGH}"
    assert "facts this token may put on record" not in after
    less = checks()
    assert less["facts this token may put on record"] == f"- assurance {HIGH} @ {TOKEN_ISSUER}"


def test_what_a_token_would_put_on_record_keeps_what_the_source_says() -> None:
    registry = _registry(
        {
            **MEMBERS,
            "rules": [
                MEMBERS["rules"][0],
                {**MEMBERS["rules"][1], "when": {"email_domain": {"any": ["lab.example"]}}},
            ],
        }
    )
    mail = Fact(PERSON.issuer, DOMAIN, "lab.example")
    listed = ListedPerson(PERSON, frozenset(), True, None, facts=frozenset({mail}))
    earlier = Fact(PERSON.issuer, DOMAIN, "earlier.example")
    with registry.write(Author("test", "a listing and a token")) as writer:
        writer.record_listing(Listing("iam", PERSON.issuer, frozenset(), (listed,), NOW))
        writer.record_observation(PERSON, frozenset(), None, NOW - 60, facts=frozenset({earlier}))
    with registry.read() as reader:
        told = facts_with_token(reader, _verified(email="jo@other.example"))
    assert {fact.value for fact in told.facts} == {"lab.example", "other.example"}
