"""`idmap issuers`: whom the site trusts, and for what.

`add` looks at the issuer's discovery document once, because a person asked for it, and compares the issuer's
own spelling byte for byte: two strings that differ by a slash are two issuers. Nothing is guessed or repaired.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import httpx2
import typer

from idmap.domain.errors import IdmapError, InvalidInput, SourceFailed
from idmap.domain.issuer_document import parse_profile, profile_document
from idmap.domain.issuers import IssuerProfile, ProfileName
from idmap.domain.reasons import Reason
from idmap.entrypoints.cli.client import Site, Why, administers, tls_context
from idmap.entrypoints.cli.output import Answer, as_fields, as_table

app = typer.Typer(no_args_is_help=True, help="Whom the site trusts, and for what.")

MAX_DISCOVERY = 256 * 1024
"""Discovery documents are a few KiB."""

Exact = Annotated[str, typer.Argument(metavar="ISSUER", help="The issuer's exact string.")]


@administers(app, "add")
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
        ProfileName, typer.Option("--profile", help="Ready-made profile.")
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
    discovery: Annotated[
        bool,
        typer.Option("--discovery/--no-discovery", help="Look at the issuer's metadata first."),
    ] = True,
    issuer_ca_file: Annotated[
        Path | None,
        typer.Option("--issuer-ca-file", metavar="FILE", help="Trust this CA for the issuer."),
    ] = None,
) -> Answer:
    """Trust an issuer, or replace its profile.

    The string must be the one that its tokens carry in `iss`, byte for byte. Each --audience opens one kind of door.
    """
    doors: dict[str, list[str]] = {}
    for pair in audience or ():
        door, separator, value = pair.partition("=")
        if not separator or not value:
            raise InvalidInput(
                Reason.REQUEST_INVALID, f"--audience {pair}: DOOR=AUDIENCE is needed"
            )
        doors.setdefault(door, []).append(value)
    wanted = parse_profile(
        {
            "issuer": issuer,
            "audiences": doors,
            "profile": str(profile),
            "aliases": list(alias or ()),
            "record_groups_from_tokens": record_groups,
        }
    )
    if discovery:
        check_discovery(wanted, fetch_discovery(issuer, issuer_ca_file))
    document = profile_document(wanted)
    saved = site.ask("PUT", "/v1/issuers", body=document, reason=reason)
    return Answer(saved, text=f"Trusted: {issuer}")


@administers(app, "list")
def list_issuers(site: Site) -> Answer:
    """List the trusted issuers."""
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
    """Show one issuer's profile, with the audiences of every door."""
    for document in site.get("/v1/issuers")["issuers"]:
        if document["issuer"] == issuer:
            audiences = [(f"audience {d}", a) for d, a in document["audiences"].items()]
            plain = [(name, value) for name, value in document.items() if name != "audiences"]
            return as_fields(document, [*plain, *audiences])
    raise IdmapError(Reason.NOT_FOUND, f"issuer {issuer!r}; the string must match exactly")


@administers(app, "remove")
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


def check_discovery(wanted: IssuerProfile, document: Mapping[str, Any]) -> None:
    """Raises InvalidInput(ISSUER_INVALID) unless the metadata names exactly this issuer and has keys."""
    named = document.get("issuer")
    if named not in wanted.spells():
        hint = "that is another issuer"
        if isinstance(named, str) and named.rstrip("/") == wanted.issuer.rstrip("/"):
            hint = f"they differ by a slash; run again with {named!r}, or add --alias if tokens carry both"
        raise InvalidInput(
            Reason.ISSUER_INVALID,
            f"issuer: the metadata says {named!r}, you gave {wanted.issuer!r}: {hint}",
        )
    if not isinstance(document.get("jwks_uri"), str):
        raise InvalidInput(Reason.ISSUER_INVALID, "jwks_uri: missing from the issuer's metadata")
