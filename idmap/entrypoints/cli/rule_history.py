"""`idmap rules`: the versions that were saved, what differs between them, going back, and the pin."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from idmap.domain.rule_diff import diff_rules
from idmap.entrypoints.cli.client import Site, Why, administers
from idmap.entrypoints.cli.lists import After, Whole, pages_of
from idmap.entrypoints.cli.output import Answer, Pages, moment, waiting
from idmap.entrypoints.cli.rule_files import check_file
from idmap.entrypoints.cli.rule_texts import diff_lines
from idmap.entrypoints.cli.rule_toml import as_toml

AcceptLoss = Annotated[
    int | None,
    typer.Option(
        "--accept-loss",
        metavar="N",
        min=0,
        help="So many people may lose their account by it, whatever the guard's limits.",
    ),
]
Version = Annotated[int, typer.Argument(metavar="VERSION", min=1)]


def register(app: typer.Typer) -> None:
    """Adds these commands."""
    for name, command in (
        ("show", show_rules),
        ("versions", list_versions),
        ("diff", show_diff),
        ("rollback", roll_back),
        ("pin", pin_version),
        ("unpin", unpin),
    ):
        administers(app, name)(command)


def show_rules(
    site: Site,
    version: Annotated[
        int | None, typer.Option("--version", min=1, help="Another than the newest.")
    ] = None,
    *,
    toml: Annotated[bool, typer.Option("--toml", help="As TOML, to edit.")] = False,
) -> Answer:
    """Print the rules as saved, as JSON or TOML that 'rules apply' reads.

    The newest version, whichever is in force; TOML says which that is.
    """
    path = "/v1/rules" if version is None else f"/v1/rules/versions/{version}"
    found = site.get(path)
    if not found["document"]:
        return Answer(found, text="no rules yet")
    if not toml:
        return Answer(found, text=json.dumps(found["document"], indent=2))
    in_force = found["in_force"]
    said = "in force" if in_force == found["version"] else f"version {in_force} is in force"
    return Answer(found, text=f"# version {found['version']}; {said}\n{as_toml(found['document'])}")


def list_versions(
    site: Site,
    *,
    after: After = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100)] = 50,
    whole: Whole = False,
) -> Pages:
    """List the versions with who saved them and why, newest first, and which one is in force.

    Example: idmap rules versions --all
    """
    return pages_of(
        site,
        "/v1/rules/versions",
        "versions",
        ("VERSION", "STATE", "SAVED", "BY", "RULES", "CLASSES", "REASON"),
        lambda v, _: (
            v["version"],
            "pinned" if v["pinned"] else "in force" if v["in_force"] else "",
            moment(v["saved_at"]),
            v["author"],
            v["rules"],
            v["classes"],
            v["reason"],
        ),
        after=after,
        limit=limit,
        whole=whole,
    )


def show_diff(
    site: Site,
    version: Version,
    other: Annotated[str, typer.Argument(metavar="VERSION|FILE", help="A version, or a file.")],
) -> Answer:
    """Show what differs between two versions, or a version and a file, like a review.

    Example: idmap rules diff 7 rules.toml
    """
    if other.isascii() and other.isdigit():
        found = site.get(f"/v1/rules/versions/{version}/diff/{other}")
        return Answer(found, text="\n".join(diff_lines(found["sections"])))
    checked = check_file(Path(other))
    document = site.get(f"/v1/rules/versions/{version}")["document"]
    sections = [section.document() for section in diff_rules(document, checked.file.document)]
    found = {"before": version, "after": None, "sections": sections}
    return Answer(found, text="\n".join(diff_lines(sections)))


def roll_back(
    site: Site,
    version: Version,
    *,
    reason: Why,
    expect_version: Annotated[
        int | None,
        typer.Option("--expect-version", min=0, help="Refuse unless this is the newest version."),
    ] = None,
    accept_loss: AcceptLoss = None,
) -> Answer:
    """Save an old version anew, after the same checks as any other.

    Example: idmap rules rollback 6 --reason "7 forgot the theory group"
    """
    with waiting("comparing everybody on record with the rules in force"):
        saved = site.ask(
            "POST",
            "/v1/rules/rollback",
            body={"version": version, "reason": reason},
            query={"expect_version": expect_version, "accept_loss": accept_loss},
        )
    return Answer(saved, text=f"Version {version} again. {saved_line(saved)}")


def pin_version(
    site: Site, version: Version, *, reason: Why, accept_loss: AcceptLoss = None
) -> Answer:
    """Keep a version in force, whatever is saved after it.

    Example: idmap rules pin 6 --reason "until the audit is over"
    """
    with waiting("comparing everybody on record with the rules in force"):
        pinned = site.ask(
            "PUT",
            "/v1/rules/pin",
            body={"version": version, "reason": reason},
            query={"accept_loss": accept_loss},
        )
    newest = "" if pinned["newest"] == version else f"; the newest is {pinned['newest']}"
    return Answer(
        pinned, text=f"Version {version} is pinned and in force{newest}.{_counts(pinned)}"
    )


def unpin(site: Site, *, reason: Why, accept_loss: AcceptLoss = None) -> Answer:
    """Let the newest version be in force again.

    Example: idmap rules unpin --reason "the audit is over"
    """
    with waiting("comparing everybody on record with the rules in force"):
        found = site.ask(
            "DELETE", "/v1/rules/pin", query={"accept_loss": accept_loss}, reason=reason
        )
    return Answer(
        found, text=f"No version is pinned; {found['newest']} is in force.{_counts(found)}"
    )


def saved_line(saved: dict[str, Any]) -> str:
    """After a save."""
    line = f"Saved as version {saved['version']}."
    if saved["in_force"] != saved["version"]:
        line += f" Version {saved['in_force']} is pinned and stays in force."
    return line + _counts(saved)


def _counts(answer: dict[str, Any]) -> str:
    counts = answer["what_if"]
    if not (counts["gains"] or counts["loses"] or counts["moves"]):
        return ""
    told = ", ".join(f"{counts[name]} {word}" for name, word in _WORDS.items() if counts[name])
    return f" Of {counts['people']} people, {told}."


_WORDS = {"gains": "gain an account", "loses": "lose theirs", "moves": "move to another rule"}
