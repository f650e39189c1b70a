"""What went wrong at others, tried here: each defect found in a peer is a test that names the peer.

The defects were found by running the peers or by reading their code, issues and advisories. Here the real parts of
idmap get the same treatment: its HTTP door over a real registry, its key cache, its verifier. Answers, names and
numbers are in test_peer_defects_accounts.py; those whose place is a node (PAM, NSS, the compiler) are in tests/c and
tests/entrypoints.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from idmap.adapters.oidc.jwks import JwksCache
from idmap.adapters.oidc.signatures import JoseSignatures
from idmap.application.verify_token import TokenVerifier
from idmap.domain.errors import InvalidInput, TokenRefused, Unavailable
from idmap.domain.identity import Issuer
from idmap.domain.issuers import IssuerProfile, find_profile
from idmap.domain.reasons import Reason
from idmap.domain.rule_document import parse_rules
from idmap.domain.secrets import Secret
from tests.entrypoints.http.site import PORTAL, RULES, Site, make_site
from tests.support.tokens import (
    AUDIENCES,
    ISSUER,
    NOW,
    SSH,
    FakeIssuerKeys,
    claims,
    mint,
    private_key,
    profile,
    public_jwk,
    verifier,
)
from tests.tokens.cases import sign


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """The HTTP door over a real registry."""
    yield from make_site(tmp_path)


class _Issuers:
    """Every issuer of the world behind the real key cache: who was asked for what."""

    def __init__(self, *profiles: IssuerProfile) -> None:
        self.now = NOW
        self.asked: list[str] = []
        self.keys = [public_jwk("rsa", "k1")]
        cache = JwksCache(None, lambda: self.now, self._fetch)
        self.verifier = TokenVerifier(
            lambda text: find_profile(profiles, text), cache, JoseSignatures()
        )

    def _fetch(self, url: str) -> Mapping[str, Any]:
        self.asked.append(url)
        base, found, _ = url.partition(".well-known/openid-configuration")
        return {"issuer": base, "jwks_uri": f"{base}jwk"} if found else {"keys": self.keys}

    def refusal(self, token: Secret) -> Reason:
        """Why it is refused."""
        with pytest.raises(TokenRefused) as caught:
            self.verifier.verify(token, SSH, self.now)
        return caught.value.reason


def test_a_strangers_issuer_is_never_asked_anything() -> None:
    """flaat, E1: discovery of any issuer that a token named was fetched before asking whether it is trusted."""
    issuers = _Issuers(profile())
    for name in ("https://evil.example/", "http://169.254.169.254/", "https://iam.example"):
        assert issuers.refusal(mint(claims(iss=name))) is Reason.ISSUER_UNKNOWN
    assert issuers.refusal(mint(header={"jku": "https://evil.example/"})) is Reason.HEADER_REFUSED
    assert issuers.asked == []


def test_an_opaque_token_is_shown_to_nobody() -> None:
    """flaat, E2: an opaque token was sent as bearer to the userinfo endpoint of every trusted issuer in turn."""
    trusted = [profile(issuer=Issuer(f"https://iam{number}.example/")) for number in range(3)]
    issuers = _Issuers(*trusted)
    assert issuers.refusal(Secret("8xLOxBtZp8")) is Reason.TOKEN_OPAQUE
    assert issuers.asked == []


@pytest.mark.parametrize(
    "issuer",
    [
        "https://login.helmholtz.de/oauth2",
        "https://aai.egi.eu/auth/realms/egi",
        "https://wlcg.cloud.cnaf.infn.it/",
        "https://iam.deep-hybrid-datacloud.eu/",
        "https://keycloak.example/realms/site",
    ],
)
def test_the_audience_is_asked_of_every_issuer(issuer: str) -> None:
    """flaat, E3: the audience was checked for issuers of a built-in list, and called satisfied for all others."""
    subject, _ = verifier(profile(issuer=Issuer(issuer)))
    assert subject.verify(mint(claims(iss=issuer)), SSH, NOW)
    with pytest.raises(TokenRefused) as caught:
        subject.verify(mint(claims(iss=issuer, aud="another-service")), SSH, NOW)
    assert caught.value.reason is Reason.AUDIENCE_REFUSED
    with pytest.raises(InvalidInput):
        profile(issuer=Issuer(issuer), audiences={})


def test_a_setting_of_the_wrong_type_is_refused_when_written_not_at_a_login() -> None:
    """motley_cue, E4: `vo_match = 2` stayed a text and every request of that issuer failed with an exception."""
    for wrong in ({"format": "1"}, {"rules": "members"}, {"vo_match": 2}):
        with pytest.raises(InvalidInput):
            parse_rules({**RULES, **wrong}, version=1)


def test_a_verification_asks_the_issuer_nothing_once_its_keys_are_known() -> None:
    """flaat, E5: three requests for a first token, two for every new one; the keys were never kept."""
    issuers = _Issuers(profile())
    for number in range(50):
        assert issuers.verifier.verify(mint(claims(jti=str(number))), SSH, NOW)
    assert len(issuers.asked) == 2, "discovery and keys, once"


def test_a_token_without_an_end_is_refused() -> None:
    """flaat §2.3: `exp` was not required; a token without it authenticated, and was looked up anew each time."""
    issuers = _Issuers(profile())
    assert issuers.refusal(mint(claims(exp=None))) is Reason.CLAIM_MISSING


def test_an_issuer_that_answers_401_lets_nobody_in() -> None:
    """flaat, E6: any answer but 200, so also a 401 for a revoked token, counted as none, and the token passed."""
    status: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status.append(401)
            self.send_error(401)

        def log_message(self, *arguments: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        trusted = profile(jwks_uri=f"http://127.0.0.1:{server.server_port}/jwk")
        cache = JwksCache(None, lambda: NOW)
        subject = TokenVerifier(
            lambda text: find_profile((trusted,), text), cache, JoseSignatures()
        )
        with pytest.raises(Unavailable):
            subject.verify(mint(), SSH, NOW)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert status == [401]


def test_a_person_whom_the_issuer_disowned_is_refused_though_the_token_still_verifies(
    site: Site,
) -> None:
    """flaat, E6, the person behind it: what is recorded since stands above a signature made before."""
    site.newcomer()
    token = site.token(door=PORTAL)
    assert site.resolve(token).status_code == 200
    ban = {"identity": {"issuer": ISSUER, "subject": "alice"}, "reason": "token stolen"}
    assert site.ask("POST", "/v1/bans", "bootstrap", json=ban).is_success
    answer = site.resolve(token)
    assert (answer.status_code, answer.json()["code"]) == (403, "banned")


def test_issuers_that_differ_in_case_scheme_or_slash_are_different_issuers() -> None:
    """motley_cue §2.1: issuers were lower-cased and lost scheme, `www.` and slash: http and https were one."""
    lower, upper = Issuer("https://iam.example/"), Issuer("https://IAM.example")
    subject, _ = verifier(profile(issuer=lower), profile(issuer=upper))
    identities = {
        subject.verify(mint(claims(iss=name)), SSH, NOW).identity for name in (lower, upper)
    }
    assert len(identities) == 2
    for name in ("http://iam.example/", "https://www.iam.example/", "https://iam.example"):
        with pytest.raises(TokenRefused) as caught:
            subject.verify(mint(claims(iss=name)), SSH, NOW)
        assert caught.value.reason is Reason.ISSUER_UNKNOWN


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512", "none"])
def test_no_profile_can_list_a_symmetric_algorithm(algorithm: str) -> None:
    """flaat §2.3: HMAC stood in the list of accepted algorithms, beside RSA."""
    with pytest.raises(InvalidInput) as caught:
        profile(algorithms=frozenset({"RS256", algorithm}))
    assert caught.value.reason is Reason.ISSUER_INVALID


def test_a_signature_is_checked_before_a_claim_is_believed() -> None:
    """opkssh, CVE-2025-4658 (a signature was bypassed), and oinit-ca, which read the token without verifying it."""
    subject, _ = verifier()
    head, _, tail = mint().reveal().split(".")
    other = mint(claims(sub="victim"), key="rsa-evil").reveal().split(".")[1]
    for text in (f"{head}.{other}.{tail}", mint(claims(sub="victim"), key="rsa-evil").reveal()):
        with pytest.raises(TokenRefused) as caught:
            subject.verify(Secret(text), SSH, NOW)
        assert (caught.value.reason, caught.value.proved) == (Reason.SIGNATURE_INVALID, False)


def test_a_rotated_key_is_learned_without_a_restart() -> None:
    """conch §3.5: keys were fetched once at start, so that a rotation broke every login until somebody restarted it."""
    issuers = _Issuers(profile())
    assert issuers.verifier.verify(mint(), SSH, issuers.now)
    issuers.keys = [public_jwk("rsa-new", "k2")]
    issuers.now += 61
    rotated = mint(claims(iat=issuers.now), key="rsa-new", key_id="k2")
    assert issuers.verifier.verify(rotated, SSH, issuers.now)


def test_a_token_for_one_service_does_not_open_the_next() -> None:
    """conch §3.5: one fixed audience, `account`, for everything; E3 again between two services of one site."""
    subject, _ = verifier()
    for door, audience in AUDIENCES.items():
        for other in AUDIENCES.keys() - {door}:
            with pytest.raises(TokenRefused) as caught:
                subject.verify(mint(claims(aud=audience)), other, NOW)
            assert caught.value.reason is Reason.AUDIENCE_REFUSED


def test_a_key_for_one_issuer_opens_nothing_of_another() -> None:
    """flaat §2.3 (one client secret for all issuers): here each issuer's keys are its own, also under one key id."""

    class OwnKeys(FakeIssuerKeys):
        def find_key(self, profile: IssuerProfile, key_id: str | None) -> Mapping[str, Any] | None:
            name = "rsa" if profile.issuer == ISSUER else "rsa-other"
            return public_jwk(name, str(key_id))

    other = Issuer("https://other.example/")
    subject, _ = verifier(profile(), profile(issuer=other), keys=OwnKeys(()))
    assert subject.verify(mint(), SSH, NOW)
    with pytest.raises(TokenRefused) as caught:
        subject.verify(mint(claims(iss=other)), SSH, NOW)
    assert caught.value.reason is Reason.SIGNATURE_INVALID
    assert private_key("rsa") is not private_key("rsa-other")
    assert subject.verify(Secret(sign(payload=claims(iss=other), key="rsa-other")), SSH, NOW)
