"""Records for `idmap-compile posix` made from entries, and entries that hypothesis or a random generator makes."""

from __future__ import annotations

import random
import string
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from idmap.domain.accounts import AccountState
from idmap.domain.posix_entries import STATES, Entries, GroupEntry, UserEntry, UserFlag
from tests.support.snapshot_site import compiler

FIRST_UID, FIRST_GID = 200_000, 300_000


def user(name: str, uid: int = FIRST_UID, **more: object) -> UserEntry:
    """A sound account with what the test changes."""
    fields: dict[str, object] = {
        "gid_number": FIRST_GID,
        "gecos": "",
        "home": f"/home/{name}",
        "shell": "/bin/sh",
        "state": AccountState.ACTIVE,
        "last_day": 0,
        "grace_day": 0,
        "secondary": (),
    }
    return UserEntry(name, uid, **(fields | more))  # type: ignore[arg-type]


def entries_of(users: list[UserEntry], groups: dict[str, int], revision: int = 7) -> Entries:
    """Entries as a file of these would hold them."""
    ordered = sorted(users, key=lambda u: u.uid_number)
    return Entries(
        revision,
        tuple(ordered),
        tuple(
            GroupEntry(name, gid, tuple(u.username for u in ordered if gid in u.secondary))
            for name, gid in sorted(groups.items(), key=lambda item: item[1])
        ),
    )


def withhold(entries: Entries, *names: str) -> Entries:
    """The same, with the member lists of these groups withheld; whoever is in them stays in them."""
    groups = (
        replace(group, members=(), members_withheld=True) if group.name in names else group
        for group in entries.groups
    )
    return replace(entries, groups=tuple(groups))


def small_entries() -> Entries:
    """Something of everything."""
    users = [
        user("alice", 200_000, gecos="Alice Ü,,,", secondary=(300_001, 300_002)),
        user("bob", 200_001, state=AccountState.GRACE, grace_day=20_001, last_day=20_500),
        user("carol", 200_002, state=AccountState.SUSPENDED, secondary=(300_002,)),
        user("Dave.X+y", 200_010, home="/h/d e", shell="/bin/zsh", last_day=20_000),
        user("u" * 32, 299_999, gid_number=300_005, elsewhere=True, token_only=True),
    ]
    return entries_of(users, {"proj": 300_000, "lab": 300_001, "big-group": 300_002, "z": 300_005})


def random_entries(seed: int, users: int, groups: int) -> Entries:
    """Many accounts with names, strings and memberships of all sizes; the same at every run."""
    rng = random.Random(seed)
    letters = string.ascii_letters + string.digits + "._-"
    gids = {
        f"g{number}{_word(rng, letters, 20)}": FIRST_GID + 3 * number for number in range(groups)
    }
    numbers = list(gids.values())
    made = [
        user(
            f"u{number}{_word(rng, letters, 20)}",
            FIRST_UID + 7 * number,
            gid_number=rng.choice(numbers),
            gecos=rng.choice(["", "A B", "Zoë Ångström,,,", "x" * rng.randrange(300)]),
            home="/" + _word(rng, letters + "/", 60),
            state=(state := rng.choice(STATES)),
            grace_day=rng.randrange(1, 30_000) if state is AccountState.GRACE else 0,
            last_day=rng.choice([0, rng.randrange(30_000)]),
            secondary=tuple(sorted(rng.sample(numbers, rng.randrange(min(len(numbers), 12))))),
            elsewhere=rng.random() < 0.2,
            token_only=rng.random() < 0.2,
        )
        for number in range(users)
    ]
    return entries_of(made, gids)


def records(entries: Entries, not_after: int = 2_000_000_000) -> str:
    """The compiler's input."""
    lines = ["idmap-posix\t2", f"revision\t{entries.revision}", "created\t1700000000"]
    lines += [
        f"not_after\t{not_after}",
        "window\tuid\t200000\t299999",
        "window\tgid\t300000\t399999",
    ]
    for group in entries.groups:
        more = "\tnomembers" if group.members_withheld else ""
        lines.append(f"group\t{group.name}\t{group.gid_number}{more}")
    for u in entries.users:
        values = (u.username, u.uid_number, u.gid_number, u.state, u.last_day, u.grace_day)
        texts = (u.home, u.shell, u.gecos, ",".join(map(str, u.secondary)))
        flags = u.elsewhere * UserFlag.ELSEWHERE | u.token_only * UserFlag.TOKEN_ONLY
        lines.append("\t".join(("user", *map(str, values), *texts, str(int(flags)))))
    lines.append(f"end\t{len(entries.groups)}\t{len(entries.users)}")
    return "".join(f"{line}\n" for line in lines)


def compile_entries(entries: Entries, out: Path) -> Path:
    """A posix.db of these, by the real compiler."""
    command = [str(compiler()), "posix", "--in", "-", "--out", str(out)]
    done = subprocess.run(command, input=records(entries).encode(), capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return out


def ask_module(
    module: Path, service: str, questions: list[str], root: Path | None = None
) -> list[str]:
    """What a real NSS module answers, as passwd and group lines (see nss_calls.py)."""
    program = Path(__file__).with_name("nss_calls.py")
    command = [sys.executable, str(program), str(module), service, *([str(root)] if root else [])]
    text = "".join(f"{question}\n" for question in questions).encode()
    done = subprocess.run(command, input=text, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    return done.stdout.decode("utf-8").splitlines()


def _word(rng: random.Random, letters: str, longest: int) -> str:
    return "".join(rng.choices(letters, k=rng.randrange(longest)))
