"""What administrators' commands print: a table for people, the service's own JSON with `--json`.

Standard output carries the answer and nothing else; problems go to standard error with their code and next
step. What came over the network is never read as markup.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from idmap.domain.errors import InvalidInput
from idmap.domain.reasons import Reason


@dataclass(frozen=True, slots=True)
class Answer:
    """A command's result: the document for `--json`, and how people read it."""

    document: Any
    text: str = ""
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


def as_table(document: Any, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Answer:
    """An answer of many of a kind."""
    cells = tuple(tuple(_cell(value) for value in row) for row in rows)
    return Answer(document, columns=tuple(columns), rows=cells, text="" if cells else "none")


def as_fields(document: Any, fields: Iterable[tuple[str, object]]) -> Answer:
    """An answer about one thing."""
    pairs = [(name, _cell(value)) for name, value in fields]
    width = max((len(name) for name, _ in pairs), default=0)
    return Answer(document, text="\n".join(f"{name:<{width}}  {value}" for name, value in pairs))


def show(answer: Answer, *, as_json: bool) -> None:
    """Prints an answer."""
    if as_json:
        typer.echo(json.dumps(answer.document, indent=2, ensure_ascii=True))
        return
    console = Console(
        width=None if sys.stdout.isatty() else 160, markup=False, highlight=False, emoji=False
    )
    if answer.rows:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in answer.columns:
            table.add_column(column, overflow="fold")
        for row in answer.rows:
            table.add_row(*row)
        console.print(table)
    if answer.text:
        console.print(answer.text, soft_wrap=True)


def show_problem(
    *, sentence: str, code: str, detail: str, next_step: str, reference: str = ""
) -> None:
    """Prints why something was refused, to standard error."""
    console = Console(stderr=True, markup=False, highlight=False, emoji=False, soft_wrap=True)
    console.print(f"{sentence} [{code}]")
    if detail:
        console.print(f"Detail: {detail}")
    console.print(f"Next: {next_step}")
    if reference:
        console.print(f"Reference: {reference}")


def write_secret(out: str, secret: str) -> str:
    """Puts a new secret where it was asked for; gives a line that says where.

    `-` is standard output. A file is made with mode 0600 and must not exist, so nothing is overwritten. The
    caller checks with `check_secret_place` before the service makes the secret, which it will never tell again.
    """
    if out == "-":
        typer.echo(secret)
        return "The secret was printed; it cannot be shown again."
    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(secret + "\n")
    except OSError as error:
        raise InvalidInput(
            Reason.REQUEST_INVALID,
            f"--out {out}: {error.strerror}; revoke the credential, make another",
        ) from error
    return f"The secret is in {out} (0600); it cannot be shown again."


def check_secret_place(out: str) -> None:
    """Raises InvalidInput(REQUEST_INVALID) when the secret could not be written there."""
    if out == "-":
        return
    path = Path(out)
    if path.exists() or path.is_symlink():
        raise InvalidInput(Reason.REQUEST_INVALID, f"--out {out}: exists already")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise InvalidInput(Reason.REQUEST_INVALID, f"--out {out}: the directory cannot be written")


def moment(seconds: object) -> str:
    """A time for people, UTC."""
    if not isinstance(seconds, int):
        return ""
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return ", ".join(_cell(item) for item in value)
        case _:
            return "".join(c if c.isprintable() else "�" for c in str(value))
