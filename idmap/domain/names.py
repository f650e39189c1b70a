"""Which POSIX names exist, and how a new one is spelled.

Two grammars: *generated* names use the alphabet that Slurm, HTCondor, ARC, UNICORE and Airavata all
accept; *adoptable* names are wider, for what a site already has, and are what the C reader checks.
Reserved names are one closed table, used here and generated into C (`tools/reserved.py`).

A federated person's claims only ever *spell* a name; they never decide which account it is. A claim
that is not already a harmless name is not repaired cleverly: the account gets a generated name from
its number (`u200017`), which cannot collide because the number cannot.
"""

from __future__ import annotations

import re
from typing import Final, NewType

from idmap.domain.errors import InvalidInput
from idmap.domain.reasons import Reason

Username = NewType("Username", str)
GroupName = NewType("GroupName", str)

_GENERATED: Final = re.compile(r"[a-z_][a-z0-9_]{0,30}", re.ASCII)
_ADOPTABLE: Final = re.compile(r"(?!-)(?!\d+\Z)(?!\.{1,2}\Z)[A-Za-z0-9_.+-]{1,32}", re.ASCII)
"""No leading dash, not all digits, not a dot name: the very grammar of `pam_module/refusals.c`."""

_FROM_NUMBER: Final = re.compile(r"[ug]\d+", re.ASCII)
"""The shape of names made from numbers; never taken from a claim, so that none can be squatted."""

_SPELLING: Final = str.maketrans({"-": "_", ".": "_", "@": "_", "+": "_"})

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
"""Names of system accounts and images; compared after `-` and `.` became `_`."""


def is_adoptable(name: str) -> bool:
    """Whether an existing name can be carried: the check that the C reader makes too."""
    return bool(_ADOPTABLE.fullmatch(name))


def is_reserved(name: str) -> bool:
    """Whether the name belongs to the system, whatever its separators."""
    return name.lower().translate(_SPELLING) in RESERVED_NAMES


def check_generated_name(name: str) -> str:
    """The name itself. Raises InvalidInput(NAME_REFUSED) unless it may be newly issued."""
    if not _GENERATED.fullmatch(name) or is_reserved(name):
        raise InvalidInput(Reason.NAME_REFUSED, repr(name[:64]))
    return name


def spell_username(preferred: str | None) -> Username | None:
    """The username a claim spells, or None when it does not spell one.

    Only ASCII is read; upper case is lowered and `- . @ +` become `_`. Anything else, a first
    character that is no letter, a reserved name, or the shape of a number-made name spells nothing.
    """
    if preferred is None or not preferred.isascii() or not preferred[:1].isalpha():
        return None
    name = preferred.lower().translate(_SPELLING)
    if not _GENERATED.fullmatch(name) or is_reserved(name) or _FROM_NUMBER.fullmatch(name):
        return None
    return Username(name)


def spell_group_name(path: str) -> GroupName | None:
    """The POSIX group name that a group's path spells (`vo/sub` → `vo_sub`), or None."""
    name = spell_username(path.replace("/", "_"))
    return None if name is None else GroupName(name)


def username_from_number(number: int) -> Username:
    """The name an account gets when its person's claims spell none."""
    return Username(f"u{number}")


def group_name_from_number(number: int) -> GroupName:
    """The name a group gets when its path spells none, or a taken one."""
    return GroupName(f"g{number}")
