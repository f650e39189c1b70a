"""Which POSIX names exist, and how a new one is spelled.

Two grammars: *generated* names use the alphabet that Slurm, HTCondor, ARC, UNICORE and Airavata all
accept; *adoptable* names are wider, for what a site already has, and are what the C reader checks.
Reserved names are one closed table, used here and generated into C (`make docs` writes
`pam_module/reserved.h`, `make check` refuses a stale one).

A federated person's claims only ever *spell* a name (`spelling`); they never decide which account it
is. Where nothing is spelled, or all of it is taken, the name is made from the number (`u200017`),
which cannot collide because the number cannot. A name once given stays: nothing here renames.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, NewType

from idmap.domain.errors import InvalidInput
from idmap.domain.groups import split_path
from idmap.domain.reasons import Reason
from idmap.domain.spelling import (
    DEFAULT_NAMING,
    MAX_NAME,
    Naming,
    PrefixCounter,
    Spelling,
    latin_letters,
    numbered,
    spell,
    wishes,
)

Username = NewType("Username", str)
GroupName = NewType("GroupName", str)

_GENERATED: Final = re.compile(r"[a-z_][a-z0-9_]{0,30}", re.ASCII)
_ADOPTABLE: Final = re.compile(r"(?!-)(?!\d+\Z)(?!\.{1,2}\Z)[A-Za-z0-9_.+-]{1,32}", re.ASCII)
"""No leading dash, not all digits, not a dot name: the very grammar of `pam_module/refusals.c`."""

_FROM_NUMBER: Final = re.compile(r"[ug]\d+", re.ASCII)
"""The shape of names made from numbers; never taken from a claim, so that none can be squatted."""

_SPELLING: Final = str.maketrans({"-": "_", ".": "_", "@": "_", "+": "_", " ": "_"})
_PART: Final = re.compile(r"[a-z0-9_]+", re.ASCII)

ROOT_EQUIVALENT_GROUPS: Final = frozenset(
    "root wheel sudo admin adm disk docker lxc lxd incus incus_admin libvirt kvm shadow kmem tty utmp "
    "staff sys bin daemon mem input systemd_journal ssl_cert video render audio dialout plugdev netdev "
    "sudoers podman vboxusers wireshark operator backup".split()
)
"""Membership of these is, or can be turned into, root on some distribution."""

REFUSED_ON_NODES: Final = ROOT_EQUIVALENT_GROUPS | {"toor", "nobody", "nogroup"}
"""What the C compiler and reader refuse on their own, for users and groups alike (`pam_module/reserved.h`)."""

RESERVED_NAMES: Final = ROOT_EQUIVALENT_GROUPS | frozenset(
    "toor nobody nogroup sync games man lp mail news uucp proxy www_data list irc gnats messagebus "
    "sshd slurm munge condor ntp chrony dbus polkitd polkit rpc rpcuser nfsnobody nscd nslcd sssd "
    "postgres mysql redis nginx apache http ldap openldap ceph tss tcpdump avahi avahi_autoipd "
    "pcp abrt saslauth postfix exim dovecot named bind unbound dnsmasq systemd_network "
    "systemd_resolve systemd_timesync systemd_coredump systemd_oom ubuntu debian centos rocky alma "
    "almalinux fedora cloud_user ec2_user azureuser vagrant core opc guest ftp halt shutdown user "
    "users idmap idmap_work idmap_sign idmap_verify account_unknown administrator administrador "
    "test default anonymous unknown none null system localhost ssh login".split()
)
"""Names of system accounts and images; compared after `- . @ +` became `_`."""


MAX_LOCAL_GROUPS: Final = 64
"""Groups of the nodes' own that one account may be given; more than any node has that are worth giving."""


def is_adoptable(name: str) -> bool:
    """Whether an existing name can be carried: the check that the C reader makes too."""
    return bool(_ADOPTABLE.fullmatch(name))


def is_reserved(name: str) -> bool:
    """Whether the name belongs to the system, whatever its separators."""
    return as_compared(name) in RESERVED_NAMES


def as_compared(name: str) -> str:
    """The spelling under which names are held against RESERVED_NAMES: lower case, separators alike."""
    return name.lower().translate(_SPELLING)


def is_local_group(name: str) -> bool:
    """Whether accounts may be given a node's own group of that name: it can be carried and is not the system's."""
    return is_adoptable(name) and not is_reserved(name)


def check_generated_name(name: str) -> str:
    """The name itself. Raises InvalidInput(NAME_REFUSED) unless it may be newly issued."""
    if not _GENERATED.fullmatch(name) or is_reserved(name):
        raise InvalidInput(Reason.NAME_REFUSED, repr(name[:64]))
    return name


def is_issuable(name: str) -> bool:
    """Whether the name may be newly issued, by spelling: fit, not reserved, not shaped as if made from a number."""
    fits = _GENERATED.fullmatch(name) and not _FROM_NUMBER.fullmatch(name)
    return bool(fits) and not is_reserved(name)


def spell_username(preferred: str | None) -> Username | None:
    """The username that a preferred name alone spells, or None when it does not spell one."""
    name = spell(preferred)
    return Username(name) if name is not None and is_issuable(name) else None


def spell_usernames(spelling: Spelling, naming: Naming = DEFAULT_NAMING) -> tuple[Username, ...]:
    """The usernames a person's facts spell, in the order they are wished for; all of them may be issued."""
    return tuple(Username(name) for name in wishes(naming, spelling) if is_issuable(name))


def numbered_usernames(names: Iterable[str], last_suffix: int) -> Iterator[Username]:
    """Each name and its numbered forms up to `last_suffix`, in the order they are tried when others are taken."""
    for spelled in names:
        yield from (Username(n) for n in numbered(spelled, last_suffix) if is_issuable(n))


def counted_usernames(counter: PrefixCounter, first: int) -> Iterator[Username]:
    """`hpc0007`, `hpc0008` … from `first` upward, without end; reserved ones are passed over."""
    number = first
    while True:
        name = f"{counter.prefix}{number:0{counter.digits}}"
        if is_issuable(name):
            yield Username(name)
        number += 1


def spell_group_names(path: str) -> tuple[GroupName, ...]:
    """The POSIX group names that a group's canonical path spells, in the order they are wished for.

    First the whole path (`vo/sub` → `vo_sub`; a role is `vo_role_name`). A path too long for 31 characters is spelled
    by its first name, which says whose it is, and as many of its last names as fit (`vo_project_alpha`).
    """
    names, role = split_path(path)
    parts = [*names] if role is None else [*names, f"role {role}"]
    words = [word for word in map(_spell_part, parts) if word is not None]
    if len(words) < len(parts) or not words[0][:1].isalpha():
        return ()
    for kept in range(len(words) - 1, -1, -1):
        name = "_".join([words[0], *words[len(words) - kept :]])
        if len(name) <= MAX_NAME and (kept > 0 or len(words) == 1):
            return (GroupName(name),) if is_issuable(name) else ()
    return ()


def _spell_part(name: str) -> str | None:
    """One name of a path, however long; a blank within it is a separator too."""
    latin = latin_letters(name)
    spelled = "" if latin is None else latin.lower().translate(_SPELLING)
    return spelled if _PART.fullmatch(spelled) else None


def username_from_number(number: int) -> Username:
    """The name an account gets when its person's claims spell none."""
    return Username(f"u{number}")


def group_name_from_number(number: int) -> GroupName:
    """The name a group gets when its path spells none, or only taken ones."""
    return GroupName(f"g{number}")
