"""Groups of the site's own: a gid and a name bound to no issuer, whose members people here name.

No source, token or rule can match or make one, and no nightly run changes who is in it.
"""

from __future__ import annotations

from idmap.application.ports import Author, Registry, RegistryReader, RegistryWriter
from idmap.domain.accounts import Account, PosixGroup
from idmap.domain.errors import InvalidInput, NotFound
from idmap.domain.groups import Group, is_federated, local_group
from idmap.domain.identity import Issuer
from idmap.domain.reasons import Reason


def add_local_group(
    registry: Registry, author: Author, name: str, *, number_range: str
) -> PosixGroup:
    """Makes one. Raises NAME_REFUSED, NAME_TAKEN, RANGE_UNKNOWN, RANGE_EXHAUSTED."""
    with registry.write(author) as writer:
        return writer.add_local_group(name, group_range=number_range)


def add_member(writer: RegistryWriter, name: str, username: str) -> Account:
    """Puts an account into it. Raises NotFound; Conflict(ACCOUNT_CLOSED)."""
    group, account = _found(writer, name, username)
    return writer.change_groups(account.account_id, join=[group])


def remove_member(writer: RegistryWriter, name: str, username: str) -> Account:
    """Takes an account out of it; one that is not in it stays as it is. Raises NotFound."""
    group, account = _found(writer, name, username)
    return writer.change_groups(account.account_id, leave=[group])


def rebind_group(registry: Registry, author: Author, issuer: str, path: str, new_id: str) -> None:
    """Lets a group that was made anew at its issuer have the gid, name and files of its path. Raises NotFound."""
    group = Group(Issuer(issuer), path.removeprefix("/"))
    if not is_federated(group):
        raise InvalidInput(Reason.REQUEST_INVALID, f"{issuer!r} is no issuer")
    with registry.write(author) as writer:
        writer.rebind_group(group, new_id)


def _found(reader: RegistryReader, name: str, username: str) -> tuple[Group, Account]:
    group = local_group(name)
    if group not in reader.posix_groups():
        raise NotFound(f"site-local group {name[:64]!r}")
    account = reader.find_account(username=username)
    if account is None:
        raise NotFound(f"account {username[:64]!r}")
    return group, account
