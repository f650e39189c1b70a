"""`idmap rules`: the policy as a file, and what it would change."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer

from idmap.domain.errors import IdmapError, InvalidInput
from idmap.domain.reasons import Reason
from idmap.entrypoints.cli.client import Site, administers
from idmap.entrypoints.cli.lists import After, Whole, pages_of
from idmap.entrypoints.cli.output import Answer, Pages, as_fields, moment

app = typer.Typer(no_args_is_help=True, help="Which groups give which accounts.")

RulesFile = Annotated[Path, typer.Argument(metavar="FILE", help="Rules, TOML or JSON.")]


@administers(app, "apply")
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
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say who would gain and lose; save nothing.")
    ] = False,
) -> Answer:
    """Save a file as the new version of the rules.

    With --expect-version it is saved only while that version is the newest: read, edit, apply, and nobody's work is
    lost.

    Example: idmap rules apply rules.toml --expect-version 3 --reason "new project"
    """
    document = read_rules(file)
    if dry_run:
        return _comparison(site.post("/v1/rules/test", {"document": document}))
    if reason is None:
        raise InvalidInput(Reason.REQUEST_INVALID, "--reason is needed to save rules")
    saved = site.ask("PUT", "/v1/rules", body=document, reason=reason, if_match=expect_version)
    return Answer(saved, text=f"Saved as version {saved['version']}.")


@administers(app, "show")
def show_rules(
    site: Site,
    version: Annotated[
        int | None, typer.Option("--version", min=1, help="Another than the newest.")
    ] = None,
) -> Answer:
    """Print the rules as saved, as JSON that 'rules apply' reads."""
    path = "/v1/rules" if version is None else f"/v1/rules/versions/{version}"
    found = site.get(path)
    text = json.dumps(found["document"], indent=2) if found["document"] else "no rules yet"
    return Answer(found, text=text)


@administers(app, "versions")
def list_versions(
    site: Site,
    *,
    after: After = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100)] = 50,
    whole: Whole = False,
) -> Pages:
    """List the versions with their size, newest first.

    Example: idmap rules versions --all
    """
    return pages_of(
        site,
        "/v1/rules/versions",
        "versions",
        ("VERSION", "SAVED", "BY", "RULES", "CLASSES"),
        lambda v, _: (v["version"], moment(v["saved_at"]), v["author"], v["rules"], v["classes"]),
        after=after,
        limit=limit,
        whole=whole,
    )


@administers(app, "test")
def try_rules(
    site: Site,
    *,
    file: Annotated[
        Path | None,
        typer.Option("--file", metavar="FILE", help="Rules to try; else the saved ones."),
    ] = None,
    issuer: Annotated[
        str | None, typer.Option("--issuer", help="With --subject: one person.")
    ] = None,
    subject: Annotated[str | None, typer.Option("--subject")] = None,
) -> Answer:
    """Say who would gain and who would lose, or what one person would get. Saves nothing."""
    body: dict[str, Any] = {}
    if file is not None:
        body["document"] = read_rules(file)
    if (issuer is None) != (subject is None):
        raise InvalidInput(Reason.REQUEST_INVALID, "--issuer and --subject come together")
    if issuer is None:
        return _comparison(site.post("/v1/rules/test", body))
    found = site.post(
        "/v1/rules/test", {**body, "identity": {"issuer": issuer, "subject": subject}}
    )
    rules = [
        (r["rule"], f"{r['condition']}: {'yes' if r['matched'] else 'no'}") for r in found["rules"]
    ]
    return as_fields(found, [("allowed", found["allowed"]), ("reason", found["reason"]), *rules])


def read_rules(file: Path) -> dict[str, Any]:
    """The document in a TOML or JSON file. Raises InvalidInput(RULE_INVALID)."""
    try:
        text = file.read_text(encoding="utf-8")
        document = json.loads(text) if file.suffix == ".json" else tomllib.loads(text)
        json.dumps(document)
    except OSError as error:
        raise IdmapError(Reason.RULE_INVALID, f"{file}: {error.strerror}") from error
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidInput(Reason.RULE_INVALID, f"{file}: {error}") from error
    if not isinstance(document, dict):
        raise InvalidInput(Reason.RULE_INVALID, f"{file}: a table is needed")
    return document


def _comparison(found: dict[str, Any]) -> Answer:
    names = [("gains", i) for i in found["gaining"]] + [("loses", i) for i in found["losing"]]
    counts = [(n, found[n]) for n in ("people", "entitled", "gains", "loses", "moves")]
    people = [(verb, f"{i['subject']} @ {i['issuer']}") for verb, i in names]
    return as_fields(found, [("against version", found["against_version"]), *counts, *people])
