"""`idmap rules`: the policy as a file, what is wrong with it by line, and what it would change.

A file is read and checked here before anybody is asked: a typo needs no service and no key.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from idmap.domain.errors import IdmapError, InvalidInput
from idmap.domain.reasons import Reason
from idmap.domain.rule_schema import rules_schema
from idmap.domain.what_if import Effect
from idmap.entrypoints.cli import rule_history
from idmap.entrypoints.cli.client import AsJson, ProblemAnswered, Site, administers
from idmap.entrypoints.cli.explain import read_token
from idmap.entrypoints.cli.output import Answer, show, waiting
from idmap.entrypoints.cli.rule_files import CheckedFile, check_file
from idmap.entrypoints.cli.rule_texts import (
    PEOPLE_SHOWN,
    At,
    failure_documents,
    failure_lines,
    finding_documents,
    finding_lines,
    verdict_lines,
    what_if_lines,
)

app = typer.Typer(no_args_is_help=True, help="Which groups give which accounts.")

RulesFile = Annotated[
    Path, typer.Argument(metavar="FILE", help="Rules: TOML, YAML or JSON by its suffix.")
]
AcceptLoss = rule_history.AcceptLoss


def _check_first(*, file: Path, **_: Any) -> None:
    check_file(file)


@administers(app, "apply", before=_check_first)
def apply(
    site: Site,
    file: RulesFile,
    *,
    reason: Annotated[
        str | None, typer.Option("--reason", metavar="TEXT", help="Why; needed unless --dry-run.")
    ] = None,
    expect_version: Annotated[
        int | None,
        typer.Option("--expect-version", min=0, help="Refuse unless this is the newest version."),
    ] = None,
    accept_loss: AcceptLoss = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say who would gain and lose; save nothing.")
    ] = False,
) -> Answer:
    """Save a file as the new version of the rules.

    Its examples must come out, and nothing found in it may be an error. With --expect-version it is saved only while
    that version is the newest: read, edit, apply, and nobody's work is lost. When more people would lose their account
    than the guard's limits allow, --accept-loss says that it is meant.

    Example: idmap rules apply rules.toml --expect-version 3 --reason "new project"
    """
    checked = check_file(file)
    if dry_run:
        return _what_if(site, checked, {"people": True, "limit": PEOPLE_SHOWN})
    if reason is None:
        raise InvalidInput(Reason.REQUEST_INVALID, "--reason is needed to save rules")
    with waiting("comparing everybody on record with the rules in force"):
        saved = _by_line(
            checked,
            lambda: site.ask(
                "PUT",
                "/v1/rules",
                body=checked.file.document,
                query={"expect_version": expect_version, "accept_loss": accept_loss},
                reason=reason,
            ),
        )
    lines = [*finding_lines(saved["findings"], checked.file.at), rule_history.saved_line(saved)]
    return Answer(saved, text="\n".join(lines))


def _examples_alone(
    *, file: Path | None, named: Path | None, examples: bool, **_: Any
) -> Answer | None:
    """Without the service: whether the file's examples come out."""
    file = file or named
    if file is None:
        if examples:
            raise InvalidInput(Reason.REQUEST_INVALID, "--examples: of which FILE?")
        return None
    checked = check_file(file)
    if not examples:
        return None
    found = {
        "examples": len(checked.rules.examples),
        "failing_examples": failure_documents(checked.failing),
        "findings": finding_documents(checked.findings),
    }
    lines = [
        *finding_lines(found["findings"], checked.file.at),  # type: ignore[arg-type]  # made above
        *failure_lines(found["failing_examples"], checked.file.at),  # type: ignore[arg-type]
    ]
    if checked.failing:
        told = f"{len(checked.failing)} of {len(checked.rules.examples)} examples fail"
        raise IdmapError(Reason.RULE_EXAMPLE_FAILED, "\n".join([told, *lines]))
    lines.append(f"{len(checked.rules.examples)} examples come out as they say.")
    return Answer(found, text="\n".join(lines))


