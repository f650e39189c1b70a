"""Node files for the end-to-end tests: text records in, posix.db by idmap-compile; bans.db by the agent's writer.

Stands in for idmap-agent, which gets the same records from signed data.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from demo_site import PrivateHost
from idmap.adapters.node_files.bans_db import encode_bans_db
from idmap.application.install_state import InstalledBans

POSIX = "/var/lib/idmap/posix.db"
BANS = "/var/lib/idmap/bans.db"
LOCAL_GROUPS = "/var/lib/idmap/local-groups"
ELSEWHERE, TOKEN_ONLY = 1, 2
WINDOW = (200000, 299999)


@dataclass(frozen=True)
class User:
    """One account record; the primary group has the same name and number."""

    username: str
    uid_number: int
    state: str = "active"
    shell: str = "/bin/bash"
    secondary: Sequence[int] = ()
    grace_day: int = 0
    flags: int = 0

    def record(self) -> str:
        """Its line for idmap-compile."""
        gids = ",".join(str(gid) for gid in self.secondary)
        home = f"/home/{self.username}"
        fields = ("user", self.username, self.uid_number, self.uid_number, self.state, 0)
        more = (self.grace_day, home, self.shell, "A Person", gids, self.flags)
        return "\t".join(str(field) for field in (*fields, *more))


def install_posix(
    host: PrivateHost,
    users: Iterable[User],
    groups: Iterable[tuple[str, int]] = (),
    *,
    not_after: int | None = None,
) -> None:
    """Replaces posix.db; `not_after` (seconds since the epoch) is by default in an hour."""
    now = int(time.time())
    people = sorted(users, key=lambda user: user.uid_number)
    own = [(user.username, user.uid_number) for user in people]
    everyone = sorted([*own, *groups], key=lambda group: group[1])
    first, last = WINDOW
    lines = [
        "idmap-posix\t2",
        "revision\t1",
        f"created\t{now - 7200}",
        f"not_after\t{now + 3600 if not_after is None else not_after}",
        f"window\tuid\t{first}\t{last}",
        f"window\tgid\t{first}\t{last}",
        *(f"group\t{name}\t{number}" for name, number in everyone),
        *(user.record() for user in people),
        f"end\t{len(everyone)}\t{len(people)}",
    ]
    text = "".join(f"{line}\n" for line in lines)
    host.run(["idmap-compile", "posix", "--in", "-", "--out", POSIX], input=text).check()


def install_bans(host: PrivateHost, banned: Sequence[int] = ()) -> None:
    """Replaces bans.db; the bans have no end."""
    now = int(time.time())
    bans = tuple((number, 0) for number in banned)
    host.write(BANS, encode_bans_db(InstalledBans(1, now - 60, now - 60, False, bans)))


def install_local_groups(host: PrivateHost, **gids: Sequence[int]) -> None:
    """Replaces the list of local groups, by username."""
    lines = [f"{name}:{','.join(map(str, numbers))}\n" for name, numbers in gids.items()]
    host.write(LOCAL_GROUPS, "".join(["# idmap-local-groups 1\n", *lines]))
