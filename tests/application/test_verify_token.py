"""Token verification: what passes, and named hostile tokens with the reason each must get."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from jose import jwt as python_jose

from idmap.domain.claims import Check
from idmap.domain.doors import ADMIN, API, Door
from idmap.domain.errors import TokenRefused
from idmap.domain.identity import Issuer
from idmap.domain.reasons import Reason
from idmap.domain.secrets import Secret
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
    segment,
    verifier,
)  # fmt: skip


def _refusal(token: Secret, door: Door = SSH, at: int = NOW, **kwargs: Any) -> TokenRefused:
    subject, _ = verifier(**kwargs)
    with pytest.raises(TokenRefused) as caught:
        subject.verify(token, door, at)
    return caught.value


def test_an_ordinary_token_gives_its_identity() -> None:
    """The canonical issuer and the subject, and nothing derived from e-mail or names."""
    subject, _ = verifier()
    verified = subject.verify(mint(claims(email="root@localhost")), SSH, NOW)
    assert (ISSUER, claims()["sub"]) == (verified.identity.issuer, verified.identity.subject)


def test_an_alias_is_the_canonical_issuer() -> None:
    """Aliases are explicit; the identity always carries the canonical string (law 1)."""
    subject, _ = verifier(profile(aliases=frozenset({Issuer("https://iam.example")})))
    verified = subject.verify(mint(claims(iss="https://iam.example")), SSH, NOW)
    assert verified.identity.issuer == ISSUER


def test_independent_libraries_accept_what_we_accept() -> None:
    """python-jose and PyJWT agree on a token that we accept."""
    token = mint()
    pem = (
        private_key("rsa")
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    options = {"verify_exp": False, "verify_iat": False}
    assert python_jose.decode(
        token.reveal(),
        pem.decode(),
        ["RS256"],
        options={**options, "verify_at_hash": False},
        audience=AUDIENCES[SSH],
    )
    assert jwt.decode(token.reveal(), pem, ["RS256"], options=options, audience=AUDIENCES[SSH])
    subject, _ = verifier()
    assert subject.verify(token, SSH, NOW)


def test_elliptic_curve_and_edwards_tokens_pass_where_listed() -> None:
    """ES256 by default; Ed25519 only where the profile lists it."""
    keys = FakeIssuerKeys((public_jwk("p256", "e1"), public_jwk("ed", "d1")))
    subject, _ = verifier(profile(algorithms=frozenset({"ES256", "EdDSA"})), keys=keys)
    assert subject.verify(mint(key="p256", key_id="e1", algorithm="ES256"), SSH, NOW)
    assert subject.verify(mint(key="ed", key_id="d1", algorithm="EdDSA"), SSH, NOW)


def _none_algorithm(name: str) -> Callable[[], Secret]:
    return lambda: Secret(
        f"{segment({'alg': name, 'kid': 'k1'})}.{segment(claims())}.{segment(b'x')}"
    )


def _hmac_with_public_key() -> Secret:
    signed = f"{segment({'alg': 'HS256', 'kid': 'k1'})}.{segment(claims())}"
    pem = (
        private_key("rsa")
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return Secret(f"{signed}.{segment(hmac.digest(pem, signed.encode(), hashlib.sha256))}")


def _altered(**changes: Any) -> Callable[[], Secret]:
    def make() -> Secret:
        head, _, signature = mint().reveal().split(".")
        return Secret(f"{head}.{segment(claims(**changes))}.{signature}")

    return make


def _raw(header: bytes, payload: bytes) -> Callable[[], Secret]:
    return lambda: Secret(f"{segment(header)}.{segment(payload)}.{segment(b'signature')}")


def _psychic() -> Secret:
    """CVE-2022-21449: an ECDSA signature of zeros."""
    signed = f"{segment({'alg': 'ES256', 'kid': 'e1'})}.{segment(claims())}"
    return Secret(f"{signed}.{segment(bytes(64))}")


def _with_stray_bits() -> Secret:
    head, body, signature = mint().reveal().split(".")
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return Secret(f"{head}.{body}.{signature[:-1]}{last[last.index(signature[-1]) ^ 1]}")


_HEADER = b'{"alg":"RS256","kid":"k1"}'
_GOOD = json.dumps(claims()).encode()

BEFORE_PROOF: dict[str, tuple[Callable[[], Secret], Reason]] = {
    "empty": (lambda: Secret(""), Reason.TOKEN_OPAQUE),
    "opaque": (lambda: Secret("8xLOxBtZp8"), Reason.TOKEN_OPAQUE),
    "two parts": (lambda: Secret("a.b"), Reason.TOKEN_OPAQUE),
    "four parts": (lambda: Secret(mint().reveal() + ".x"), Reason.TOKEN_OPAQUE),
    "JWE of five parts": (lambda: Secret("a.b.c.d.e"), Reason.TOKEN_MALFORMED),
    "one megabyte": (lambda: Secret("a" * 1_000_000), Reason.TOKEN_TOO_LARGE),
    "trailing newline": (lambda: Secret(mint().reveal() + "\n"), Reason.TOKEN_MALFORMED),
    "leading blank": (lambda: Secret(" " + mint().reveal()), Reason.TOKEN_MALFORMED),
    "padded base64": (lambda: Secret(mint().reveal() + "="), Reason.TOKEN_MALFORMED),
    "standard base64 alphabet": (lambda: Secret("e+/=.e30.e30"), Reason.TOKEN_MALFORMED),
    "stray bits in the last character": (_with_stray_bits, Reason.TOKEN_MALFORMED),
    "empty signature": (lambda: Secret(mint().reveal().rsplit(".", 1)[0] + "."), Reason.TOKEN_MALFORMED),
    "non-ASCII": (lambda: Secret("é.é.é"), Reason.TOKEN_MALFORMED),
    "header is a list": (_raw(b"[]", _GOOD), Reason.TOKEN_MALFORMED),
    "payload is a string": (_raw(_HEADER, b'"x"'), Reason.TOKEN_MALFORMED),
    "payload is not UTF-8": (_raw(_HEADER, b'{"a":"\xff"}'), Reason.TOKEN_MALFORMED),
    "payload is not JSON": (_raw(_HEADER, b"{"), Reason.TOKEN_MALFORMED),
    "duplicate header member": (_raw(b'{"alg":"none","alg":"RS256","kid":"k1"}', _GOOD), Reason.TOKEN_MALFORMED),
    "duplicate claim": (_raw(_HEADER, b'{"sub":"a","sub":"b"}'), Reason.TOKEN_MALFORMED),
    "NaN": (_raw(_HEADER, b'{"exp":NaN}'), Reason.TOKEN_MALFORMED),
    "Infinity": (_raw(_HEADER, b'{"exp":Infinity}'), Reason.TOKEN_MALFORMED),
    "a number of 5 000 digits": (_raw(_HEADER, b'{"exp":' + b"9" * 5000 + b"}"), Reason.TOKEN_MALFORMED),
    "a float of 5 000 digits": (_raw(_HEADER, b'{"exp":0.' + b"9" * 5000 + b"}"), Reason.TOKEN_MALFORMED),
    "JSON nested 4 000 deep": (_raw(_HEADER, b'{"a":' + b"[" * 4000 + b"]" * 4000 + b"}"), Reason.TOKEN_MALFORMED),
    "crit": (lambda: mint(header={"crit": ["exp"], "exp": 1}), Reason.HEADER_REFUSED),
    "b64=false": (_raw(b'{"alg":"RS256","kid":"k1","b64":false}', _GOOD), Reason.HEADER_REFUSED),
    "jku": (lambda: mint(header={"jku": "https://evil.example/jwks"}), Reason.HEADER_REFUSED),
    "x5u": (lambda: mint(header={"x5u": "https://evil.example/x"}), Reason.HEADER_REFUSED),
    "x5c": (lambda: mint(header={"x5c": ["MII"]}), Reason.HEADER_REFUSED),
    "jwk brings its own key": (
        lambda: mint(key="rsa-evil", header={"jwk": public_jwk("rsa-evil", "k1")}), Reason.HEADER_REFUSED,
    ),
    "zip": (lambda: mint(header={"zip": "DEF"}), Reason.HEADER_REFUSED),
    "no issuer": (lambda: mint(claims(iss=None)), Reason.ISSUER_UNKNOWN),
    "issuer is a number": (lambda: mint({**claims(), "iss": "7"}), Reason.ISSUER_UNKNOWN),
    "issuer without the slash": (lambda: mint(claims(iss="https://iam.example")), Reason.ISSUER_UNKNOWN),
    "issuer with two slashes": (lambda: mint(claims(iss="https://iam.example//")), Reason.ISSUER_UNKNOWN),
    "issuer over http": (lambda: mint(claims(iss="http://iam.example/")), Reason.ISSUER_UNKNOWN),
    "issuer in capitals": (lambda: mint(claims(iss="https://IAM.example/")), Reason.ISSUER_UNKNOWN),
    "issuer with a look-alike letter": (lambda: mint(claims(iss="https://iаm.example/")), Reason.ISSUER_UNKNOWN),
    "issuer with a blank": (lambda: mint(claims(iss="https://iam.example/ ")), Reason.ISSUER_UNKNOWN),
    "issuer with user info": (lambda: mint(claims(iss="https://iam.example@evil/")), Reason.ISSUER_UNKNOWN),
    "an ID token's type": (lambda: mint(header={"typ": "id_token+jwt"}), Reason.TYPE_REFUSED),
    "a logout token's type": (lambda: mint(header={"typ": "logout+jwt"}), Reason.TYPE_REFUSED),
    "alg none": (_none_algorithm("none"), Reason.ALGORITHM_REFUSED),
    "alg None": (_none_algorithm("None"), Reason.ALGORITHM_REFUSED),
    "alg NONE": (_none_algorithm("NONE"), Reason.ALGORITHM_REFUSED),
    "alg empty": (_none_algorithm(""), Reason.ALGORITHM_REFUSED),
    "alg rs256 in small letters": (_none_algorithm("rs256"), Reason.ALGORITHM_REFUSED),
    "alg is a list": (_raw(b'{"alg":["RS256"],"kid":"k1"}', _GOOD), Reason.ALGORITHM_REFUSED),
    "HS256 with the public key": (_hmac_with_public_key, Reason.ALGORITHM_REFUSED),
    "alg not in the profile": (
        lambda: mint(key="rsa", algorithm="RS512"), Reason.ALGORITHM_REFUSED,
    ),
    "ES256 with an RSA key id": (
        lambda: mint(key="p256", key_id="k1", algorithm="ES256"), Reason.ALGORITHM_REFUSED,
    ),
    "kid unknown": (lambda: mint(key_id="other"), Reason.KEY_UNKNOWN),
    "kid a path": (lambda: mint(key_id="../../etc/passwd"), Reason.KEY_UNKNOWN),
    "kid an SQL fragment": (lambda: mint(key_id="' OR 1=1 --"), Reason.KEY_UNKNOWN),
    "kid overlong": (lambda: mint(key_id="k" * 5000), Reason.KEY_UNKNOWN),
    "kid a number": (_raw(b'{"alg":"RS256","kid":1}', _GOOD), Reason.KEY_UNKNOWN),
    "kid absent with several keys": (lambda: mint(key_id=None), Reason.KEY_UNKNOWN),
    "signed by another key": (lambda: mint(key="rsa-evil"), Reason.SIGNATURE_INVALID),
    "payload altered": (_altered(sub="somebody-else"), Reason.SIGNATURE_INVALID),
    "audience altered": (_altered(aud="ssh://other"), Reason.SIGNATURE_INVALID),
    "psychic ECDSA signature": (_psychic, Reason.SIGNATURE_INVALID),
}  # fmt: skip


@pytest.mark.parametrize("case", BEFORE_PROOF)
def test_a_hostile_token_is_refused_before_anything_is_proved(case: str) -> None:
    """Each is refused with its own reason, and the outside learns nothing (`proved` is false)."""
    make, reason = BEFORE_PROOF[case]
    refusal = _refusal(make())
    assert (reason, False) == (refusal.reason, refusal.proved)


_KEY_IS_ASKED_FROM = list(BEFORE_PROOF).index("ES256 with an RSA key id")


@pytest.mark.parametrize("case", list(BEFORE_PROOF)[:_KEY_IS_ASKED_FROM])
def test_no_key_is_asked_for_before_issuer_and_algorithm_matched(case: str) -> None:
    """flaat fetched the attacker's URL before asking whether it trusted it (E1); here nothing is asked."""
    subject, keys = verifier()
    with pytest.raises(TokenRefused):
        subject.verify(BEFORE_PROOF[case][0](), SSH, NOW)
    assert keys.asked == []


