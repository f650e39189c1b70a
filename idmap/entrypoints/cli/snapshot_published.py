"""`idmap snapshot status` and `publish`: what the service has published, and publishing by hand.

`status` reads the store's documents only; it verifies no signature, because it runs where the keys are made.
"""

from __future__ import annotations

import json
from typing import Annotated

import typer

from idmap.adapters.snapshot.store import DirectorySnapshotStore
from idmap.domain.errors import IdmapError
from idmap.domain.manifest import (
    BANS_TYPE,
    MANIFEST_TYPE,
    parse_bans,
    parse_envelope,
    parse_manifest,
)
from idmap.entrypoints import bootstrap
from idmap.entrypoints.cli.failures import explained
from idmap.entrypoints.cli.host_options import Config
from idmap.entrypoints.settings import SERVICE_FILE, load_service_settings


def status_command(
    config: Config = SERVICE_FILE,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Show the published snapshot and ban list: revision, dates, sizes, counters."""
    try:
        store = DirectorySnapshotStore(load_service_settings(config).snapshot.directory)
        rows: dict[str, object] = {}
        data = store.read_document("manifest")
        if data is not None:
            manifest = parse_manifest(parse_envelope(data, MANIFEST_TYPE).payload)
            rows |= {
                "revision": manifest.revision,
                "created": manifest.created,
                "not_after": manifest.not_after,
                "chunks": len(manifest.posix) + len(manifest.trust),
                "bytes": sum(c.size for c in (*manifest.posix, *manifest.trust)),
                "token_only": ",".join(sorted(manifest.token_only)),
            }
        data = store.read_document("bans")
        if data is not None:
            bans = parse_bans(parse_envelope(data, BANS_TYPE).payload)
            rows |= {"ban_counter": bans.counter, "issued": bans.issued, "bans": len(bans.bans)}
            rows |= {"banned_issuers": len(bans.issuers), "banned_tokens": len(bans.tokens)}
    except IdmapError as error:
        typer.echo(f"idmap snapshot: {error.detail} [{error.reason}]", err=True)
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    elif rows:
        typer.echo("\n".join(f"{name:16}{value}" for name, value in rows.items()))
    else:
        typer.echo("Nothing is published yet; 'idmap work' publishes.")


def publish_command(
    config: Config = SERVICE_FILE,
    approve_shrink: Annotated[
        bool,
        typer.Option(
            "--approve-shrink", help="Let the signer sign although many accounts are gone."
        ),
    ] = False,
) -> None:
    """Publish what the registry has now, as 'idmap work' does by itself.

    Needed by hand only when the signer refused: closing more accounts at once than sign.max_shrink_percent allows
    stops publication until a person has looked and approved it here. Bans are never held up.
    """
    with explained("idmap snapshot publish"):
        settings = load_service_settings(config)
        registry = bootstrap.open_registry(settings)
        try:
            store = DirectorySnapshotStore(settings.snapshot.directory)
            made = bootstrap.publisher(settings, registry, store)
            manifest = made.publish_snapshot(approve_shrink=approve_shrink)
        finally:
            registry.close()
    if manifest is not None:
        typer.echo(f"revision {manifest.revision} published")
