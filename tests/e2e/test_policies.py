"""docs/policies.md is true: each of its rule files, as printed there, on a real site with a real sshd."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from demo_site import PrivateHost
from demo_site.site import (
    AGENT_FILE,
    API_AUDIENCE,
    SSH_AUDIENCE,
    DemoSite,
    start_node_daemons,
    start_site,
)
from tests.e2e.npm_provider import RunningProvider, node_directory, running_oidc_provider

GUIDE = Path(__file__).parents[2] / "docs" / "policies.md"
SECURE_AUDIENCE = "ssh://secure.demo"
MFA = "https://refeds.org/profile/mfa"
WHY = ("--reason", "as the guide says")

pytestmark = pytest.mark.timeout(400)
"""Three whole sites, each with nights and logins."""


def rules_file(name: str, **values: str) -> str:
    """A file of the guide, with what no guide can know filled in."""
    blocks = re.findall(r"```toml\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    (text,) = [block for block in blocks if block.startswith(f"# {name}\n")]
    for placeholder, value in values.items():
        assert placeholder in text
        text = text.replace(placeholder, value)
    return str(text)


def save(site: DemoSite, name: str, **values: str) -> None:
    """`idmap rules apply`; who loses by it is meant to."""
    site.host.write(f"/etc/idmap/{name}", rules_file(name, **values))
    site.idmap("rules", "apply", f"/etc/idmap/{name}", *WHY).check()


def account(site: DemoSite, name: str) -> dict[str, object]:
    """As `idmap accounts show --json` tells it."""
    found: dict[str, object] = json.loads(
        site.idmap("accounts", "show", name, "--json").check().stdout
    )
    return found


def become(site: DemoSite, node_class: str) -> None:
    """The one node of the site is enrolled anew as one of another class."""
    for name in ("verify", "agent"):
        site.services[name].stop()
    key = f"/etc/idmap/{node_class}.key"
    site.idmap(
        "nodes", "enrol", f"{node_class}1", "--class", node_class, "--out", key, *WHY
    ).check()
    settings = site.host.read(AGENT_FILE)
    settings = re.sub(r'node_class = "\w+"', f'node_class = "{node_class}"', settings)
    site.host.write(AGENT_FILE, settings)
    site.host.run(["cp", key, "/etc/idmap/node.key"]).check()
    site.host.run(["rm", "-f", "/run/idmap/verify.sock"]).check()
    start_node_daemons(site)
    site.wait_for_revision()


@pytest.fixture
def site() -> Iterator[DemoSite]:
    """A running site without accounts, for each policy its own."""
    with PrivateHost(expose=[node_directory()]) as host:
        yield start_site(host)


def test_one_vo_with_sub_groups(site: DemoSite) -> None:
    """Accounts by one group, GPU nodes by another; leaving the second takes its gid and its nodes the same night."""
    save(site, "vo.toml")
    site.provision("--no-progress").check()
    site.wait_for_revision()
    alice, bob = account(site, "alice"), account(site, "bob")
    assert (alice["node_classes"], bob["node_classes"]) == ("gpu,login", "login")
    assert "demo_gpu" in site.host.run(["id", "-Gn", "alice"]).stdout.split()
    assert "demo_gpu" not in site.host.run(["id", "-Gn", "bob"]).stdout.split()
    assert "gpu: " in site.idmap("explain", "--account", "bob").check().stdout
    assert site.host.run(["getent", "passwd", "carol"]).returncode == 2, "no account by gpu alone"
    done = site.laptop.with_secret("alice", site.token("alice", SSH_AUDIENCE))
    assert "(alice)" in done.stdout, done.stderr

    become(site, "gpu")
    assert "node_class_refused" in _key_login(site, "bob")
    assert "(alice)" in _key_login(site, "alice")
    site.iam("POST", "changes", {"action": "leave", "person": "alice", "group": "demo/gpu"})
    report = site.provision("--no-progress")
    assert "leave_groups" in report.stdout, report.stdout
    assert "cut_terms" in report.stdout, report.stdout
    site.wait_for_revision()
    assert "demo_gpu" not in site.host.run(["id", "-Gn", "alice"]).stdout.split()
    assert "node_class_refused" in _key_login(site, "alice")


def _key_login(site: DemoSite, username: str) -> str:
    """What an ssh login with an authorised key says."""
    key = site.laptop.make_key(f"id_{time.monotonic_ns()}")
    site.sshd.authorize(username, key.public)
    done = site.laptop.with_key(username, key, ["id"])
    return done.stdout + done.stderr


def test_linked_people_and_nodes_that_want_more(site: DemoSite) -> None:
    """A deny rule that a second issuer's word lifts, and a demand that only a token with a second factor meets."""
    with running_oidc_provider(site.host) as provider:
        audiences = [f"--audience=api={API_AUDIENCE}", f"--audience=ssh:secure={SECURE_AUDIENCE}"]
        arguments = ["issuers", "add", provider.issuer, "--profile", "generic", "--record-groups"]
        site.idmap(*arguments, *audiences, *WHY).check()
        save(site, "linked.toml", PROVIDER=provider.issuer)
        site.provision("--no-progress").check()
        assert account(site, "erin")["node_classes"] == "*,-secure"

        _vouch_and_link(site, provider, "erin")
        site.provision("--no-progress").check()
        assert account(site, "erin")["node_classes"] == "*"
        become(site, "secure")
        plain = provider.mint(sub="erin-vetted", audience=SECURE_AUDIENCE)
        done = site.laptop.with_secret("erin", plain)
        assert "acr_refused" in done.stderr, done.stderr
        strong = provider.mint(sub="erin-vetted", audience=SECURE_AUDIENCE, acr=MFA)
        done = site.laptop.with_secret("erin", strong)
        assert "(erin)" in done.stdout, done.stderr
        assert "token_demanded" in _key_login(site, "erin")
        assert "node_class_refused" in _key_login(site, "bob")