AFTER_PROOF: dict[str, tuple[dict[str, Any], Reason]] = {
    "no exp": ({"exp": None}, Reason.CLAIM_MISSING),
    "no iat": ({"iat": None}, Reason.CLAIM_MISSING),
    "no aud": ({"aud": None}, Reason.CLAIM_MISSING),
    "no sub": ({"sub": None}, Reason.CLAIM_MISSING),
    "exp in text": ({"exp": "1900000000"}, Reason.CLAIM_INVALID),
    "exp true": ({"exp": True}, Reason.CLAIM_INVALID),
    "exp negative": ({"exp": -1}, Reason.CLAIM_INVALID),
    "exp beyond exactness": ({"exp": 2**60}, Reason.CLAIM_INVALID),
    "expired": ({"exp": NOW - 61}, Reason.TOKEN_EXPIRED),
    "iat in the future": ({"iat": NOW + 61}, Reason.TOKEN_NOT_YET_VALID),
    "nbf in the future": ({"nbf": NOW + 61}, Reason.TOKEN_NOT_YET_VALID),
    "issued two days ago": ({"iat": NOW - 2 * 86400}, Reason.TOKEN_TOO_OLD),
    "audience of another door": ({"aud": AUDIENCES[API]}, Reason.AUDIENCE_REFUSED),
    "audience a substring": ({"aud": AUDIENCES[SSH][:-1]}, Reason.AUDIENCE_REFUSED),
    "audience a superstring": ({"aud": AUDIENCES[SSH] + "x"}, Reason.AUDIENCE_REFUSED),
    "audience in capitals": ({"aud": AUDIENCES[SSH].upper()}, Reason.AUDIENCE_REFUSED),
    "audience WLCG any": ({"aud": "https://wlcg.cern.ch/jwt/v1/any"}, Reason.AUDIENCE_REFUSED),
    "audience an empty list": ({"aud": []}, Reason.AUDIENCE_REFUSED),
    "audience a list of lists": ({"aud": [[AUDIENCES[SSH]]]}, Reason.CLAIM_INVALID),
    "audience an object": ({"aud": {"x": 1}}, Reason.CLAIM_INVALID),
    "sub empty": ({"sub": ""}, Reason.CLAIM_INVALID),
    "sub with a zero byte": ({"sub": "a\0b"}, Reason.CLAIM_INVALID),
    "sub with a newline": ({"sub": "a\nb"}, Reason.CLAIM_INVALID),
    "sub overlong": ({"sub": "a" * 256}, Reason.CLAIM_INVALID),
    "sub Unicode": ({"sub": "аlice"}, Reason.CLAIM_INVALID),
    "bound to a key": ({"cnf": {"jkt": "x"}}, Reason.SENDER_CONSTRAINED),
    "WLCG major 2": ({"wlcg.ver": "2.0"}, Reason.WLCG_VERSION_REFUSED),
    "WLCG version a number": ({"wlcg.ver": 1.0}, Reason.WLCG_VERSION_REFUSED),
    "robot: subject is the client": ({"sub": "demo-client"}, Reason.ROBOT_REFUSED),
    "robot: host subject": ({"sub": "host:wn1.example"}, Reason.ROBOT_REFUSED),
}


