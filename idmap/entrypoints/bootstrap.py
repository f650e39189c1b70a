"""The one module that knows every adapter: settings in, working parts out.

Everything is made here and nowhere else, so that a reader sees in one place what each process consists of:
`serve` gets no key and no source secret, `work` no listening socket, the node parts no registry.
"""

from __future__ import annotations

import secrets
from collections.abc import Hashable, Mapping
from typing import Any

from idmap.adapters.indigo_iam.source import open_source
from idmap.adapters.oidc.introspection import HttpIntrospector
from idmap.adapters.oidc.jwks import JwksCache
from idmap.adapters.oidc.signatures import JoseSignatures
from idmap.adapters.site_numbers.directory import Directory, DirectoryNumbers
from idmap.adapters.site_numbers.nss import NssNumbers
from idmap.adapters.snapshot.sign_client import SocketSigner
from idmap.adapters.snapshot.store import DirectorySnapshotStore
from idmap.adapters.sql import SqlRegistry
from idmap.application.banned_credentials import find_ban_in
from idmap.application.introspect import OpaqueTokens
from idmap.application.ports import Clock, Registry, SiteNumbers, Source
from idmap.application.publish import Publisher
from idmap.application.remembered import Remembered
from idmap.application.verified_tokens import VerifiedTokens
from idmap.domain.errors import InvalidInput
from idmap.domain.guard import GuardLimits
from idmap.domain.identity import Issuer
from idmap.domain.issuers import IssuerProfile, find_profile
from idmap.domain.reasons import Reason
from idmap.domain.secrets import Secret
from idmap.entrypoints.clock import system_clock
from idmap.entrypoints.http.parts import ServeParts
from idmap.entrypoints.settings import ServiceSettings, read_secret_file


def open_registry(settings: ServiceSettings) -> Registry:
    """The realm's registry. Raises Unavailable or IdmapError(SCHEMA_MISMATCH)."""
    place = settings.registry
    return SqlRegistry.open(place.url, system_clock, place.marks_directory)


def create_registry(settings: ServiceSettings) -> Registry:
    """A new registry. Raises InvalidInput when there is one already."""
    place = settings.registry
    return SqlRegistry.create(place.url, system_clock, place.marks_directory)


def sources(settings: ServiceSettings, clock: Clock = system_clock) -> tuple[Source, ...]:
    """Every configured source; their secrets are read now, nothing is asked yet."""
    return tuple(
        open_source(
            name,
            Issuer(source.issuer),
            url=source.url,
            client_id=source.client_id,
            client_secret=read_secret_file(source.client_secret_file),
            clock=clock,
            strategy=source.strategy,
            passes=source.passes,
            timeout_seconds=source.timeout_seconds,
        )
        for name, source in sorted(settings.sources.items())
    )


def guard_limits(settings: ServiceSettings) -> GuardLimits:
    """What one run may take away."""
    guard = settings.guard
    return GuardLimits(guard.max_percent, guard.floor, frozenset(guard.canaries))


def issuer_keys(settings: ServiceSettings, clock: Clock = system_clock) -> JwksCache:
    """The cache of issuers' keys; `serve` and `work` share its directory."""
    return JwksCache(settings.issuer_keys.directory, clock)


def serve_parts(settings: ServiceSettings, clock: Clock = system_clock) -> ServeParts:
    """What the HTTP door is made of."""
    registry = open_registry(settings)
    remembered = Remembered(registry)

    keys = issuer_keys(settings, clock)

    def issuers() -> tuple[IssuerProfile, ...]:
        return remembered.get("issuers", lambda reader: reader.issuers())

    def find_issuer(text: str) -> IssuerProfile | None:
        return find_profile(issuers(), text)

    def state() -> Hashable:
        # Not the change token: a thousand nodes that report commit all the time, and change nothing here.
        found = remembered.get(
            "state", lambda r: (r.revision(), r.ban_counter(), r.rules().version)
        )
        return (found, keys.version)

    def present_state(present: Mapping[Hashable, Any]) -> Hashable | None:
        found = present.get("state")
        return None if found is None else (found, keys.version)

    return ServeParts(
        registry=registry,
        remembered=remembered,
        verifier=VerifiedTokens(
            find_issuer,
            keys,
            JoseSignatures(),
            OpaqueTokens(issuers, introspector(settings)),
            state=state,
            present_state=present_state,
            find_ban=find_ban_in(remembered),
        ),
        keys=keys,
        store=DirectorySnapshotStore(settings.snapshot.directory),
        clock=clock,
        make_secret=make_secret,
        realm=settings.realm,
        guard=guard_limits(settings),
        site_numbers=site_numbers(settings),
        keep_answers_seconds=settings.serve.keep_answers_hours * 3600,
    )


def site_numbers(settings: ServiceSettings) -> tuple[SiteNumbers, ...]:
    """What new ranges are compared with; the directory's password is read now."""
    found: list[SiteNumbers] = [NssNumbers()] if settings.site.nss else []
    ldap = settings.site.ldap
    if ldap is not None:
        password = ldap.bind_password_file
        found.append(
            DirectoryNumbers(
                Directory(
                    url=ldap.url,
                    base=ldap.base,
                    bind_dn=ldap.bind_dn,
                    password=None if password is None else read_secret_file(password),
                    ca_file=ldap.ca_file,
                    timeout_seconds=ldap.timeout_seconds,
                )
            )
        )
    return tuple(found)


def introspector(settings: ServiceSettings) -> HttpIntrospector:
    """How `serve` asks issuers about opaque tokens. Every secret is looked at now: a wrong mode stops start-up."""
    files = {name: section.client_secret_file for name, section in settings.introspection.items()}
    for path in files.values():
        read_secret_file(path)

    def find_secret(name: str) -> Secret:
        if name not in files:
            raise InvalidInput(Reason.CONFIGURATION_INVALID, f"no section [introspection.{name}]")
        return read_secret_file(files[name])

    return HttpIntrospector(find_secret)


def publisher(
    settings: ServiceSettings,
    registry: Registry,
    store: DirectorySnapshotStore,
    clock: Clock = system_clock,
) -> Publisher:
    """What `work` publishes with; the signer is asked over its socket."""
    return Publisher(
        realm=settings.realm,
        registry=registry,
        store=store,
        signer=SocketSigner(settings.sign.socket),
        trusted_keys=issuer_keys(settings, clock).keys_of,
        clock=clock,
        lifetime_seconds=settings.snapshot.lifetime_seconds,
    )


def make_secret() -> Secret:
    """256 bits from the system (the SecretMaker port)."""
    return Secret(secrets.token_urlsafe(32))
