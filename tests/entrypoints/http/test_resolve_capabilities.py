"""What a token is for (WLCG capabilities) reaches the component, and a door may demand it."""

from __future__ import annotations

from idmap.domain.issuer_document import profile_document
from tests.entrypoints.http.site import PORTAL, SETUP, Site, trusted


def test_the_answer_lists_the_tokens_capabilities(site: Site) -> None:
    """So that a component can hold each request to them; also when the answer is remembered."""
    site.newcomer()
    token = site.token(door=PORTAL, scope="openid compute.read storage.read:/a compute.create")
    for _ in range(2):
        body = site.resolve(token).json()
        assert body["capabilities"] == ["compute.create", "compute.read", "storage.read:/a"]
    assert site.resolve(site.token(door=PORTAL)).json()["capabilities"] == []


def test_a_door_that_demands_a_capability_takes_no_token_without(site: Site) -> None:
    """With a reason of its own, and from the moment the profile says so, also for a token remembered before."""
    site.newcomer()
    plain = site.token(door=PORTAL)
    assert site.resolve(plain).status_code == 200
    demanding = trusted(required_capabilities={PORTAL: frozenset({"compute.create"})})
    with site.registry.write(SETUP) as writer:
        writer.save_issuer(demanding)
    for token in (plain, site.token(door=PORTAL, scope="compute.read")):
        refused = site.resolve(token)
        assert (refused.status_code, refused.json()["code"]) == (403, "capability_missing")
    assert site.resolve(site.token(door=PORTAL, scope="compute.create")).status_code == 200
    assert profile_document(demanding)["required_capabilities"] == {str(PORTAL): ["compute.create"]}
