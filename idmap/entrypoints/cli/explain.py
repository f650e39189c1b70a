"""`idmap explain`: why a person has, or has not, an account.

The token goes to the service, over TLS, in the request's body; it is not printed, and not on a command line where other
people's `ps` would show it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from idmap.domain.errors import InvalidInput
from idmap.domain.reasons import Reason
from idmap.entrypoints.cli.client import Site, on_site
from idmap.entrypoints.cli.output import Answer


def _explain(
    site: Site,
    *,
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file",
            metavar="FILE",
            allow_dash=True,
            help="An access token; - reads standard input.",
        ),
    ] = None,
    issuer: Annotated[
        str | None,
        typer.Option("--issuer", help="With --subject: an identity. Alone: an opaque token's."),
    ] = None,
    subject: Annotated[str | None, typer.Option("--subject")] = None,
    account: Annotated[
        str | None, typer.Option("--account", metavar="NAME", help="A username.")
    ] = None,
    door: Annotated[
        str | None, typer.Option("--door", help="At this door, as in api or ssh:login.")
    ] = None,
) -> Answer:
    """Tell why a person has, or has not, an account: every check and every rule, in order.

    Give a token, an identity, or an account. Changes nothing.
    """
    if subject is not None and issuer is None:
        raise InvalidInput(Reason.REQUEST_INVALID, "--subject needs --issuer")
    if issuer is not None and subject is None and token_file is None:
        raise InvalidInput(Reason.REQUEST_INVALID, "--issuer needs --subject or --token-file")
    if sum(given is not None for given in (token_file, subject, account)) != 1:
        raise InvalidInput(
            Reason.REQUEST_INVALID, "one of --token-file, --issuer with --subject, --account"
        )
    if token_file is None:
        document = site.get(
            "/v1/explain", issuer=issuer, subject=subject, account=account, door=door
        )
    else:
        given = {"token": read_token(token_file), "issuer": issuer, "door": door}
        body = {name: value for name, value in given.items() if value is not None}
        document = site.post("/v1/explain", body)
    stories = [_story(explanation) for explanation in document["explanations"]]
    return Answer(document, text="\n\n".join(stories) or "No identity is linked to this account.")


explain = on_site(_explain)
"""The command itself, for `idmap explain`."""


def read_token(file: Path) -> str:
    """The token in a file, or on standard input for `-`. Raises InvalidInput(REQUEST_INVALID)."""
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(
            Reason.REQUEST_INVALID, f"--token-file {file}: {type(error).__name__}"
        ) from None
    return text.strip()


def _story(explanation: dict[str, Any]) -> str:
    identity = explanation["identity"]
    who = "nobody yet" if identity is None else f"{identity['subject']} @ {identity['issuer']}"
    lines = [f"About   {who}"]
    if explanation["door"]:
        lines.append(f"Door    {explanation['door']}")
    lines.append("Checks")
    lines += [
        _line(check["passed"], check["check"], check["shown"]) for check in explanation["checks"]
    ]
    lines.append(f"Rules   version {explanation['rules_version']}")
    lines += [
        _line(rule["matched"], rule["rule"], rule["condition"]) for rule in explanation["rules"]
    ]
    lines.append(f"Outcome {explanation['outcome']}: {explanation['sentence']}")
    if explanation["would_help"]:
        lines.append("What would help")
        lines += [f"  · {step}" for step in explanation["would_help"]]
    return "\n".join(lines)


def _line(passed: bool, name: str, shown: str) -> str:
    return f"  {'✓' if passed else '✗'} {name}: {shown}"
