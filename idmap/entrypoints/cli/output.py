"""What administrators' commands print: a table for people, the service's own JSON with `--json`.

Standard output carries the answer and nothing else; problems go to standard error with their code and next
step. What came over the network is never read as markup.
"""

from __future__ import annotations

import itertools
import json
import os
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from idmap.domain.errors import InvalidInput
from idmap.domain.reasons import Reason


@dataclass(frozen=True, slots=True)
class Answer:
    """A command's result: the document for `--json`, and how people read it."""

    document: Any
    text: str = ""
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Pages:
    """A list that is printed as it comes, page by page: what is held is one page, whatever the list's length."""

    documents: Iterator[Mapping[str, Any]]
    """At least one; each as the service answered it."""
    member: str
    """Of the documents: the list itself."""
    columns: tuple[str, ...]
    row: Callable[[Mapping[str, Any], Mapping[str, Any]], Sequence[object]]
    """The cells of one item, of its document."""
    whole: bool
    """All pages were asked for: `--json` prints one document with every item."""


def as_table(document: Any, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Answer:
    """An answer of many of a kind."""
    cells = tuple(tuple(_cell(value) for value in row) for row in rows)
    return Answer(document, columns=tuple(columns), rows=cells, text="" if cells else "none")


def as_fields(document: Any, fields: Iterable[tuple[str, object]]) -> Answer:
    """An answer about one thing."""
    pairs = [(name, _cell(value)) for name, value in fields]
    width = max((len(name) for name, _ in pairs), default=0)
    return Answer(document, text="\n".join(f"{name:<{width}}  {value}" for name, value in pairs))


def show(answer: Answer | Pages, *, as_json: bool) -> None:
    """Prints an answer."""
    if isinstance(answer, Pages):
        (_show_json if as_json else _show_pages)(answer)
        return
    if as_json:
        typer.echo(json.dumps(answer.document, indent=2, ensure_ascii=True))
        return
    if answer.rows:
        _print_rows(answer.columns, answer.rows, _widths(answer.columns, answer.rows))
    if answer.text:
        typer.echo(answer.text)


def _show_pages(pages: Pages) -> None:
    """One line per item. The first page sets the columns' widths; what is wider later stands out, and is not cut."""
    header: tuple[str, ...] = pages.columns
    widths: tuple[int, ...] = ()
    for document in pages.documents:
        rows = [tuple(map(_cell, pages.row(item, document))) for item in document[pages.member]]
        widths = widths or _widths(pages.columns, rows)
        if not rows and header:
            typer.echo("none")
        else:
            _print_rows(header, rows, widths)
        header = ()
        if document["next"] is not None and not pages.whole:
            typer.echo(f"more: --after {shlex.quote(_cell(document['next']))}")


def _show_json(pages: Pages) -> None:
    """The service's document; with all pages, one such document that is written as it comes."""
    first = next(pages.documents)
    if not pages.whole:
        typer.echo(json.dumps(first, indent=2, ensure_ascii=True))
        return
    beside = {name: v for name, v in first.items() if name not in (pages.member, "next")}
    members = {**beside, "next": None}
    typer.echo(f"{{{json.dumps(pages.member)}: [", nl=False)
    separator = "\n"
    for document in itertools.chain([first], pages.documents):
        for item in document[pages.member]:
            typer.echo(separator + json.dumps(item, ensure_ascii=True), nl=False)
            separator = ",\n"
    typer.echo("\n], " + json.dumps(members, ensure_ascii=True)[1:])


def _widths(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> tuple[int, ...]:
    return tuple(max(map(len, column)) for column in zip(columns, *rows, strict=True))


def _print_rows(
    header: Sequence[str], rows: Iterable[Sequence[str]], widths: Sequence[int]
) -> None:
    """Columns two blanks apart, none behind the last; the same to a terminal, a file and a pipe."""
    for row in ([header] if header else []) + list(rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())


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


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """For what may take seconds: a person at a terminal sees what is being done; pipes and files see nothing."""
    console = Console(stderr=True, markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        yield
        return
    with console.status(f"{what} …"):
        yield


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
