"""The whole site: the demo's scenes one by one, and a third party's tokens at the same doors.

One private host with the IAM, the service and a login node serves the module; the scenes run in the order of the story,
each checking what it claims.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from demo_site import PrivateHost
from demo_site.site import API_AUDIENCE, SSH_AUDIENCE, DemoSite, start_site
from demo_site.story import SCENES, Story
from tests.e2e.npm_provider import RunningProvider, node_directory, running_oidc_provider


@pytest.fixture(scope="module")
def site() -> Iterator[DemoSite]:
    """A running site that has its first snapshot and no accounts."""
    with PrivateHost(expose=[node_directory()]) as host:
        yield start_site(host)


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_the_scene_is_observed(site: DemoSite, scene: Callable[[Story], None]) -> None:
    """`make demo`, scene by scene: a claim that is not observed raises."""
    story = Story(site)
    scene(story)
    assert story.observed > 0


def test_a_token_of_a_provider_that_nobody_here_wrote_logs_in(site: DemoSite) -> None:
    """npm `oidc-provider`: trusted, a newcomer's account from its groups claim, login over real sshd."""
    why = ("--reason", "a second issuer")
    with running_oidc_provider(site.host) as provider:
        audiences = [f"--audience=api={API_AUDIENCE}", f"--audience=ssh:login={SSH_AUDIENCE}"]
        arguments = ["issuers", "add", provider.issuer, "--profile", "generic", "--record-groups"]
        site.idmap(*arguments, *audiences, *why).check()
        rules = json.loads(site.idmap("rules", "show", "--json").check().stdout)["document"]
        rules["classes"]["visitor"] = {**rules["classes"]["personal"], "primary_group": "visitors"}
        rules["rules"].append(
            {"id": "visitors", "issuer": provider.issuer, "group": "visitors", "class": "visitor"}
        )
        site.host.write("/etc/idmap/rules.json", json.dumps(rules))
        site.idmap("rules", "apply", "/etc/idmap/rules.json", *why).check()
        token = provider.mint(sub="visitor-1", audience=API_AUDIENCE, groups=["visitors"])
        answer = site.api("POST", "/v1/me/account", token, body={})
        assert answer.status == 202, answer.text
        username = answer.json()["account"]["username"]
        site.wait_for_revision()
        token = provider.mint(sub="visitor-1", audience=SSH_AUDIENCE)
        done = site.laptop.with_secret(username, token)
        assert f"({username})" in done.stdout, done.stderr
        done = site.laptop.with_secret("erin", token)
        assert "identity_mismatch" in done.stderr
        _link_a_second_identity(site, provider, username)


def _link_a_second_identity(site: DemoSite, provider: RunningProvider, username: str) -> None:
    """Two fresh logins link it; then the person is the same account at the node, whichever of the two they show."""

    def work(audience: str) -> str:
        return provider.mint(sub="visitor-1-at-work", audience=audience)

    done = site.laptop.with_secret(username, work(SSH_AUDIENCE))
    assert "identity_unknown" in done.stderr
    own = provider.mint(sub="visitor-1", audience=API_AUDIENCE)
    answer = site.api("POST", "/v1/me/links", own, body={"token": work(API_AUDIENCE)})
    assert answer.status == 200, answer.text
    assert answer.json()["account"]["username"] == username
    site.wait_for_revision()
    for token in (work(SSH_AUDIENCE), provider.mint(sub="visitor-1", audience=SSH_AUDIENCE)):
        done = site.laptop.with_secret(username, token)
        assert f"({username})" in done.stdout, done.stderr
    done = site.laptop.with_secret("erin", work(SSH_AUDIENCE))
    assert "identity_mismatch" in done.stderr
