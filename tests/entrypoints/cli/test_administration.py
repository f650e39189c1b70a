"""The administrators' commands against a real service over TLS."""

from __future__ import annotations

import json
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from idmap.domain.doors import API
from idmap.domain.identity import Issuer
from idmap.domain.introspection import Introspection, OnTimeout, Userinfo
from idmap.domain.issuer_document import parse_profile
from idmap.domain.issuers import IssuerProfile
from tests.entrypoints.cli.conftest import SUB_APPS, Service, whole_app
from tests.entrypoints.http.site import PORTAL, RULES
from tests.support.tokens import ISSUER

WHY = ("--reason", "a test")


@contextmanager
def _metadata(document: dict[str, Any]) -> Iterator[str]:
    """An issuer's discovery document on loopback; gives the address without a trailing slash."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(document).encode()
            self.send_response(200 if self.path == "/.well-known/openid-configuration" else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Silence."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def test_an_issuer_is_added_after_its_metadata_agreed(service: Service) -> None:
    """Discovery happens once, because a person asked."""
    document: dict[str, Any] = {"jwks_uri": "https://x.example/jwks"}
    with _metadata(document) as address:
        document["issuer"] = f"{address}/"
        result = service.run(
            "issuers", "add", f"{address}/", "--audience", "api=https://idmap.example/api2",
            "--audience", "ssh:login=ssh://a", "--audience", "ssh:login=ssh://b", *WHY,
        )  # fmt: skip
    assert result.exit_code == 0, result.output
    shown = service.json("issuers", "show", f"{address}/")
    assert shown["audiences"]["ssh:login"] == ["ssh://a", "ssh://b"]
    assert "issuers" in service.json("issuers", "list")
    assert service.run("issuers", "remove", f"{address}/", *WHY).exit_code == 0
    assert service.run("issuers", "show", f"{address}/").exit_code == 1


def test_a_slash_too_few_is_named_and_not_repaired(service: Service) -> None:
    """The next step gives the exact string; nothing is saved."""
    document: dict[str, Any] = {"jwks_uri": "https://x.example/jwks"}
    with _metadata(document) as address:
        document["issuer"] = f"{address}/"
        result = service.run("issuers", "add", address, "--audience", "api=x", *WHY)
    assert result.exit_code == 2
    assert "differ by a slash" in result.stderr
    assert f"'{address}/'" in result.stderr
    assert "[issuer_invalid]" in result.stderr
    assert len(service.json("issuers", "list")["issuers"]) == 1


def test_what_the_issuer_says_of_itself_is_shown(service: Service) -> None:
    """And the ready-made profile fills in what nobody had to write."""
    document: dict[str, Any] = {
        "jwks_uri": "https://x.example/jwks", "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"], "scopes_supported": ["openid", "entitlements"],
    }  # fmt: skip
    with _metadata(document) as address:
        document["issuer"] = address
        add = (
            "issuers", "add", address, "--profile", "egi-checkin", "--audience", "api=x",
            "--acr", "api=https://refeds.org/profile/mfa", "--urn-authority", "a.example",
            "--urn-authority", "", *WHY,
        )  # fmt: skip
        printed = service.run(*add)
        found = service.json(*add)["found"]
    assert printed.exit_code == 0, printed.output
    for line in ("its algorithms", "RS256", "its scopes", "openid, entitlements", "entitlement)"):
        assert line in printed.stdout
    assert found["subject_types"] == ["public"]
    shown = service.json("issuers", "show", address)
    assert shown["urn_namespace"] == "urn:mace:egi.eu"
    assert shown["urn_authorities"] == ["", "a.example"]
    assert shown["groups_claims"]["entitlements"] == "entitlement"
    assert shown["required_acr"] == {"api": ["https://refeds.org/profile/mfa"]}


def test_an_issuer_of_pairwise_subjects_needs_a_stable_claim(service: Service) -> None:
    """Its `sub` is another for every client: the same person would get two accounts."""
    document: dict[str, Any] = {
        "jwks_uri": "https://x.example/jwks", "subject_types_supported": ["pairwise"],
    }  # fmt: skip
    with _metadata(document) as address:
        document["issuer"] = address
        add = ("issuers", "add", address, "--audience", "api=x", *WHY)
        refused = service.run(*add)
        assert refused.exit_code == 2
        assert "[pairwise_subject]" in refused.stderr
        assert "--subject-claim" in refused.stderr
        assert service.run(*add, "--subject-claim", "voperson_id").exit_code == 0
    assert service.json("issuers", "show", address)["subject_claim"] == "voperson_id"


def test_introspection_needs_a_client_and_the_name_of_its_secret(service: Service) -> None:
    """One without the other would fail at the first opaque token; the secret itself is never an argument."""
    add = ("issuers", "add", "http://127.0.0.1:9/", "--audience", "api=x", "--no-discovery", *WHY)
    for half in (("--introspection-client", "idmap"), ("--introspection-secret", "iam")):
        refused = service.run(*add, *half)
        assert (refused.exit_code, "[issuer_invalid]" in refused.stderr) == (2, True)
    both = ("--introspection-client", "idmap", "--introspection-secret", "iam")
    assert service.run(*add, *both).exit_code == 0
    shown = service.json("issuers", "show", "http://127.0.0.1:9/")["introspection"]
    assert (shown["client_id"], shown["secret"]) == ("idmap", "iam")


EVERYTHING: dict[str, list[str]] = {
    "audiences": ["--audience", "api=x", "--audience", "component:ce=y"],
    "aliases": ["--alias", "https://other.example/"],
    "profile": ["--profile", "generic"],
    "subject_claim": ["--subject-claim", "voperson_id"],
    "algorithms": ["--algorithm", "ES384"],
    "groups_claims": ["--groups-claim", "entitlements=entitlement"],
    "record_groups_from_tokens": ["--record-groups"],
    "accepted_types": ["--type", "jwt", "--type", ""],
    "accepted_type_claims": ["--type-claim", "Bearer"],
    "leeway_seconds": ["--leeway", "0"],
    "max_age_seconds": ["--max-age", "600"],
    "jwks_uri": ["--jwks-uri", "https://keys.example/"],
    "urn_namespace": ["--urn-namespace", "urn:geant:a.example"],
    "urn_authorities": ["--urn-authority", "a.example"],
    "parents_implied": ["--parents-implied"],
    "required_assurance": ["--assurance", "high"],
    "required_acr": ["--acr", "api=mfa"],
    "required_claims": ["--claim", "wlcg.ver"],
    "required_capabilities": ["--capability", "component:ce=compute.create"],
    "robots": ["--robots", "by_rule"],
    "introspection": [
        "--introspection-client", "idmap", "--introspection-secret", "iam", "--introspection-door", "api",
        "--introspection-endpoint", "https://a.example/i", "--introspection-timeout", "refuse",
        "--userinfo", "if_possible", "--userinfo-endpoint", "https://a.example/me",
    ],
}  # fmt: skip


def test_every_member_of_a_profile_has_its_option(service: Service) -> None:
    """Nothing about an issuer needs a document sent by hand; and `show` shows all of it."""
    issuer = "http://127.0.0.1:9/"
    options = [word for words in EVERYTHING.values() for word in words]
    assert EVERYTHING.keys() | {"issuer"} == {one.name for one in fields(IssuerProfile)}
    add = ("issuers", "add", issuer, "--no-discovery", *options)
    tried = service.run(*add, "--dry-run")
    assert tried.exit_code == 0, tried.output
    assert "would be trusted for the first time" in tried.stdout
    assert service.run("issuers", "show", issuer).exit_code == 1, "a dry run saves nothing"
    without = service.run(*add)
    assert (without.exit_code, "--reason" in without.stderr) == (2, True)
    assert service.run(*add, *WHY).exit_code == 0
    shown = service.json("issuers", "show", issuer)
    assert shown.pop("etag")
    saved = parse_profile(shown)
    plain = IssuerProfile(Issuer(issuer), {})
    for member in EVERYTHING:
        assert getattr(saved, member) != getattr(plain, member), member
    assert saved.introspection == Introspection(
        "idmap", "iam", frozenset({API}), "https://a.example/i", OnTimeout.REFUSE, Userinfo.IF_POSSIBLE,
        "https://a.example/me",
    )  # fmt: skip
    printed = service.run("issuers", "show", issuer).stdout
    for line in (
        "introspection userinfo_endpoint",
        "required_capabilities component:ce",
        "audiences api",
    ):
        assert line in printed
    assert "would stay as it is" in service.run(*add, "--dry-run").stdout
    other = service.json(*add, "--leeway", "5", "--dry-run")
    assert (other["dry_run"], other["changes"]) == (True, ["leeway_seconds"])
    assert service.json("issuers", "show", issuer)["leeway_seconds"] == 0


def test_userinfo_without_introspection_or_an_endpoint_is_refused(service: Service) -> None:
    """It authenticates nobody, so alone it is of no use; said before anything is saved."""
    document: dict[str, Any] = {
        "jwks_uri": "https://x.example/jwks", "introspection_endpoint": "https://x.example/i",
    }  # fmt: skip
    client = ("--introspection-client", "idmap", "--introspection-secret", "iam")
    with _metadata(document) as address:
        document["issuer"] = address
        add = (
            "issuers",
            "add",
            address,
            "--audience",
            "api=x",
            "--userinfo",
            "required",
            "--dry-run",
        )
        refused = service.run(*add)
        assert (refused.exit_code, "introspection.secret" in refused.stderr) == (2, True)
        refused = service.run(*add, *client)
        assert (refused.exit_code, "userinfo_endpoint" in refused.stderr) == (2, True)
        document["userinfo_endpoint"] = "https://x.example/me"
        tried = service.run(*add, *client)
        assert (tried.exit_code, "its userinfo endpoint" in tried.stdout) == (0, True)
        elsewhere = service.run(*add, *client, "--introspection-door", "ssh:login")
        assert (elsewhere.exit_code, "introspection.doors" in elsewhere.stderr) == (2, True)


def test_the_ready_made_profiles_are_listed_without_a_service() -> None:
    """Each with what only the site can add."""
    listed = CliRunner().invoke(whole_app(), ["issuers", "profiles", "--json"])
    assert listed.exit_code == 0
    needs = {one["name"]: one["needs"] for one in json.loads(listed.stdout)["profiles"]}
    assert needs["indigo-iam-aarc"] == ["urn_namespace"]
    assert {"indigo-iam", "wlcg", "egi-checkin", "helmholtz", "keycloak", "generic"} <= set(needs)
    table = CliRunner().invoke(whole_app(), ["issuers", "profiles"])
    assert all(name in table.stdout for name in needs)


@pytest.mark.parametrize("pair", ["api", "=x", "api=", "nowhere=x"])
def test_a_door_without_a_value_is_a_mistake(service: Service, pair: str) -> None:
    """Said before anybody is asked."""
    for option in ("--audience", "--acr"):
        result = service.run("issuers", "add", "http://127.0.0.1:9/", option, pair, *WHY)
        assert result.exit_code == 2
        assert "[request_invalid]" in result.stderr or "[issuer_invalid]" in result.stderr


def test_an_issuer_that_does_not_answer_is_not_trusted(service: Service) -> None:
    """Nothing is saved on a guess; --no-discovery says that it is meant."""
    add = ("issuers", "add", "http://127.0.0.1:9/", "--audience", "api=x", *WHY)
    refused = service.run(*add)
    assert refused.exit_code == 1
    assert "[source_unavailable]" in refused.stderr
    assert service.run(*add, "--no-discovery").exit_code == 0


def test_rules_are_tried_saved_and_versioned(service: Service, tmp_path: Path) -> None:
    """A dry run first; a stale version is refused with a next step."""
    file = tmp_path / "rules.json"
    file.write_text(json.dumps({**RULES, "rules": []}))
    service.site.newcomer()
    tried = service.run("rules", "apply", str(file), "--dry-run")
    assert "loses" in tried.stdout
    assert f"alice @ {ISSUER}" in tried.stdout
    assert service.run("rules", "apply", str(file)).exit_code == 2
    stale = service.run("rules", "apply", str(file), *WHY, "--expect-version", "7")
    assert stale.exit_code == 1
    assert "[version_conflict]" in stale.stderr
    assert "Next:" in stale.stderr
    apply = ("rules", "apply", str(file), *WHY, "--expect-version", "1")
    refused = service.run(*apply)
    assert refused.exit_code == 1
    assert "[rules_take_away]" in refused.stderr
    saved = service.run(*apply, "--accept-loss", "1")
    assert saved.exit_code == 0
    assert "Saved as version 2. Of 1 people, 1 lose theirs." in saved.stdout
    versions = service.json("rules", "versions")["versions"]
    assert [(v["version"], v["rules"]) for v in versions] == [(2, 0), (1, 1)]
    assert json.loads(service.run("rules", "show", "--version", "1").stdout) == RULES
    test = service.json("rules", "test", "--issuer", ISSUER, "--subject", "alice")
    assert test["reason"] == "no_rule_matches"


def test_rules_are_read_from_toml(service: Service, tmp_path: Path) -> None:
    """And what cannot be read names the place."""
    file = tmp_path / "rules.toml"
    file.write_text("format = 1\n")
    assert service.run("rules", "apply", str(file), *WHY).exit_code == 0
    file.write_text("format = \n")
    broken = service.run("rules", "apply", str(file), *WHY)
    assert (broken.exit_code, "line 1" in broken.stderr) == (2, True)


def test_ranges_want_an_acknowledgement_where_others_live(service: Service) -> None:
    """The refusal says who, and how to mean it."""
    add = ("ranges", "add", "local", "--purpose", "people", "--first", "20000", "--last", "20999")
    refused = service.run(*add, *WHY)
    assert (refused.exit_code, "useradd" in refused.stderr) == (1, True)
    made = service.run(*add, *WHY, "--acknowledge")
    assert (made.exit_code, "useradd" in made.stdout) == (0, True)
    assert "local" in service.run("ranges", "list").stdout


def test_accounts_are_listed_shown_and_moved(service: Service) -> None:
    """Closing asks first."""
    service.site.newcomer()
    service.site.newcomer("bob")
    assert "alice" in service.run("accounts", "list").stdout
    assert "more: --after 1" in service.run("accounts", "list", "--limit", "1").stdout
    shown = service.run("accounts", "show", "200000").stdout
    assert "hpc_gpu" in shown
    assert service.run("accounts", "suspend", "alice", *WHY).stdout == "alice is suspended.\n"
    assert service.run("accounts", "restore", "alice", *WHY).stdout == "alice is active.\n"
    assert service.run("accounts", "close", "alice", *WHY, input="n\n").exit_code == 1
    assert service.json("accounts", "show", "alice")["state"] == "active"
    assert service.run("accounts", "close", "alice", *WHY, "--yes").exit_code == 0
    assert "hpc_gpu" in service.run("groups", "list").stdout
    found = service.json("identities", "show", "--issuer", ISSUER, "--subject", "bob")
    assert found["account"]["username"] == "bob"


def test_bans_are_added_listed_and_lifted(service: Service) -> None:
    """And the next resolve is refused in between."""
    service.site.newcomer()
    token = service.site.token(door=PORTAL)
    added = service.run("bans", "add", "--account", "alice", "--until", "2030-01-01", *WHY)
    assert added.stdout == "Ban 1 holds.\n"
    assert service.site.resolve(token).json()["code"] == "banned"
    listed = service.run("bans", "list").stdout
    assert "2030-01-01" in listed
    assert "admin-key:bootstrap" in listed
    assert service.run("bans", "lift", "1", "--reason", "geklärt").exit_code == 0
    assert service.site.resolve(token).status_code == 200
    assert "geklärt" in service.run("audit", "list", "--limit", "1000").stdout
    assert service.run("bans", "add", *WHY).exit_code == 2


def test_a_group_and_a_token_are_banned_in_one_call(service: Service) -> None:
    """And said in one line each; how many accounts that closes."""
    service.site.newcomer()
    service.site.newcomer("bob", groups=["hpc"])
    token = service.site.token("bob", door=PORTAL, jti="leaked")
    of = ("--issuer", ISSUER)
    tried = service.run("bans", "add", *of, "--group", "hpc", "--dry-run", *WHY)
    assert tried.stdout == "It would close 2 accounts.\n"
    assert service.run("bans", "list").stdout == "none\n"
    made = service.run("bans", "add", *of, "--group", "hpc/gpu", *WHY)
    assert made.stdout == "Ban 1 holds. It closes 1 account.\n"
    assert service.site.resolve(token).status_code == 200
    made = service.run("bans", "add", *of, "--token-id", "leaked", *WHY)
    assert made.stdout == "Ban 2 holds.\n"
    assert service.site.resolve(token).json()["code"] == "banned"
    listed = service.run("bans", "list").stdout
    assert f"group hpc/gpu @ {ISSUER}" in listed
    assert f"token leaked @ {ISSUER}" in listed
    shown = service.run("bans", "show", "2").stdout
    assert "of      token" in shown


def test_an_issuer_is_banned_only_once_it_was_said_what_that_closes(service: Service) -> None:
    """--yes, after the number; administrators who are kept out are warned of."""
    service.site.newcomer()
    ban = ("bans", "add", "--issuer", ISSUER, *WHY)
    refused = service.run(*ban)
    assert refused.exit_code == 2
    assert "it closes 1 account; " in refused.stderr
    assert "add --yes" in refused.stderr
    assert service.run("bans", "list").stdout == "none\n"
    made = service.run(*ban, "--yes")
    assert made.stdout.startswith("Ban 1 holds. It closes 1 account.\nWarning: administrator")
    assert service.run("bans", "list", "--kind", "issuer").stdout.count("\n") == 2
    assert service.site.ask("GET", "/v1/me", service.site.token()).json()["code"] == "banned"
    assert service.run("bans", "lift", "1", *WHY).exit_code == 0


@pytest.mark.parametrize(
    "options",
    [
        "",
        f"--account alice --issuer {ISSUER}",
        "--group hpc",
        "--subject x",
        "--token-id x",
        f"--issuer {ISSUER} --subject x --group hpc",
        "--account alice --token-id x",
    ],
)
def test_half_an_order_is_a_usage_error(service: Service, options: str) -> None:
    """Nothing is asked of the service."""
    result = service.run("bans", "add", *options.split(), *WHY)
    assert (result.exit_code, "request_invalid" in result.stderr) == (2, True)


def test_a_new_secret_goes_to_a_new_file_that_only_its_owner_reads(
    service: Service, tmp_path: Path
) -> None:
    """Not to the terminal, not over another file, and not asked for when it could not be kept."""
    out = tmp_path / "node.key"
    enrol = ("nodes", "enrol", "login2", "--class", "login", *WHY)
    made = service.run(*enrol, "--out", str(out))
    assert made.exit_code == 0, made.output
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    secret = out.read_text().strip()
    assert secret.startswith("idmap-node-")
    assert secret not in made.output
    again = service.run("nodes", "enrol", "login3", "--class", "login", *WHY, "--out", str(out))
    assert again.exit_code == 2
    assert [n["name"] for n in service.json("nodes", "list")["nodes"]] == ["login1", "login2"]
    printed = service.run("components", "add", "hub", "--door", "gate", *WHY, "--out", "-")
    assert printed.stdout.startswith("idmap-cmp-")
    assert "hub" in service.run("components", "list").stdout
    assert service.run("components", "revoke", "hub", *WHY).exit_code == 0
    assert service.run("nodes", "revoke", "login2", *WHY).exit_code == 0


def test_the_record_is_listed_and_verified(service: Service) -> None:
    """With who, what and why."""
    listed = service.run("audit", "list", "--limit", "2").stdout
    assert "set up the site" in listed
    assert "more: --after" in listed
    assert "verified" in service.run("audit", "verify").stdout


def test_explain_tells_the_story(service: Service, tmp_path: Path) -> None:
    """By token, by identity, by account; the token is not on any output."""
    file = tmp_path / "token"
    file.write_text(service.site.token(exp=1) + "\n")
    told = service.run("explain", "--token-file", str(file), "--door", "api")
    assert told.exit_code == 0, told.output
    assert "✓ signature: RS256 by" in told.stdout
    assert "✗ not expired: exp 1 (1970-01-01 00:00:01 UTC), now" in told.stdout
    assert "token_expired" in told.stdout
    assert "✓ audience" not in told.stdout, "what comes after the failing check was not made"
    assert file.read_text()[-40:-1] not in told.output
    file.write_text("opaque-token-0123456789-abcdefghij")
    told = service.run("explain", "--token-file", str(file), "--issuer", ISSUER)
    assert told.exit_code == 0, told.output
    assert service.run("explain", "--issuer", ISSUER).exit_code == 2
    assert service.run("explain", "--subject", "x").exit_code == 2
    told = service.run("explain", "--issuer", ISSUER, "--subject", "x")
    assert "no_rule_matches" in told.stdout
    assert "What would help" in told.stdout
    service.site.newcomer()
    told = service.run("explain", "--account", "alice")
    assert "Outcome ok" in told.stdout
    assert service.run("explain").exit_code == 2
    assert service.run("explain", "--account", "nobody").exit_code == 1


def test_a_refused_key_says_so_with_a_reference(service: Service) -> None:
    """Code, next step and the id that finds the log line; exit code 1."""
    service.key_file.write_text("idmap-adm-wrong")
    result = service.run("accounts", "list")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "[not_accepted]" in result.stderr
    assert "Reference: " in result.stderr
    assert "idmap-adm-wrong" not in result.output


def test_an_open_key_file_is_not_used(service: Service) -> None:
    """A key that others can read is no key."""
    service.key_file.chmod(0o644)
    result = service.run("accounts", "list")
    assert (result.exit_code, "0600" in result.stderr) == (2, True)


def test_a_service_out_of_reach_is_exit_code_4(service: Service) -> None:
    """Nothing listens; or the certificate is not trusted."""
    key = ["--key-file", str(service.key_file)]
    for url in ("https://127.0.0.1:9", service.url):
        result = CliRunner().invoke(whole_app(), ["bans", "list", "--url", url, *key])
        assert result.exit_code == 4
        assert "[service_unavailable]" in result.stderr


def test_plain_http_is_for_loopback_only(service: Service) -> None:
    """The key does not cross a network in the open."""
    key = ["--key-file", str(service.key_file)]
    result = CliRunner().invoke(
        whole_app(), ["bans", "list", "--url", "http://idmap.example", *key]
    )
    assert (result.exit_code, "https" in result.stderr) == (2, True)


ASKS_NOBODY = {("rules", "schema"), ("issuers", "profiles")}
"""Commands that print what this program knows by itself."""


@pytest.mark.parametrize("name", [*SUB_APPS, "explain"])
def test_every_help_reads_well(name: str) -> None:
    """A sentence for every command; the common options on each."""
    top = CliRunner().invoke(whole_app(), [name, "--help"], terminal_width=200)
    assert top.exit_code == 0
    commands = SUB_APPS[name].registered_commands if name in SUB_APPS else []
    for command in commands:
        told = CliRunner().invoke(
            whole_app(), [name, str(command.name), "--help"], terminal_width=200
        )
        assert told.exit_code == 0
        asks = (name, command.name) not in ASKS_NOBODY
        for option in ("--url", "--key-file", "--ca-file", "--json"):
            assert (option in told.output) == (asks or option == "--json")
        assert command.callback is not None
        assert (command.callback.__doc__ or "").strip()


@pytest.mark.parametrize(
    "command",
    [
        "issuers remove x", "ranges add x --purpose people --first 1 --last 2",
        "accounts suspend x", "accounts restore x", "accounts close x", "bans add --account x", "bans lift 1",
        "nodes enrol x --class c --out -", "nodes revoke x", "components add x --door api --out -",
        "components revoke x",
    ],
)  # fmt: skip
def test_every_change_wants_a_reason(command: str) -> None:
    """A usage error before anything is asked."""
    result = CliRunner().invoke(whole_app(), command.split())
    assert result.exit_code == 2
    assert "--reason" in result.stderr