@administers(app, "test", before=_examples_alone)
def try_rules(
    site: Site,
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="Rules to try; without it, those in force."),
    ] = None,
    *,
    named: Annotated[Path | None, typer.Option("--file", hidden=True)] = None,
    examples: Annotated[
        bool, typer.Option("--examples", help="Only the file's own examples; asks no service.")
    ] = False,
    issuer: Annotated[
        str | None,
        typer.Option("--issuer", help="With --subject: one person. Else an opaque token's."),
    ] = None,
    subject: Annotated[str | None, typer.Option("--subject")] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file",
            metavar="FILE",
            allow_dash=True,
            help="Whoever's access token this is; - reads standard input.",
        ),
    ] = None,
    door: Annotated[
        str | None,
        typer.Option("--door", help="With --token-file: where it is shown, as in ssh:login."),
    ] = None,
    people: Annotated[
        bool, typer.Option("--people", help="Of everybody: also who they are.")
    ] = False,
    effect: Annotated[
        Effect | None, typer.Option("--effect", help="With --people: those whom this reaches.")
    ] = None,
    after: Annotated[
        str | None, typer.Option("--after", metavar="NEXT", help="With --people: the next page.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000)] = 100,
) -> Answer:
    """Say who would gain and who would lose, or what one person would get. Saves nothing.

    Of everybody on record by counts, with --people by name too; of one person by --issuer and --subject, or by a token
    at a door. The token goes to the service over TLS, and is not kept.

    Example: idmap rules test rules.toml --people --effect loses
    """
    del examples  # answered before the service is asked
    file = file or named
    checked = None if file is None else check_file(file)
    body: dict[str, Any] = {}
    if token_file is not None:
        if door is None or subject is not None:
            raise InvalidInput(
                Reason.REQUEST_INVALID, "--token-file wants --door, and no --subject"
            )
        body = {"token": read_token(token_file), "door": door, "issuer": issuer}
    elif (issuer is None) != (subject is None):
        raise InvalidInput(Reason.REQUEST_INVALID, "--issuer and --subject come together")
    elif issuer is not None:
        body = {"identity": {"issuer": issuer, "subject": subject}}
    if body:
        found = _tried(site, checked, body)
        return Answer(found, text="\n".join([*_found(found, checked), *verdict_lines(found)]))
    asked = {"people": people, "effect": effect, "after": after, "limit": limit} if people else {}
    return _what_if(site, checked, asked)


@app.command("schema")
def show_schema(*, as_json: AsJson = False) -> None:
    """Print the JSON Schema of rule documents, for editors and pipelines."""
    document = rules_schema()
    show(Answer(document, text=json.dumps(document, indent=2)), as_json=as_json)


rule_history.register(app)


def _what_if(site: Site, checked: CheckedFile | None, asked: dict[str, Any]) -> Answer:
    with waiting("deciding for everybody on record, with both versions"):
        found = _tried(site, checked, asked)
    return Answer(found, text="\n".join([*_found(found, checked), *what_if_lines(found)]))


def _tried(site: Site, checked: CheckedFile | None, body: dict[str, Any]) -> dict[str, Any]:
    wanted = {name: value for name, value in body.items() if value is not None}
    if checked is None:
        answer: dict[str, Any] = site.post("/v1/rules/test", wanted)
        return answer
    document = checked.file.document
    return _by_line(checked, lambda: site.post("/v1/rules/test", {**wanted, "document": document}))


def _found(found: dict[str, Any], checked: CheckedFile | None) -> list[str]:
    at: At = str if checked is None else checked.file.at
    return [
        *failure_lines(found["failing_examples"], at),
        *finding_lines(found["findings"], at),
    ]


def _by_line(checked: CheckedFile, ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What the service refuses, with the line of the file."""
    try:
        return ask()
    except ProblemAnswered as error:
        raise checked.file.problem(error) from None
