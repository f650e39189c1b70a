"""Several identities of one account are one person: what is recorded of all of them counts together.

A person is entitled by the groups and facts on record of their *active* identities, so that one identity's leaving does
not end what another still gives. A robot that is linked to a person's account adds nothing to it. Pure; whose facts
belong together is the registry's to say. Roles at the admin door are the identity's own, never through a link.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from idmap.domain.decision import Recorded
from idmap.domain.facts import Fact
from idmap.domain.groups import Group


def as_one(identities: Sequence[Recorded]) -> Recorded:
    """What is recorded of a person, from their identities (one at least), which share their account.

    The order makes no difference to any decision. Without an active identity the person is inactive, with every
    group and fact of all of them.
    """
    first = identities[0]
    if len(identities) == 1:
        return first
    active = [recorded for recorded in identities if recorded.active_at_source]
    counting = [recorded for recorded in active if not recorded.robot] or active
    identity = counting[0].identity if counting else first.identity
    return replace(
        first,
        identity=identity,
        active_at_source=bool(active),
        robot=all(recorded.robot for recorded in active or identities),
        groups=memberships(counting or identities),
        facts=frozenset[Fact]().union(*(one.facts for one in counting or identities)),
        also=frozenset(recorded.identity for recorded in counting) - {identity},
    )


def memberships(identities: Sequence[Recorded]) -> frozenset[Group]:
    """Every group that any of them is recorded in, active or not."""
    return frozenset[Group]().union(*(recorded.groups for recorded in identities))
