"""`idmap keys`: making the signing keys and showing what nodes pin."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated

import typer

from idmap.adapters.snapshot.keys import PublicKey, Role, generate_keys, load_keys
from idmap.domain.errors import IdmapError
from idmap.entrypoints.cli.host_options import Config
from idmap.entrypoints.settings import SERVICE_FILE, load_service_settings

app = typer.Typer(
    no_args_is_help=True, help="Signing keys: make them once, pin them on every node."
)

_Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of agent.toml lines.")]


@app.command()
def generate(config: Config = SERVICE_FILE, as_json: _Json = False) -> None:
    """Make the manifest key and the bans key, and print the lines for agent.toml.

    Refuses when there are keys already: a key that nodes have pinned is never overwritten.
    """
    try:
        directory = load_service_settings(config).sign.keys_directory
        made = generate_keys(directory)
    except IdmapError as error:
        raise _fail(error) from None
    except OSError as error:
        typer.echo(f"idmap keys: {error.filename}: {error.strerror}", err=True)
        raise typer.Exit(1) from None
    _show(made, as_json)


@app.command("list")
def list_keys(config: Config = SERVICE_FILE, as_json: _Json = False) -> None:
    """Print the public keys as the lines that agent.toml wants. Needs to read the key files."""
    try:
        keys = load_keys(load_service_settings(config).sign.keys_directory)
    except IdmapError as error:
        raise _fail(error) from None
    _show({role: key.public for role, key in keys.items()}, as_json)


def _show(keys: Mapping[Role, PublicKey], as_json: bool) -> None:
    if as_json:
        rows = {str(role): {"public_key": str(k), "key_id": k.key_id} for role, k in keys.items()}
        typer.echo(json.dumps(rows, indent=2))
        return
    typer.echo("[trust]")
    for role, key in keys.items():
        typer.echo(f'{role}_keys = ["{key}"]')


def _fail(error: IdmapError) -> typer.Exit:
    typer.echo(f"idmap keys: {error.detail} [{error.reason}]", err=True)
    return typer.Exit(1)