@pytest.mark.parametrize("case", AFTER_PROOF)
def test_a_signed_token_with_a_bad_claim_is_refused_with_its_reason(case: str) -> None:
    """The signature held, so the person may be told why (`proved` is true)."""
    changes, reason = AFTER_PROOF[case]
    refusal = _refusal(_mint_any(claims(**changes)))
    assert (reason, True) == (refusal.reason, refusal.proved)


def _mint_any(payload: dict[str, Any]) -> Secret:
    """Like `mint`, for payloads that PyJWT refuses to encode."""
    signed = f"{segment({'alg': 'RS256', 'kid': 'k1'})}.{segment(payload)}"
    algorithm = jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256)
    return Secret(f"{signed}.{segment(algorithm.sign(signed.encode(), private_key('rsa')))}")


@pytest.mark.parametrize(
    ("changes", "at"),
    [
        ({"exp": NOW}, NOW + 60),
        ({"iat": NOW + 60}, NOW),
        ({"nbf": NOW + 60}, NOW),
        ({"wlcg.ver": "1.7"}, NOW),
    ],
)
def test_the_leeway_and_newer_minors_are_accepted_to_the_last_second(
    changes: dict[str, Any], at: int
) -> None:
    """Sixty seconds of leeway, and any minor of WLCG profile 1."""
    subject, _ = verifier()
    assert subject.verify(_mint_any(claims(**changes)), SSH, at)


