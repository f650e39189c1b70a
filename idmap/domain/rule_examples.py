"""Examples that rules carry: people as somebody imagines them, and what must become of them.

They are judged by `decide` itself before a version is saved, so that whoever edits a rule learns what it means for
the people whom its author had in mind.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from idmap.domain.conditions import Item, PartName, Who
from idmap.domain.decision import Decision, Recorded, decide
from idmap.domain.errors import InvalidInput
from idmap.domain.facts import Fact
from idmap.domain.groups import Group
from idmap.domain.identity import Identity, Subject
from idmap.domain.node_access import NodeAccess, parse_node_access
from idmap.domain.reasons import Reason
from idmap.domain.rule_fields import Fields, RuleFault
from idmap.domain.rule_items import read_group, read_issuer, read_item
from idmap.domain.rule_schema import members
from idmap.domain.rules import Example, RuleSet


@dataclass(frozen=True, slots=True)
class ExampleFailure:
    """An example that did not come out as it says."""

    position: int
    """From 0, in the order of the document."""
    name: str
    expected: str
    found: str


def read_example(fields: Fields) -> Example:
    """One example of a document. Raises RuleFault."""
    fields = fields.named(f"example {fields.line('name')!r}")
    fields.only(members("example"))
    issuer = read_issuer(fields)
    held: set[Item] = set()
    for name in PartName:
        held |= set(fields.each(name, partial(read_item, name, issuer)))
    who = Who(
        active=True,
        robot=fields.boolean("robot", False),
        identities=frozenset({Identity(issuer, Subject(fields.text("subject", "example")))}),
        held=frozenset(held),
    )
    expect = fields.table("expect", f"{fields.where}: expect")
    expect.only(members("expect"))
    if expect.has("rule") == expect.has("refused"):
        expect.refuse("", "either rule or refused")
    if expect.has("refused") and expect.text("refused") not in set(map(str, Reason)):
        expect.refuse("refused", "a reason code is needed, as in no_rule_matches")
    if expect.has("refused"):
        expect.only({"refused"})
    secondary = expect.each("secondary_groups", lambda value: read_group(issuer, value))
    return Example(
        name=fields.line("name"),
        who=who,
        rule_id=expect.text("rule") if expect.has("rule") else None,
        refused=expect.text("refused") if expect.has("refused") else None,
        secondary_groups=frozenset(secondary) if expect.has("secondary_groups") else None,
        access=_access(expect) if expect.has("node_classes") else None,
        local_groups=expect.texts("local_groups") if expect.has("local_groups") else None,
    )


def _access(expect: Fields) -> NodeAccess:
    """Names of classes; `*` for all of them, and behind it `-secure` for all but that one."""
    words = sorted(expect.texts("node_classes"), key=lambda word: (word != "*", word))
    try:
        return parse_node_access(",".join(words))
    except InvalidInput as error:
        expect.refuse("node_classes", f"labels, or * and -label: {error.detail}")


def failing_examples(rules: RuleSet, at: int) -> Iterator[ExampleFailure]:
    """Those that do not come out as they say, at time `at`."""
    for position, example in enumerate(rules.examples):
        decision = decide(_recorded(example.who), rules, at)
        expected, found = _told(example, decision)
        if expected != found:
            yield ExampleFailure(position, example.name, expected, found)


def check_examples(rules: RuleSet, at: int) -> None:
    """Raises RuleFault(RULE_EXAMPLE_FAILED) for the first that fails."""
    for failure in failing_examples(rules, at):
        detail = f"example {failure.name!r}: expected {failure.expected}, found {failure.found}"
        raise RuleFault(Reason.RULE_EXAMPLE_FAILED, detail, f"/examples/{failure.position}")


def _told(example: Example, decision: Decision) -> tuple[str, str]:
    """What was expected and what was found, in the same words."""
    grant = decision.grant
    if example.refused is not None:
        found = f"rule {grant.rule.rule_id}" if grant else f"refused {decision.reason}"
        return f"refused {example.refused}", found
    if grant is None:
        return f"rule {example.rule_id}", f"refused {decision.reason}"
    told = [(f"rule {example.rule_id}", f"rule {grant.rule.rule_id}")]
    if example.secondary_groups is not None:
        told.append((_groups(example.secondary_groups), _groups(grant.secondary_groups)))
    if example.access is not None:
        told.append((f"node classes {example.access}", f"node classes {grant.access}"))
    if example.local_groups is not None:
        wanted, given = (",".join(sorted(g)) for g in (example.local_groups, grant.local_groups))
        told.append((f"local groups {wanted}", f"local groups {given}"))
    return ", ".join(one for one, _ in told), ", ".join(one for _, one in told)


def _groups(groups: frozenset[Group]) -> str:
    return f"secondary groups {','.join(group.path for group in sorted(groups))}"


def _recorded(who: Who) -> Recorded:
    (identity,) = who.identities
    return Recorded(
        identity=identity,
        active_at_source=who.active,
        groups=frozenset(item for item in who.held if isinstance(item, Group)),
        account=None,
        robot=who.robot,
        facts=frozenset(item for item in who.held if isinstance(item, Fact)),
    )