def _vouch_and_link(site: DemoSite, provider: RunningProvider, username: str) -> None:
    """The second issuer puts the person in its group, and they log in with both."""
    own = site.token(username, API_AUDIENCE)
    other = provider.mint(sub=f"{username}-vetted", audience=API_AUDIENCE, groups=["vetted"])
    # What the other issuer says of them goes on record with their own request; nothing is given for it alone.
    refused = site.api("POST", "/v1/me/account", other, body={})
    assert refused.status == 403, refused.text
    answer = site.api("POST", "/v1/me/links", own, body={"token": other})
    assert answer.status == 200, answer.text
    again = site.api("POST", "/v1/me/account", other, body={})
    assert again.status == 200, again.text


def test_pool_accounts_that_expire_on_friday(site: DemoSite) -> None:
    """Counted names, as many as there are places, until the end of the day."""
    today = datetime.now(tz=UTC).date()
    ends = ["--first", "400000", "--last", "400999"]
    site.idmap("ranges", "add", "pool", "--purpose", "pools", *ends, *WHY).check()
    save(site, "course.toml", FRIDAY=(today + timedelta(days=2)).isoformat())
    site.provision("--no-progress").check()
    site.wait_for_revision()
    names = _pool(site)
    assert sorted(names) == ["train001", "train002"]
    full = site.api("POST", "/v1/me/account", site.token("niaj@partner.example", API_AUDIENCE), {})
    waiting = [full.json().get("code")] if full.status == 409 else []
    assert waiting in (["pool_full"], []), full.text
    denied = site.api("POST", "/v1/me/account", site.token("alice", API_AUDIENCE), {})
    assert denied.json()["code"] == "denied_by_rule", denied.text
    uid_number = names["train001"]
    line = site.host.run(["getent", "passwd", "train001"]).stdout
    assert line.startswith(f"train001:*:{uid_number}:")

    save(site, "course.toml", FRIDAY=(today - timedelta(days=1)).isoformat())
    site.provision("--no-progress", "--dry-run").check()
    report = site.provision("--no-progress", "--json")
    digest = json.loads(report.stdout)["plan"]["digest"]
    if report.returncode:
        site.provision("--no-progress", "--approve", digest).check()
    site.wait_for_revision()
    assert "account_expired" in _key_login(site, "train001")
    assert site.host.run(["id", "-un", str(uid_number)]).stdout.strip() == "train001"


def _pool(site: DemoSite) -> dict[str, int]:
    listed = json.loads(site.idmap("accounts", "list", "--json", "--all").check().stdout)
    return {one["username"]: one["uid"] for one in listed["accounts"]}
