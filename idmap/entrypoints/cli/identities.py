"""`idmap identities`: what is on record about federated identities, and whose account they are linked to."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from idmap.domain.linking import EvidenceState
from idmap.entrypoints.cli.client import Site, Why, administers
from idmap.entrypoints.cli.lists import After, IssuerOption, Limit, Whole, pages_of
from idmap.entrypoints.cli.output import Answer, Pages, as_fields, moment

app = typer.Typer(no_args_is_help=True, help="Federated identities: show, link, unlink, evidence.")
evidence = typer.Typer(
    no_args_is_help=True, help="What issuers say of people's other ids: list, approve, refuse."
)
app.add_typer(evidence, name="evidence")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Username, or uid number.")]
Issuer = Annotated[str, typer.Option("--issuer", help="The exact string.")]
Subject = Annotated[str, typer.Option("--subject", help="The exact string.")]
Number = Annotated[int, typer.Argument(metavar="ID", help="As 'evidence list' shows it.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would happen.")]


@administers(app, "list")
def list_identities(
    site: Site,
    *,
    issuer: IssuerOption = None,
    subject_prefix: Annotated[
        str | None,
        typer.Option("--subject-prefix", help="With --issuer: how the subject begins."),
    ] = None,
    linked: Annotated[
        bool | None, typer.Option("--linked/--unlinked", help="With an account, or without.")
    ] = None,
    active: Annotated[
        bool | None, typer.Option("--active/--inactive", help="Active at its source, or not.")
    ] = None,
    robot: Annotated[bool | None, typer.Option("--robots/--people")] = None,
    group: Annotated[
        str | None, typer.Option("--group", metavar="PATH", help="In this federated group.")
    ] = None,
    after: After = None,
    limit: Limit = 100,
    whole: Whole = False,
) -> Pages:
    """List the identities on record.

    Example: idmap identities list --unlinked --group atlas/users --all
    """
    return pages_of(
        site,
        "/v1/identities",
        "identities",
        ("SUBJECT", "ISSUER", "ACCOUNT", "ACTIVE", "GROUPS"),
        lambda i, _: (
            i["identity"]["subject"],
            i["identity"]["issuer"],
            None if i["account"] is None else i["account"]["username"],
            i["active_at_source"],
            i["groups"],
        ),
        after=after,
        limit=limit,
        whole=whole,
        issuer=issuer,
        subject_prefix=subject_prefix,
        linked=linked,
        active=active,
        robot=robot,
        group=group,
    )


@administers(app, "show")
def show_identity(
    site: Site,
    *,
    issuer: Issuer,
    subject: Subject,
) -> Answer:
    """Show one identity: its groups, its account, its bans."""
    found = site.tagged("/v1/identities", issuer=issuer, subject=subject)
    account = found["account"]
    return as_fields(
        found,
        [
            ("identity", f"{subject} @ {issuer}"),
            ("active at source", found["active_at_source"]),
            ("groups", found["groups"]),
            ("account", None if account is None else f"{account['username']} ({account['uid']})"),
            ("state", None if account is None else account["state"]),
            *(("ban", f"{ban['id']}: {ban['reason']}") for ban in found["bans"]),
            ("etag", found["etag"]),
        ],
    )


@administers(app, "link", edits=True)
def link(
    site: Site,
    name: Name,
    *,
    issuer: Issuer,
    subject: Subject,
    reason: Why,
    dry_run: DryRun = False,
) -> Answer:
    """Link an identity to an account: one more way in for the same person.

    You vouch that both are one person; --reason says how you know. People link their own with two fresh logins.
    """
    body = {"issuer": issuer, "subject": subject, "reason": reason}
    found = site.ask("POST", _identities_of(name), body=body, query={"dry_run": dry_run})
    return _linked(found, dry_run)


@administers(app, "unlink", edits=True)
def unlink(
    site: Site,
    name: Name,
    *,
    issuer: Issuer,
    subject: Subject,
    reason: Why,
    dry_run: DryRun = False,
) -> Answer:
    """Take an identity from an account. Number and name stay with the account.

    A rule may give the identity an account of its own afterwards. Refused while a ban reaches the person.
    """
    query = {"issuer": issuer, "subject": subject, "dry_run": dry_run}
    found = site.ask("DELETE", _identities_of(name), query=query, reason=reason)
    return _linked(found, dry_run)


@administers(evidence, "list")
def list_evidence(
    site: Site,
    *,
    state: Annotated[
        EvidenceState, typer.Option("--state", help="Only these.")
    ] = EvidenceState.OPEN,
    any_kind: Annotated[
        bool, typer.Option("--any", help="Also what no door here takes, and what is linked.")
    ] = False,
    after: After = None,
    limit: Limit = 100,
    whole: Whole = False,
) -> Pages:
    """List what issuers say of people's other ids. It links nobody by itself.

    Example: idmap identities evidence list --all
    """
    return pages_of(
        site,
        "/v1/links/evidence",
        "evidence",
        ("ID", "ACCOUNT", "IDENTITY", "IS SAID TO BE", "KIND", "SINCE", "ALSO CLAIMED BY"),
        lambda one, _: (
            one["id"],
            one["account"],
            _identity(one["identity"]),
            _identity(one["claims"]),
            one["claims"]["kind"],
            moment(one["first_seen"]),
            [_identity(rival) for rival in one["rivals"]],
        ),
        after=after,
        limit=limit,
        whole=whole,
        state=state,
        linkable=not any_kind and state is EvidenceState.OPEN,
    )


@administers(evidence, "approve", edits=True)
def approve_evidence(site: Site, number: Number, *, reason: Why, dry_run: DryRun = False) -> Answer:
    """Link the claimed identity to the person's account."""
    return _linked(_settle(site, number, "approve", reason, dry_run), dry_run)


@administers(evidence, "refuse", edits=True)
def refuse_evidence(site: Site, number: Number, *, reason: Why, dry_run: DryRun = False) -> Answer:
    """Refuse a claim. It stays refused when the source says it again."""
    found = _settle(site, number, "refuse", reason, dry_run)
    would = "would be" if dry_run else "is"
    return Answer(found, text=f"Evidence {number} {would} refused: {_identity(found['claims'])}")


def _settle(site: Site, number: int, verb: str, reason: str, dry_run: bool) -> Any:
    path = f"/v1/links/evidence/{number}/{verb}"
    return site.ask("POST", path, body={"reason": reason}, query={"dry_run": dry_run})


def _identities_of(name: str) -> str:
    return f"/v1/accounts/{quote(name, safe='')}/identities"


def _linked(found: dict[str, Any], dry_run: bool) -> Answer:
    would = "would have" if dry_run else "has"
    listed = "".join(f"\n  {_identity(identity)}" for identity in found["identities"])
    return Answer(found, text=f"{found['account']['username']} {would} the identities:{listed}")


def _identity(identity: dict[str, str]) -> str:
    return f"{identity['subject']} @ {identity['issuer']}"
