"""What administrators order: each order checked here, then written under their name and reason (law 12).

Only what needs more than one call of the registry is here; plain readings go from the door to the registry. Secrets
are made here, given back once and stored as digests.
"""

from __future__ import annotations

from idmap.application.account_named import account_named
from idmap.application.ports import (
    Author,
    CredentialKind,
    MachineCredential,
    Registry,
    SecretMaker,
)
from idmap.domain.accounts import Account, AccountEvent
from idmap.domain.doors import DoorKind, parse_door, ssh_door
from idmap.domain.errors import Conflict, InvalidInput, NotFound
from idmap.domain.identity import Issuer
from idmap.domain.issuers import IssuerProfile, check_distinct
from idmap.domain.reasons import Reason
from idmap.domain.secrets import Secret

_PREFIXES = {
    CredentialKind.ADMIN_KEY: "idmap-adm-",
    CredentialKind.COMPONENT: "idmap-cmp-",
    CredentialKind.NODE: "idmap-node-",
}
"""So that a person, or a scanner of repositories, recognises a leaked secret."""


def save_issuer(registry: Registry, author: Author, profile: IssuerProfile) -> None:
    """Adds or replaces the issuer of exactly that string. Raises InvalidInput(ISSUER_INVALID)."""
    with registry.write(author) as writer:
        others = [known for known in writer.issuers() if known.issuer != profile.issuer]
        check_distinct([*others, profile])
        writer.save_issuer(profile)


def remove_issuer(registry: Registry, author: Author, issuer: Issuer) -> None:
    """Stops trusting an issuer; its people keep their accounts. Raises NotFound."""
    with registry.write(author) as writer:
        if issuer not in {known.issuer for known in writer.issuers()}:
            raise NotFound(f"issuer {issuer!r}; the string must match exactly")
        writer.remove_issuer(issuer)


def move_account(registry: Registry, author: Author, username: str, event: AccountEvent) -> Account:
    """What a person may do to an account's state. Raises NotFound, Conflict(TRANSITION_REFUSED)."""
    with registry.write(author) as writer:
        return writer.move_account(account_named(writer, username).account_id, event)


def enrol_node(
    registry: Registry,
    author: Author,
    make_secret: SecretMaker,
    name: str,
    node_class: str,
    at: int,
) -> tuple[MachineCredential, Secret]:
    """A credential for one node; the secret is never to be had again. Raises InvalidInput, Conflict."""
    ssh_door(node_class)
    return _add(registry, author, make_secret, CredentialKind.NODE, name, node_class, (), at)


def add_component(
    registry: Registry,
    author: Author,
    make_secret: SecretMaker,
    name: str,
    doors: tuple[str, ...],
    at: int,
) -> tuple[MachineCredential, Secret]:
    """A credential for a component with the doors whose tokens it may present; never the admin door (law 13)."""
    if not doors:
        raise InvalidInput(Reason.REQUEST_INVALID, "doors: at least one")
    parsed = [parse_door(door) for door in doors]
    if any(door.kind is DoorKind.ADMIN for door in parsed):
        raise InvalidInput(Reason.DOOR_REFUSED, "admin: no component may present tokens for it")
    named = tuple(sorted({str(door) for door in parsed}))
    return _add(registry, author, make_secret, CredentialKind.COMPONENT, name, None, named, at)


def add_admin_key(
    registry: Registry, author: Author, make_secret: SecretMaker, name: str, at: int
) -> Secret:
    """A key to the admin door, for the first administrators; the secret is never to be had again."""
    kind = CredentialKind.ADMIN_KEY
    _, secret = _add(registry, author, make_secret, kind, name, None, (), at)
    return secret


def revoke(registry: Registry, author: Author, kind: CredentialKind, name: str) -> None:
    """Ends a credential. Raises NotFound."""
    with registry.write(author) as writer:
        if writer.find_machine(kind, name) is None:
            raise NotFound(f"{kind} {name!r}")
        writer.revoke_credential(kind, name)


def forget_answers(registry: Registry, at: int) -> int:
    """Removes the answers to repeat that expired; gives how many."""
    with registry.write(Author("work", "answers to repeat expired")) as writer:
        return writer.forget_answers(at)


def _add(
    registry: Registry,
    author: Author,
    make_secret: SecretMaker,
    kind: CredentialKind,
    name: str,
    node_class: str | None,
    doors: tuple[str, ...],
    at: int,
) -> tuple[MachineCredential, Secret]:
    secret = Secret(_PREFIXES[kind] + make_secret().reveal())
    with registry.write(author) as writer:
        if writer.find_machine(kind, name) is not None:
            raise Conflict(Reason.NAME_TAKEN, f"{kind} {name!r}; revoke it first")
        credential = writer.add_credential(
            kind, name, secret.sha256(), node_class=node_class, doors=doors, at=at
        )
    return credential, secret
