"""The account that a person means by what they typed."""

from __future__ import annotations

from idmap.application.ports import RegistryReader
from idmap.domain.accounts import Account
from idmap.domain.errors import NotFound


def find_account(reader: RegistryReader, name: str) -> Account | None:
    """By username, or by uid number: no username is all digits."""
    if name.isascii() and name.isdigit() and len(name) <= 10:
        return reader.find_account(uid_number=int(name))
    return reader.find_account(username=name)


def account_named(reader: RegistryReader, name: str) -> Account:
    """The same. Raises NotFound."""
    account = find_account(reader, name)
    if account is None:
        raise NotFound(f"account {name[:64]!r}")
    return account
