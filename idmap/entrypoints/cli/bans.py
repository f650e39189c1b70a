"""`idmap bans`: refuse somebody now, at every door."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from idmap.domain.bans import BanKind
from idmap.domain.errors import InvalidInput
from idmap.domain.reasons import Reason
from idmap.entrypoints.cli.client import Site, Why, administers
from idmap.entrypoints.cli.lists import (
    After,
    Limit,
    SubjectOption,
    pages_of,
)
from idmap.entrypoints.cli.output import Answer, Pages, as_fields, moment

app = typer.Typer(no_args_is_help=True, help="Refuse somebody now, at every door.")

BanId = Annotated[int, typer.Argument(metavar="ID", help="As 'bans list' shows it.")]


@administers(app, "add")
def add(
    site: Site,
    *,
    reason: Why,
    account: Annotated[str | None, typer.Option("--account", help="A username.")] = None,
    issuer: Annotated[
        str | None,
        typer.Option(
            "--issuer",
            help="Alone: every token of it. With one of the next three: whose that is.",
        ),
    ] = None,
    subject: Annotated[
        str | None, typer.Option("--subject", help="With --issuer: an identity.")
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            "--group",
            metavar="PATH",
            help="With --issuer: all who are recorded in it, now or later.",
        ),
    ] = None,
    token_id: Annotated[
        str | None,
        typer.Option("--token-id", metavar="JTI", help="With --issuer: the one token of this id."),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(
            "--until",
            formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"],
            metavar="TIME",
            help="End (UTC); without it, until lifted.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say how many accounts it would close.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Ban a whole issuer, having seen what that closes.")
    ] = False,
) -> Answer:
    """Ban an account, an identity, a group, an issuer or a token.

    It holds from the next request on, and on nodes within a second. An issuer is banned only with --yes: without it,
    the command says how many accounts that would close.

    Example: idmap bans add --account alice --until 2026-12-31 --reason "stolen laptop"
    """
    what = _what(account, issuer, subject, group, token_id)
    body: dict[str, Any] = {"reason": reason, **what}
    if until is not None:
        body["until"] = until.replace(tzinfo=UTC).isoformat()
    if dry_run or ("issuer" in what and not yes):
        found = site.ask("POST", "/v1/bans", body=body, query={"dry_run": True})
        if not dry_run:
            told = "; ".join([f"it closes {_accounts(found)}", *found["warnings"]])
            raise InvalidInput(Reason.REQUEST_INVALID, f"{told}. If that is meant, add --yes")
        return Answer(
            found, text="\n".join([f"It would close {_accounts(found)}.", *_warned(found)])
        )
    made = site.post("/v1/bans", body)
    many = f" It closes {_accounts(made)}." if {"group", "issuer"} & what.keys() else ""
    return Answer(made, text="\n".join([f"Ban {made['id']} holds.{many}", *_warned(made)]))


@administers(app, "list")
def list_bans(
    site: Site,
    *,
    account: Annotated[
        str | None, typer.Option("--account", help="That reach this account.")
    ] = None,
    kind: Annotated[BanKind | None, typer.Option("--kind", help="What they are of.")] = None,
    issuer: Annotated[
        str | None, typer.Option("--issuer", help="That name this issuer, or something of it.")
    ] = None,
    subject: SubjectOption = None,
    group: Annotated[
        str | None, typer.Option("--group", metavar="PATH", help="Of a group with this path.")
    ] = None,
    token_id: Annotated[
        str | None, typer.Option("--token-id", metavar="JTI", help="Of a token with this id.")
    ] = None,
    author: Annotated[str | None, typer.Option("--author", help="Ordered by.")] = None,
    expired: Annotated[
        bool, typer.Option("--expired", help="Those over by their date too.")
    ] = False,
    after: After = None,
    limit: Limit = 1000,
    whole: Annotated[
        bool, typer.Option("--all", help="Every page, and those over by their date too.")
    ] = False,
) -> Pages:
    """List the bans in force.

    Example: idmap bans list --account alice --expired
    """
    return pages_of(
        site,
        "/v1/bans",
        "bans",
        ("ID", "WHO", "REASON", "BY", "SINCE", "UNTIL"),
        lambda b, _: (
            b["id"],
            _who(b),
            b["reason"],
            b["author"],
            moment(b["since"]),
            moment(b["until"]),
        ),
        after=after,
        limit=limit,
        whole=whole,
        account=account,
        kind=kind,
        issuer=issuer,
        subject=subject,
        group=group,
        token_id=token_id,
        author=author,
        all=expired or whole,
    )


@administers(app, "show")
def show_ban(site: Site, ban: BanId) -> Answer:
    """Show one ban and its etag.

    Example: idmap bans show 7
    """
    found = site.tagged(f"/v1/bans/{ban}")
    return as_fields(
        found,
        [
            ("id", found["id"]),
            ("of", found["kind"]),
            ("who", _who(found)),
            ("reason", found["reason"]),
            ("by", found["author"]),
            ("since", moment(found["since"])),
            ("until", moment(found["until"])),
            ("etag", found["etag"]),
        ],
    )


@administers(app, "lift", edits=True)
def lift(
    site: Site,
    ban: BanId,
    *,
    reason: Why,
) -> Answer:
    """Lift a ban. It stays on the record."""
    document = site.ask("DELETE", f"/v1/bans/{ban}", reason=reason)
    return Answer(document, text=f"Ban {ban} is lifted.")


def _what(
    account: str | None,
    issuer: str | None,
    subject: str | None,
    group: str | None,
    token_id: str | None,
) -> dict[str, Any]:
    """The member of the request that says what is banned. Raises InvalidInput(REQUEST_INVALID)."""
    parts = {"subject": subject, "group": group, "token_id": token_id}
    given = {name: value for name, value in parts.items() if value is not None}
    if issuer is None and given:
        name = min(given).replace("_", "-")
        raise InvalidInput(Reason.REQUEST_INVALID, f"--{name} goes with --issuer")
    if (account is None) == (issuer is None) or len(given) > 1:
        raise InvalidInput(
            Reason.REQUEST_INVALID,
            "either --account, or --issuer alone or with one of --subject, --group, --token-id",
        )
    if account is not None:
        return {"account": account}
    if subject is not None:
        return {"identity": {"issuer": issuer, "subject": subject}}
    if group is not None:
        return {"group": {"issuer": issuer, "path": group}}
    if token_id is not None:
        return {"token": {"issuer": issuer, "token_id": token_id}}
    return {"issuer": issuer}


def _accounts(found: Mapping[str, Any]) -> str:
    return f"{found['closes']} account{'' if found['closes'] == 1 else 's'}"


def _warned(found: Mapping[str, Any]) -> list[str]:
    return [f"Warning: {warning}." for warning in found["warnings"]]


def _who(ban: Mapping[str, Any]) -> str:
    identity, group, token = ban["identity"], ban["group"], ban["token"]
    if identity is not None:
        return f"{identity['subject']} @ {identity['issuer']}"
    if group is not None:
        return f"group {group['path']} @ {group['issuer']}"
    if token is not None:
        return f"token {token['token_id']} @ {token['issuer']}"
    return f"account {ban['account_id']}" if ban["issuer"] is None else f"issuer {ban['issuer']}"
