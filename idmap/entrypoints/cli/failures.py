"""How a local command fails: one line with the code, one with the next step, exit status 1."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from idmap.domain.errors import IdmapError


@contextmanager
def explained(command: str) -> Iterator[None]:
    """Turns an IdmapError or a refused file operation into words and exit status 1."""
    try:
        yield
    except IdmapError as error:
        detail = error.detail or error.sentence
        typer.echo(f"{command}: {detail} [{error.reason}]\n{error.next_step}", err=True)
        raise typer.Exit(1) from None
    except OSError as error:
        typer.echo(f"{command}: {error.filename or ''}: {error.strerror}", err=True)
        raise typer.Exit(1) from None