def test_the_audience_may_stand_among_others() -> None:
    """An array opens the door when one of its members is that door's audience (RFC 7519 §4.1.3)."""
    subject, _ = verifier()
    assert subject.verify(mint(claims(aud=["https://other", AUDIENCES[SSH]])), SSH, NOW)


@pytest.mark.parametrize("shown_at", [API, ADMIN, SSH], ids=str)
@pytest.mark.parametrize("made_for", [API, ADMIN, SSH], ids=str)
def test_a_token_opens_one_kind_of_door(made_for: Door, shown_at: Door) -> None:
    """Law 13: every token at every door; only its own opens."""
    subject, _ = verifier()
    if made_for == shown_at:
        assert subject.verify(mint(claims(made_for)), shown_at, NOW).door == shown_at
    else:
        assert _refusal(mint(claims(made_for)), shown_at).reason is Reason.AUDIENCE_REFUSED


def test_the_admin_door_wants_recent_authentication() -> None:
    """Sixteen minutes after authentication is too late, by `auth_time` or else by `iat`."""
    late = mint(claims(ADMIN, auth_time=NOW - 16 * 60 - 1))
    assert _refusal(late, ADMIN).reason is Reason.AUTHENTICATION_TOO_OLD
    old = mint(claims(ADMIN, iat=NOW - 16 * 60 - 1))
    assert _refusal(old, ADMIN).reason is Reason.AUTHENTICATION_TOO_OLD


