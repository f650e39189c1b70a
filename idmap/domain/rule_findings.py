"""What a careful reader would say of a rule set: what can never matter, what contradicts, what names nothing.

Pure: the document, the rules read from it, the day, and what is known of the site. What a document may hold at all is
the parser's to say, and what happens to people is the what-if's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Any

from idmap.domain import site_findings
from idmap.domain.conditions import Condition, items_text
from idmap.domain.findings import Finding, FindingCode, Severity, Surroundings
from idmap.domain.rule_logic import Verdict, judge
from idmap.domain.rule_places import Places
from idmap.domain.rules import Gives, Rule, RuleSet

_C = FindingCode


def find_in_rules(
    document: Mapping[str, Any], rules: RuleSet, today: date, site: Surroundings | None
) -> tuple[Finding, ...]:
    """Everything that is found, errors first, then in the order of looking. Without `site`, what the document itself
    says."""
    places = Places(document)
    found = [
        *_in_logic(rules, places),
        *_same_conditions(rules, places),
        *_in_classes(rules, places, today),
        *_no_examples(rules),
    ]
    if site is not None:
        for look in site_findings.LOOKS:
            found.extend(look(rules, places, site))
    order = list(Severity)
    return tuple(sorted(found, key=lambda one: order.index(one.severity)))


def shared_names(rules: RuleSet) -> frozenset[str]:
    """The usernames that its shared and project classes give."""
    return frozenset(given.shared_name for _, given in rules.account_rules() if given.shared_name)


def _in_logic(rules: RuleSet, places: Places) -> Iterator[Finding]:
    for rule, verdict in judge(rules):
        found = _verdict(rule, verdict)
        if found is not None:
            code, sentence = found
            yield Finding(code, f"rule {rule.rule_id}", places.rule(rule.rule_id), sentence)


def _verdict(rule: Rule, verdict: Verdict) -> tuple[FindingCode, str] | None:
    if not verdict.matches:
        return _C.NEVER_MATCHES, f"can never match: {_contradiction(rule.condition)}"
    if verdict.denied_by:
        return (
            _C.ALWAYS_DENIED,
            f"never counts: {_named(verdict.denied_by)} denies everybody it matches",
        )
    if verdict.preceded_by:
        return (
            _C.UNREACHABLE,
            f"never wins: {_named(verdict.preceded_by)} comes first for everybody it matches",
        )
    return None


def _contradiction(condition: Condition) -> str:
    held = {item for part in condition.parts for item in part.all}
    absent = {item for part in condition.parts for item in part.none}
    if held & absent:
        both = items_text(held & absent, condition.issuer)
        return f"{both} must be there and must not"
    part = next(part for part in condition.parts if part.any and part.any <= absent)
    return f"{part.name} asks for any of what none forbids"


def _named(rules: Iterable[Rule]) -> str:
    return "rule " + " or rule ".join(rule.rule_id for rule in rules)


def _same_conditions(rules: RuleSet, places: Places) -> Iterator[Finding]:
    """Of account rules the later one is unreachable, which is said already."""
    first: dict[tuple[type, Condition], Rule] = {}
    for rule in rules.rules:
        if isinstance(rule.outcome, Gives):
            continue
        other = first.setdefault((type(rule.outcome), rule.condition), rule)
        if other is not rule:
            yield Finding(
                _C.SAME_CONDITION,
                f"rule {rule.rule_id}",
                places.rule(rule.rule_id),
                f"has the condition of rule {other.rule_id}; one rule can say both",
            )


def _in_classes(rules: RuleSet, places: Places, today: date) -> Iterator[Finding]:
    for name in rules.unused_classes:
        yield Finding(
            _C.CLASS_UNUSED, f"class {name}", places.account_class(name), "no rule gives it"
        )
    classes = {given.name: given for _, given in rules.account_rules()}
    for name, given in classes.items():
        if given.expires_on is not None and given.expires_on < today:
            yield Finding(
                _C.CLASS_EXPIRED,
                f"class {name}",
                places.account_class(name, "expires"),
                f"ended on {given.expires_on}: nobody gets an account of it any more",
            )


def _no_examples(rules: RuleSet) -> Iterator[Finding]:
    if rules.rules and not rules.examples:
        yield Finding(
            _C.NO_EXAMPLES, "", "", "no [[examples]]: whoever edits next has nothing to hold on to"
        )
