"""`idmap init`: making a site's registry and keys."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Annotated

import typer

from idmap.adapters.snapshot.keys import generate_keys
from idmap.application.administer import add_admin_key
from idmap.application.ports import Author
from idmap.domain.errors import InvalidInput
from idmap.domain.reasons import Reason
from idmap.domain.secrets import Secret
from idmap.entrypoints import bootstrap
from idmap.entrypoints.cli.failures import explained
from idmap.entrypoints.cli.host_options import Config
from idmap.entrypoints.clock import system_clock
from idmap.entrypoints.settings import SERVICE_FILE, load_service_settings

KeyFile = Annotated[
    Path, typer.Option("--key-file", help="Where the admin key goes, mode 0600.", dir_okay=False)
]


def init_command(
    config: Config = SERVICE_FILE, key_file: KeyFile = Path("/etc/idmap/admin.key")
) -> None:
    """Make a new site: the registry, the signing keys and the bootstrap admin key.

    Nothing that exists is overwritten. The admin key opens the admin door until administrators log in with
    their own tokens; keep it as you keep root's password.
    """
    os.umask(0o007)
    with explained("idmap init"):
        settings = load_service_settings(config)
        if key_file.exists():
            raise InvalidInput(Reason.CONFIGURATION_INVALID, f"{key_file} exists already")
        registry = bootstrap.create_registry(settings)
        try:
            keys = generate_keys(settings.sign.keys_directory)
            author = Author("idmap-init", "new site")
            secret = add_admin_key(
                registry, author, bootstrap.make_secret, "bootstrap", system_clock()
            )
            write_secret(key_file, secret)
        finally:
            registry.close()
    typer.echo(f"registry   {settings.registry.url}")
    typer.echo(f"admin key  {key_file}")
    typer.echo("\nEvery node pins these in /etc/idmap/agent.toml:\n\n[trust]")
    for role, key in keys.items():
        typer.echo(f'{role}_keys = ["{key}"]')


def write_secret(path: Path, secret: Secret) -> None:
    """A new file with mode 0600. Raises FileExistsError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, stat.S_IRUSR | stat.S_IWUSR)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{secret.reveal()}\n")
