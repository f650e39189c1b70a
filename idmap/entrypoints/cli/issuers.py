"""`idmap issuers`: whom the site trusts, and for what.

`add` looks at the issuer's discovery document once, because a person asked for it, shows what it says, and refuses
what does not fit (`idmap.domain.discovery`). It asks for nothing that can be read there or in a ready-made profile.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import httpx2
import typer

from idmap.domain.discovery import check_found, parse_found
from idmap.domain.errors import InvalidInput, SourceFailed
from idmap.domain.issuer_document import parse_profile, profile_document
from idmap.domain.issuers import GroupsDialect, ProfileName, RobotRule
from idmap.domain.profiles import READY_MADE
from idmap.domain.reasons import Reason
from idmap.entrypoints.cli.client import Site, Why, administers, tls_context
from idmap.entrypoints.cli.output import Answer, as_fields, as_table, show

app = typer.Typer(no_args_is_help=True, help="Whom the site trusts, and for what.")

MAX_DISCOVERY = 256 * 1024
"""Discovery documents are a few KiB."""

Exact = Annotated[str, typer.Argument(metavar="ISSUER", help="The issuer's exact string.")]


@administers(app, "add", edits=True)
def add(
    site: Site,
    issuer: Exact,
    *,
    reason: Why,
    audience: Annotated[
        list[str] | None,
        typer.Option(
            "--audience",
            metavar="DOOR=AUDIENCE",
            help="An audience and the door it opens, as in api=… or ssh:login=…; may be repeated.",
        ),
    ] = None,
    profile: Annotated[
        ProfileName,
        typer.Option("--profile", help="Ready-made profile; see 'idmap issuers profiles'."),
    ] = ProfileName.INDIGO_IAM,
    alias: Annotated[
        list[str] | None,
        typer.Option("--alias", metavar="STRING", help="Another exact string of the same issuer."),
    ] = None,
    record_groups: Annotated[
        bool,
        typer.Option(
            "--record-groups",
            help="Let a newcomer's token put its groups on record (POST /v1/me/account).",
        ),
    ] = False,
    subject_claim: Annotated[
        str | None,
        typer.Option("--subject-claim", metavar="CLAIM", help="The stable claim, if not sub."),
    ] = None,
    algorithm: Annotated[
        list[str] | None,
        typer.Option("--algorithm", metavar="NAME", help="Replaces the profile's; repeatable."),
    ] = None,
    groups_claim: Annotated[
        list[str] | None,
        typer.Option(
            "--groups-claim",
            metavar="CLAIM=DIALECT",
            help=f"Replaces the profile's; dialects: {', '.join(GroupsDialect)}.",
        ),
    ] = None,
    urn_namespace: Annotated[
        str | None,
        typer.Option("--urn-namespace", metavar="URN", help="The namespace of its entitlements."),
    ] = None,
    urn_authority: Annotated[
        list[str] | None,
        typer.Option(
            "--urn-authority",
            metavar="NAME",
            help="Who may vouch for entitlements; empty for URNs that do not say. Repeatable.",
        ),
    ] = None,
    parents_implied: Annotated[
        bool,
        typer.Option("--parents-implied", help="A member of vo/sub counts as one of vo."),
    ] = False,
    assurance: Annotated[
        list[str] | None,
        typer.Option(
            "--assurance", metavar="VALUE", help="Want one of these in eduperson_assurance."
        ),
    ] = None,
    acr: Annotated[
        list[str] | None,
        typer.Option("--acr", metavar="DOOR=VALUE", help="Want one of these acr at that door."),
    ] = None,
    robots: Annotated[
        RobotRule, typer.Option("--robots", help="Tokens of clients and hosts.")
    ] = RobotRule.REFUSE,
    introspection_client: Annotated[
        str | None,
        typer.Option(
            "--introspection-client",
            metavar="CLIENT_ID",
            help="Ask the issuer about opaque tokens, as this client of the site's.",
        ),
    ] = None,
    introspection_secret: Annotated[
        str | None,
        typer.Option(
            "--introspection-secret",
            metavar="NAME",
            help="The section of the service's settings that holds the client's secret.",
        ),
    ] = None,
    discovery: Annotated[
        bool,
        typer.Option("--discovery/--no-discovery", help="Look at the issuer's metadata first."),
    ] = True,
    issuer_ca_file: Annotated[
        Path | None,
        typer.Option("--issuer-ca-file", metavar="FILE", help="Trust this CA for the issuer."),
    ] = None,
) -> Answer:
    """Trust an issuer, or replace its profile, and show what its metadata says.

    The string must be the one that its tokens carry in `iss`, byte for byte. Each --audience opens one kind of door.
    To replace a profile and nothing that changed since, give the etag that 'show' printed with --if-match.

    Example: idmap issuers add https://iam.example/ --audience api=idmap --reason "our community"
    """
    given: dict[str, Any] = {
        "subject_claim": subject_claim,
        "algorithms": algorithm,
        "groups_claims": dict(_pair("--groups-claim", pair) for pair in groups_claim or ()),
        "urn_namespace": urn_namespace,
        "urn_authorities": urn_authority,
        "required_assurance": assurance,
        "required_acr": _by_door("--acr", acr),
    }
    if introspection_client is not None or introspection_secret is not None:
        given["introspection"] = {"client_id": introspection_client, "secret": introspection_secret}
    wanted = parse_profile(
        {
            "issuer": issuer,
            "audiences": _by_door("--audience", audience),
            "profile": str(profile),
            "aliases": list(alias or ()),
            "record_groups_from_tokens": record_groups,
            "parents_implied": parents_implied,
            "robots": str(robots),
            **{member: value for member, value in given.items() if value},
        }
    )
    found = None
    if discovery:
        found = parse_found(fetch_discovery(issuer, issuer_ca_file))
        check_found(found, wanted)
    saved = site.ask("PUT", "/v1/issuers", body=profile_document(wanted), reason=reason)
    if found is None:
        return Answer(saved, text=f"Trusted: {issuer}")
    said = [(f"its {name.replace('_', ' ')}", v) for name, v in found.as_document().items() if v]
    read = ", ".join(f"{name} ({dialect})" for name, dialect in wanted.groups_claims.items())
    trusted = [("Trusted", issuer), ("groups are read from", read), *said]
    return as_fields({**saved, "found": found.as_document()}, trusted)


@app.command("profiles")
def profiles(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the ready-made profiles; asks nobody."""
    document = {
        "profiles": [
            {"name": name, "summary": r.summary, "needs": list(r.needs), "members": dict(r.members)}
            for name, r in READY_MADE.items()
        ]
    }
    rows = ((name, ready.summary, ready.needs) for name, ready in READY_MADE.items())
    show(as_table(document, ("PROFILE", "FOR", "NEEDS"), rows), as_json=as_json)


