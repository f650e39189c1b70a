"""What is known of the site that rules are for: what a finding about them rests on."""

from __future__ import annotations

from idmap.application.ports import RegistryReader
from idmap.domain.findings import Surroundings
from idmap.domain.rule_findings import shared_names
from idmap.domain.rules import RuleSet


def gather_surroundings(reader: RegistryReader, rules: RuleSet) -> Surroundings:
    """For findings about these rules."""
    named = reader.posix_groups().keys() | reader.group_ids().keys() | reader.observed_groups()
    return Surroundings(
        profiles=reader.issuers(),
        known_groups=frozenset(named),
        node_classes=frozenset(node.node_class for node in reader.nodes()),
        range_sizes={status.range.name: status.size for status in reader.ranges()},
        names={
            name: taken
            for name in shared_names(rules)
            if (taken := _taken_by(reader, name)) is not None
        },
    )


def _taken_by(reader: RegistryReader, name: str) -> str | None:
    """What has the name and is no shared account."""
    account = reader.find_account(username=name)
    if account is not None and not account.shared:
        return f"it is the account of somebody ({account.state}, uid {account.uid_number})"
    group = reader.find_group(name)
    if group is not None and not name.isdigit():
        return f"it is group {group[0].path} (gid {group[1].gid_number})"
    return None
