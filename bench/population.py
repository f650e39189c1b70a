"""A made-up site, and the same site written in the form that each contestant reads.

Accounts 200000 upward, groups 3000000 upward, 25 accounts to a group; everybody has a primary group
and four more, so a group has about a hundred members. All of it follows from the size and a fixed
seed. Written line by line: a million accounts never stand in memory as objects.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SEED = 20261121
FIRST_UID = 200_000
FIRST_GID = 3_000_000
ACCOUNTS_PER_GROUP = 25
SECONDARY = 4
BASE_DN = "dc=bench,dc=invalid"
SURNAMES = """abel bauer chen dubois evans ferrari garcia huber ivanov jansen kowalski lopez mueller
    novak okafor petrov quinn rossi silva tanaka ueda vogel weber xu yilmaz ziegler""".split()


@dataclass(frozen=True)
class Account:
    """One account; `groups` are indexes of groups, the primary one first."""

    number: int
    groups: tuple[int, ...]

    @property
    def username(self) -> str:
        """Distinct by its number."""
        return f"{SURNAMES[self.number * 7 % len(SURNAMES)]}{self.number}"

    @property
    def uid_number(self) -> int:
        """As everywhere."""
        return FIRST_UID + self.number

    def passwd(self) -> str:
        """Its line in passwd(5) form."""
        name = self.username
        gid = FIRST_GID + self.groups[0]
        return f"{name}:*:{self.uid_number}:{gid}:Person {self.number}:/home/{name}:/bin/bash\n"


def group_name(index: int) -> str:
    """The name of a group."""
    return f"proj{index}"


@dataclass(frozen=True)
class Population:
    """A site of `size` accounts."""

    size: int
    group_count: int = field(init=False)

    def __post_init__(self) -> None:
        """At least as many groups as an account needs."""
        groups = max(2 * SECONDARY, self.size // ACCOUNTS_PER_GROUP)
        object.__setattr__(self, "group_count", groups)

    def accounts(self) -> Iterator[Account]:
        """In order of uid; the same at every call."""
        chance = random.Random(SEED)  # noqa: S311 test data
        everything = range(self.group_count)
        for number in range(self.size):
            yield Account(number, tuple(chance.sample(everything, SECONDARY + 1)))

    def members(self) -> list[list[str]]:
        """The usernames of the secondary members of each group."""
        found: list[list[str]] = [[] for _ in range(self.group_count)]
        for account in self.accounts():
            for group in account.groups[1:]:
                found[group].append(account.username)
        return found

    def write_records(self, path: Path) -> None:
        """The input of idmap-compile: groups by gid, users by uid."""
        with path.open("w") as out:
            out.write("idmap-posix\t2\nrevision\t1\ncreated\t1700000000\nnot_after\t2000000000\n")
            out.write(f"window\tuid\t{FIRST_UID}\t{FIRST_GID - 1}\n")
            out.write(f"window\tgid\t{FIRST_GID}\t{FIRST_GID + 999_999}\n")
            for index in range(self.group_count):
                out.write(f"group\t{group_name(index)}\t{FIRST_GID + index}\n")
            for account in self.accounts():
                name, gids = account.username, [FIRST_GID + group for group in account.groups]
                secondary = ",".join(map(str, gids[1:]))
                out.write(
                    f"user\t{name}\t{account.uid_number}\t{gids[0]}\tactive\t0\t0\t/home/{name}"
                    f"\t/bin/bash\tPerson {account.number}\t{secondary}\t0\n"
                )
            out.write(f"end\t{self.group_count}\t{self.size}\n")

    def write_flat(self, passwd: Path, group: Path) -> None:
        """passwd(5) and group(5), for `files` and libnss-extrausers."""
        with passwd.open("w") as out:
            out.writelines(account.passwd() for account in self.accounts())
        with group.open("w") as out:
            for index, names in enumerate(self.members()):
                out.write(f"{group_name(index)}:*:{FIRST_GID + index}:{','.join(names)}\n")

    def write_ldif(self, path: Path) -> None:
        """posixAccount and posixGroup entries (RFC 2307)."""
        with path.open("w") as out:
            out.write(f"dn: {BASE_DN}\nobjectClass: dcObject\nobjectClass: organization\n")
            out.write("dc: bench\no: bench\n\n")
            for unit in ("people", "groups"):
                out.write(f"dn: ou={unit},{BASE_DN}\nobjectClass: organizationalUnit\n")
                out.write(f"ou: {unit}\n\n")
            for account in self.accounts():
                name = account.username
                out.write(
                    f"dn: uid={name},ou=people,{BASE_DN}\nobjectClass: account\n"
                    f"objectClass: posixAccount\nuid: {name}\ncn: Person {account.number}\n"
                    f"gecos: Person {account.number}\nuidNumber: {account.uid_number}\n"
                    f"gidNumber: {FIRST_GID + account.groups[0]}\nhomeDirectory: /home/{name}\n"
                    "loginShell: /bin/bash\n\n"
                )
            for index, names in enumerate(self.members()):
                name = group_name(index)
                out.write(f"dn: cn={name},ou=groups,{BASE_DN}\nobjectClass: posixGroup\n")
                out.write(f"cn: {name}\ngidNumber: {FIRST_GID + index}\n")
                out.writelines(f"memberUid: {member}\n" for member in names)
                out.write("\n")

    def write_order(self, path: Path) -> None:
        """`username uid groupname gid`, all accounts in random order: what the driver asks for."""
        chance = random.Random(SEED + 1)  # noqa: S311 test data
        lines = []
        for account in self.accounts():
            group = account.groups[0]
            lines.append(
                f"{account.username} {account.uid_number} {group_name(group)} {FIRST_GID + group}\n"
            )
        chance.shuffle(lines)
        with path.open("w") as out:
            out.writelines(lines)


def write_sorted_index(data: Path, index: Path, column: int) -> None:
    """The index that libnss-cache bisects: `key NUL offset NUL padding`, sorted as bytes, lines of
    equal length. Must be written after the data: an older index is not used."""
    entries: list[tuple[bytes, bytes]] = []
    offset = 0
    with data.open("rb") as lines:
        for line in lines:
            entries.append((line.split(b":", column + 1)[column], str(offset).encode()))
            offset += len(line)
    entries.sort()
    width = max(len(key) for key, _ in entries) + max(len(at) for _, at in entries)
    with index.open("wb") as out:
        for key, at in entries:
            out.write(key + b"\0" + at + b"\0" + b"\0" * (width - len(key) - len(at)) + b"\n")
