"""`idmap issuers add`: every member of an issuer's profile as an option, and what its metadata says beside them.

It looks at the issuer's discovery document once, because a person asked for it, shows what it says, and refuses what
does not fit (`idmap.domain.discovery`). It asks for nothing that can be read there or in a ready-made profile. A
client's secret is never an option: it is in a 0600 file of the service, and only the name of its section is given.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import httpx2
import typer

from idmap.domain.discovery import Found, check_found, parse_found
from idmap.domain.errors import InvalidInput, SourceFailed
from idmap.domain.introspection import OnTimeout, Userinfo
from idmap.domain.issuer_document import parse_profile, profile_document
from idmap.domain.issuers import (
    DEFAULT_LEEWAY_SECONDS,
    DEFAULT_MAX_AGE_SECONDS,
    GroupsDialect,
    IssuerProfile,
    ProfileName,
    RobotRule,
)
from idmap.domain.reasons import Reason
from idmap.entrypoints.cli.client import Site, tls_context
from idmap.entrypoints.cli.output import Answer, as_fields

MAX_DISCOVERY = 256 * 1024
"""Discovery documents are a few KiB."""

Exact = Annotated[str, typer.Argument(metavar="ISSUER", help="The issuer's exact string.")]
_OPAQUE = "Opaque tokens"
_DEMANDS = "What its tokens must carry"
_GROUPS = "Groups"


def add(
    site: Site,
    issuer: Exact,
    *,
    reason: Annotated[
        str | None, typer.Option("--reason", metavar="TEXT", help="Why; needed unless --dry-run.")
    ] = None,
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
    subject_claim: Annotated[
        str | None,
        typer.Option("--subject-claim", metavar="CLAIM", help="The stable claim, if not sub."),
    ] = None,
    algorithm: Annotated[
        list[str] | None,
        typer.Option("--algorithm", metavar="NAME", help="Replaces the profile's; repeatable."),
    ] = None,
    accepted_type: Annotated[
        list[str] | None,
        typer.Option(
            "--type",
            metavar="TYP",
            help="Header typ, replaces the profile's; empty for an absent one. Repeatable.",
        ),
    ] = None,
    leeway: Annotated[
        int | None,
        typer.Option(
            "--leeway",
            metavar="SECONDS",
            help=f"How far clocks may differ; {DEFAULT_LEEWAY_SECONDS} unless given.",
        ),
    ] = None,
    max_age: Annotated[
        int | None,
        typer.Option(
            "--max-age",
            metavar="SECONDS",
            help=f"Longest time since iat; {DEFAULT_MAX_AGE_SECONDS} unless given.",
        ),
    ] = None,
    jwks_uri: Annotated[
        str | None,
        typer.Option("--jwks-uri", metavar="URL", help="Where its keys are, if not discovered."),
    ] = None,
    robots: Annotated[
        RobotRule, typer.Option("--robots", help="Tokens of clients and hosts.")
    ] = RobotRule.REFUSE,
    record_groups: Annotated[
        bool,
        typer.Option(
            "--record-groups",
            help="Let tokens put groups, and facts that rules ask for, on record (POST /v1/me/account).",
            rich_help_panel=_GROUPS,
        ),
    ] = False,
    groups_claim: Annotated[
        list[str] | None,
        typer.Option(
            "--groups-claim",
            metavar="CLAIM=DIALECT",
            help=f"Replaces the profile's; dialects: {', '.join(GroupsDialect)}.",
            rich_help_panel=_GROUPS,
        ),
    ] = None,
    urn_namespace: Annotated[
        str | None,
        typer.Option(
            "--urn-namespace",
            metavar="URN",
            help="The namespace of its entitlements.",
            rich_help_panel=_GROUPS,
        ),
    ] = None,
    urn_authority: Annotated[
        list[str] | None,
        typer.Option(
            "--urn-authority",
            metavar="NAME",
            help="Who may vouch for entitlements; empty for URNs that do not say. Repeatable.",
            rich_help_panel=_GROUPS,
        ),
    ] = None,
    parents_implied: Annotated[
        bool,
        typer.Option(
            "--parents-implied",
            help="A member of vo/sub counts as one of vo.",
            rich_help_panel=_GROUPS,
        ),
    ] = False,
    assurance: Annotated[
        list[str] | None,
        typer.Option(
            "--assurance",
            metavar="VALUE",
            help="Want one of these in eduperson_assurance.",
            rich_help_panel=_DEMANDS,
        ),
    ] = None,
    acr: Annotated[
        list[str] | None,
        typer.Option(
            "--acr",
            metavar="DOOR=VALUE",
            help="Want one of these acr at that door.",
            rich_help_panel=_DEMANDS,
        ),
    ] = None,
    capability: Annotated[
        list[str] | None,
        typer.Option(
            "--capability",
            metavar="DOOR=NAME",
            help="Want one of these at that door, as in component:ce=compute.create.",
            rich_help_panel=_DEMANDS,
        ),
    ] = None,
    claim: Annotated[
        list[str] | None,
        typer.Option(
            "--claim",
            metavar="NAME",
            help="Want this claim to be there; repeatable.",
            rich_help_panel=_DEMANDS,
        ),
    ] = None,
    type_claim: Annotated[
        list[str] | None,
        typer.Option(
            "--type-claim",
            metavar="VALUE",
            help="Want one of these in the claim typ.",
            rich_help_panel=_DEMANDS,
        ),
    ] = None,
    introspection_client: Annotated[
        str | None,
        typer.Option(
            "--introspection-client",
            metavar="CLIENT_ID",
            help="Ask the issuer about opaque tokens, as this client of the site's.",
            rich_help_panel=_OPAQUE,
        ),
    ] = None,
    introspection_secret: Annotated[
        str | None,
        typer.Option(
            "--introspection-secret",
            metavar="NAME",
            help="The section of the service's settings that names the client's secret file.",
            rich_help_panel=_OPAQUE,
        ),
    ] = None,
    introspection_door: Annotated[
        list[str] | None,
        typer.Option(
            "--introspection-door",
            metavar="DOOR",
            help="Opaque tokens there are this issuer's when nobody says whose; repeatable.",
            rich_help_panel=_OPAQUE,
        ),
    ] = None,
    introspection_endpoint: Annotated[
        str | None,
        typer.Option(
            "--introspection-endpoint",
            metavar="URL",
            help="If not discovered.",
            rich_help_panel=_OPAQUE,
        ),
    ] = None,
    introspection_timeout: Annotated[
        OnTimeout,
        typer.Option(
            "--introspection-timeout", help="What silence means.", rich_help_panel=_OPAQUE
        ),
    ] = OnTimeout.UNAVAILABLE,
    userinfo: Annotated[
        Userinfo,
        typer.Option(
            "--userinfo",
            help="Ask userinfo for groups, after introspection.",
            rich_help_panel=_OPAQUE,
        ),
    ] = Userinfo.NEVER,
    userinfo_endpoint: Annotated[
        str | None,
        typer.Option(
            "--userinfo-endpoint",
            metavar="URL",
            help="If not discovered.",
            rich_help_panel=_OPAQUE,
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Show what was found and what would change; save nothing."),
    ] = False,
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
    if reason is None and not dry_run:
        raise InvalidInput(Reason.REQUEST_INVALID, "--reason is needed; it goes on the record")
    given: dict[str, Any] = {
        "subject_claim": subject_claim,
        "algorithms": algorithm,
        "accepted_types": accepted_type,
        "accepted_type_claims": type_claim,
        "jwks_uri": jwks_uri,
        "leeway_seconds": leeway,
        "max_age_seconds": max_age,
        "groups_claims": dict(_pair("--groups-claim", pair) for pair in groups_claim or ()),
        "urn_namespace": urn_namespace,
        "urn_authorities": urn_authority,
        "required_assurance": assurance,
        "required_acr": _by_door("--acr", acr),
        "required_capabilities": _by_door("--capability", capability),
        "required_claims": claim,
    }
    asked: dict[str, Any] = {
        "client_id": introspection_client,
        "secret": introspection_secret,
        "doors": introspection_door or [],
        "endpoint": introspection_endpoint,
        "on_timeout": str(introspection_timeout),
        "userinfo": str(userinfo),
        "userinfo_endpoint": userinfo_endpoint,
    }
    unasked = {
        "doors": [],
        "on_timeout": str(OnTimeout.UNAVAILABLE),
        "userinfo": str(Userinfo.NEVER),
    }
    if any(value is not None and value != unasked.get(name) for name, value in asked.items()):
        given["introspection"] = asked
    wanted = parse_profile(
        {
            "issuer": issuer,
            "audiences": _by_door("--audience", audience),
            "profile": str(profile),
            "aliases": list(alias or ()),
            "record_groups_from_tokens": record_groups,
            "parents_implied": parents_implied,
            "robots": str(robots),
            **{member: value for member, value in given.items() if value not in (None, [], {})},
        }
    )
    found = None
    if discovery:
        found = parse_found(fetch_discovery(issuer, issuer_ca_file))
        check_found(found, wanted)
    if dry_run or reason is None:
        return _would_save(site, wanted, found)
    saved = site.ask("PUT", "/v1/issuers", body=profile_document(wanted), reason=reason)
    if found is None:
        return Answer(saved, text=f"Trusted: {issuer}")
    read = ", ".join(f"{name} ({dialect})" for name, dialect in wanted.groups_claims.items())
    trusted = [("Trusted", issuer), ("groups are read from", read), *_found_fields(found)]
    return as_fields({**saved, "found": found.as_document()}, trusted)


def profile_fields(document: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """A profile's document as lines for people: one for each value, tables unfolded."""
    for name, value in document.items():
        if isinstance(value, Mapping):
            yield from ((f"{name} {inner}", one) for inner, one in value.items())
        else:
            yield name, value


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


def _would_save(site: Site, wanted: IssuerProfile, found: Found | None) -> Answer:
    """What is saved now, if anything, beside what would be."""
    document = profile_document(wanted)
    saved: Mapping[str, Any] = next(
        (i for i in site.get("/v1/issuers")["issuers"] if i["issuer"] == wanted.issuer), {}
    )
    changed = sorted(name for name in {*document, *saved} if document.get(name) != saved.get(name))
    outcome = "would change" if saved else "would be trusted for the first time"
    fields = [
        (wanted.issuer, outcome if changed else "would stay as it is"),
        *(() if not saved else [("members that differ", changed)]),
        *profile_fields(document),
        *(() if found is None else _found_fields(found)),
    ]
    told = {"dry_run": True, "changes": changed, "profile": document}
    return as_fields({**told, "found": None if found is None else found.as_document()}, fields)


def _found_fields(found: Found) -> list[tuple[str, object]]:
    return [(f"its {name.replace('_', ' ')}", v) for name, v in found.as_document().items() if v]


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
