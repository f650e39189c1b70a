"""The command line: `python -m iam_simulator [serve] …` and `python -m iam_simulator token …`.

No secret is an argument: keys and client secrets are in files, and a minted token goes to standard
output alone. `token` talks to a running simulator that was started with `--control`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from .control_client import ControlClient, ControlError
from .instance import Instance, Settings, with_slash
from .paging import ListOrder
from .records import login_client_id
from .serving import Listener, serve
from .tokens import ACCESS_TOKEN_SECONDS, Profile


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 when it went well, 2 for bad usage, 1 for anything else."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["token"]:
        return _token(_token_parser().parse_args(words[1:]))
    if words[:1] == ["serve"]:
        words = words[1:]
    return _serve(_serve_parser().parse_args(words))


def _serve_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m iam_simulator",
        description="Serve a simulated INDIGO IAM. See also: python -m iam_simulator token --help",
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add("--port", type=int, default=8081, help="port to listen on (default: %(default)s)")
    add("--issuer", help="issuer in tokens, used exactly (default: the address, with a slash)")
    add("--base-url", help="address in links and endpoints (default: the issuer)")
    add("--discovery-issuer", help="issuer in discovery (default: the issuer, with a slash)")
    add("--population", default="small", help="small, a number, or a JSON file")
    add("--seed", type=int, default=1, help="seed of population and list order")
    add("--organisation", default="demo", help="organisation_name (default: %(default)s)")
    add("--profile", choices=get_args(Profile), default="iam", help="token profile")
    add("--include-authn-info", action="store_true", help="groups and names in iam access tokens")
    add("--include-labels", action="store_true", help="labels of users over SCIM")
    add("--include-attributes", action="store_true", help="attributes of users over SCIM")
    add("--list-order", choices=get_args(ListOrder), default="window", help="unsorted lists")
    add("--key-file", type=Path, help="signing keys, 0600; made when absent")
    add("--clients-file", type=Path, help="clients and secrets, 0600; made when absent")
    add("--tls-cert", type=Path, help="serve TLS with this certificate chain")
    add("--tls-key", type=Path, help="its key, PEM in PKCS#8")
    add("--control", action="store_true", help="open /simulator to loopback peers")
    add("--stop-with-stdin", action="store_true", help="stop when standard input ends")
    return parser


def _serve(options: argparse.Namespace) -> int:
    if (options.tls_cert is None) != (options.tls_key is None):
        _say("--tls-cert and --tls-key go together")
        return 2
    listener = Listener(
        options.host, options.port, options.tls_cert, options.tls_key, options.stop_with_stdin
    )
    issuer = options.issuer or with_slash(listener.url)
    settings = Settings(
        issuer=issuer,
        base_url=(options.base_url or issuer).rstrip("/"),
        discovery_issuer=options.discovery_issuer or with_slash(issuer),
        population=options.population,
        seed=options.seed,
        organisation=options.organisation,
        profile=options.profile,
        include_authn_info=options.include_authn_info,
        include_labels=options.include_labels,
        include_attributes=options.include_attributes,
        list_order=options.list_order,
        control=options.control,
        key_file=options.key_file,
        clients_file=options.clients_file,
    )
    try:
        instance = Instance(settings)
    except (OSError, ValueError) as error:
        _say(str(error))
        return 1
    people = len(instance.directory.list_people())
    control = "on" if settings.control else "off"
    _say(f"{listener.url} issuer={issuer} people={people} control={control}")
    asyncio.run(serve(instance, listener))
    return 0


def _token_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m iam_simulator token",
        description="Print an access token minted by a running simulator, and nothing else.",
    )
    add = parser.add_argument
    add("--url", default="http://127.0.0.1:8081", help="the simulator (default: %(default)s)")
    add("--ca-file", type=Path, help="certificate to trust when the simulator serves TLS")
    whom = parser.add_mutually_exclusive_group(required=True)
    whom.add_argument("--person", help="username or UUID")
    whom.add_argument("--client", help="a registered client instead of a person")
    add("--profile", choices=get_args(Profile), help="token profile (default: the simulator's)")
    add("--client-id", default=login_client_id(), help="client a person's token is issued to")
    add("--audience", action="append", default=[], help="repeat for several")
    add("--scope", help="scopes, separated by spaces")
    add("--groups", action="store_true", help="ask for the default groups (wlcg)")
    add("--group", action="append", default=[], help="ask for this group by name; repeat (wlcg)")
    add("--authn-info", action="store_true", help="names, and groups in the iam profile")
    add("--lifetime", type=int, default=ACCESS_TOKEN_SECONDS, help="seconds; may be negative")
    add("--auth-time", type=int, help="auth_time, seconds since the epoch")
    add("--claim", action="append", default=[], help="NAME=JSON replaces a claim, null removes it")
    add("--other-key", action="store_true", help="sign with a key that is not published")
    add("--kid", help="kid in the header, whatever key signs")
    add("--minimum-payload-bytes", type=int, default=0, help="pad the claims to this size")
    return parser


def _token(options: argparse.Namespace) -> int:
    try:
        extra = dict(_claim(text) for text in options.claim)
    except ValueError as error:
        _say(f"--claim: {error}")
        return 2
    spec: dict[str, Any] = {
        "person": options.person,
        "client": options.client,
        "profile": options.profile,
        "client_id": options.client_id,
        "audience": options.audience,
        "scope": options.scope,
        "groups": options.group or options.groups,
        "include_authn_info": True if options.authn_info else None,
        "lifetime_seconds": options.lifetime,
        "auth_time": options.auth_time,
        "extra": extra,
        "sign_with": "other" if options.other_key else "good",
        "kid": options.kid,
        "minimum_payload_bytes": options.minimum_payload_bytes,
    }
    try:
        answer = ControlClient(options.url, options.ca_file).call("POST", "token", spec)
    except (ControlError, OSError, ValueError) as error:
        _say(str(error))
        return 1
    sys.stdout.write(f"{answer['access_token']}\n")
    return 0


def _claim(text: str) -> tuple[str, Any]:
    """A `NAME=JSON` argument; what is not JSON is taken as text."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise ValueError(f"{text!r} is not NAME=JSON")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def _say(text: str) -> None:
    """One line for the person at the terminal."""
    sys.stderr.write(f"iam_simulator: {text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
