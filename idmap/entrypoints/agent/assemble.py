"""From agent.toml to a working agent: every part with its values, nothing with the settings object."""

from __future__ import annotations

import grp
import time
from collections.abc import Callable
from dataclasses import dataclass

from idmap.adapters.node_files.directory import NodeDirectory
from idmap.adapters.snapshot.fetch import SnapshotClient
from idmap.adapters.snapshot.verify import PinnedVerifier
from idmap.application.install import Installer
from idmap.application.install_bans import BanKeeper
from idmap.application.install_state import NOT_REACHED, Reached
from idmap.domain.errors import InvalidInput
from idmap.domain.member_lists import MemberLists
from idmap.domain.reasons import Reason
from idmap.entrypoints.settings import AgentSettings, read_secret_file


@dataclass(frozen=True, slots=True)
class Agent:
    """The parts that the commands use."""

    realm: str
    node_class: str
    local_groups: tuple[str, ...]
    member_lists: MemberLists
    files: NodeDirectory
    verifier: PinnedVerifier
    client: SnapshotClient
    bans: BanKeeper
    installer: Installer
    poll_seconds: int
    clock: Callable[[], int]


def assemble(
    settings: AgentSettings,
    *,
    clock: Callable[[], int] = lambda: int(time.time()),
    reached: Reached = NOT_REACHED,
) -> Agent:
    """An agent that has touched nothing yet. Raises InvalidInput(CONFIGURATION_INVALID), also without pinned keys."""
    files = NodeDirectory(
        settings.files.directory,
        compiler=settings.files.compiler,
        passwd=settings.files.passwd,
        group=settings.files.group,
        trust_group_number=_group_number(settings.files.trust_group),
        listed_groups=frozenset(settings.local_groups),
    )
    verifier = PinnedVerifier(
        realm=settings.realm,
        manifest_keys=settings.trust.manifest_keys,
        bans_keys=settings.trust.bans_keys,
    )
    credential_file = settings.service.credential_file
    client = SnapshotClient(
        settings.service.url,
        lambda: read_secret_file(credential_file),
        ca_file=settings.service.ca_file,
    )
    bans = BanKeeper(service=client, verifier=verifier, files=files, clock=clock, reached=reached)
    installer = Installer(
        node_class=settings.node_class,
        service=client,
        verifier=verifier,
        files=files,
        bans=bans,
        clock=clock,
        member_lists=settings.members.member_lists(),
        reached=reached,
    )
    return Agent(
        realm=settings.realm,
        node_class=settings.node_class,
        local_groups=settings.local_groups,
        member_lists=settings.members.member_lists(),
        files=files,
        verifier=verifier,
        client=client,
        bans=bans,
        installer=installer,
        poll_seconds=settings.poll_seconds,
        clock=clock,
    )


def _group_number(name: str) -> int:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise InvalidInput(
            Reason.CONFIGURATION_INVALID,
            f"files.trust_group: this node has no group {name!r}; it is the group of idmap-verify",
        ) from None