def _by_door(option: str, pairs: list[str] | None) -> dict[str, list[str]]:
    doors: dict[str, list[str]] = {}
    for pair in pairs or ():
        door, value = _pair(option, pair)
        doors.setdefault(door, []).append(value)
    return doors


def _pair(option: str, pair: str) -> tuple[str, str]:
    name, separator, value = pair.partition("=")
    if not name or not separator or not value:
        raise InvalidInput(Reason.REQUEST_INVALID, f"{option} {pair}: NAME=VALUE is needed")
    return name, value


@administers(app, "list")
def list_issuers(site: Site) -> Answer:
    """List the trusted issuers.

    Example: idmap issuers list --json
    """
    document = site.get("/v1/issuers")
    return as_table(
        document,
        ("ISSUER", "PROFILE", "DOORS", "RECORDS GROUPS"),
        (
            (i["issuer"], i["profile"], sorted(i["audiences"]), i["record_groups_from_tokens"])
            for i in document["issuers"]
        ),
    )


@administers(app, "show")
def show_issuer(site: Site, issuer: Exact) -> Answer:
    """Show one issuer's profile, with the audiences of every door, and its etag.

    Example: idmap issuers show https://iam.example/
    """
    document = site.tagged("/v1/issuers", issuer=issuer)
    audiences = [(f"audience {d}", a) for d, a in document["audiences"].items()]
    plain = [(name, value) for name, value in document.items() if name != "audiences"]
    return as_fields(document, [*plain, *audiences])


@administers(app, "remove", edits=True)
def remove(site: Site, issuer: Exact, *, reason: Why) -> Answer:
    """Stop trusting an issuer. Accounts stay; its tokens open nothing."""
    document = site.ask("DELETE", "/v1/issuers", query={"issuer": issuer}, reason=reason)
    return Answer(document, text=f"No longer trusted: {issuer}")


def fetch_discovery(issuer: str, ca_file: Path | None) -> Mapping[str, Any]:
    """The issuer's metadata (OpenID Connect Discovery §4). Raises SourceFailed(SOURCE_UNAVAILABLE)."""
    url = issuer.rstrip("/") + "/.well-known/openid-configuration"
    try:
        with (
            httpx2.Client(verify=tls_context(ca_file), timeout=20, trust_env=False) as client,
            client.stream("GET", url) as answer,
        ):
            data = b""
            for part in answer.iter_bytes():
                data += part
                if len(data) > MAX_DISCOVERY:
                    raise ValueError("larger than any discovery document")
        if answer.status_code != 200:
            raise ValueError(f"answered {answer.status_code}")
        document = json.loads(data)
        if not isinstance(document, dict):
            raise TypeError("not a JSON object")
    except (httpx2.HTTPError, ValueError, TypeError, RecursionError) as error:
        raise SourceFailed(Reason.SOURCE_UNAVAILABLE, f"{url}: {error}") from error
    return document