def test_duplicate_key_ids_name_no_key() -> None:
    """Two keys of one id: neither is tried."""
    keys = FakeIssuerKeys((public_jwk("rsa", "k1"), public_jwk("rsa-evil", "k1")))
    assert _refusal(mint(), keys=keys).reason is Reason.KEY_UNKNOWN


@pytest.mark.parametrize("members", [{"use": "enc"}, {"alg": "RS512"}])
def test_a_key_meant_for_something_else_is_not_used(members: dict[str, str]) -> None:
    """`use` and `alg` of the JWK bind it (RFC 7517 §4.2, §4.4)."""
    keys = FakeIssuerKeys((public_jwk("rsa", "k1", **members),))
    assert _refusal(mint(), keys=keys).reason is Reason.ALGORITHM_REFUSED


def test_the_trace_names_every_check_and_never_the_token() -> None:
    """`explain` shows the checks in order, the failing one last, and nothing of the credential."""
    subject, _ = verifier()
    token = mint(claims(aud="https://elsewhere"))
    trace: list[Check] = []
    with pytest.raises(TokenRefused):
        subject.verify(token, SSH, NOW, trace)
    assert [check.passed for check in trace] == [True] * 6 + [False]
    shown = " ".join(check.shown for check in trace)
    assert not any(part in shown for part in token.reveal().split("."))
