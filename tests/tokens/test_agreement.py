"""Agreement with PyJWT and python-jose over thousands of generated tokens.

What we accept, both accept. What they accept under our restrictions (this issuer, this audience, these algorithms,
this leeway, these claims required) and we refuse, we refuse by a rule of the table below, which they do not have.
python-jose reads RS and ES only, and its `at_hash` check is off: it wants the other token of the pair.
"""

from __future__ import annotations

import datetime as real
import json
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import jose.jwt
import jwt
import pytest
from jose.exceptions import JOSEError

from idmap.domain.errors import TokenRefused
from idmap.domain.reasons import Reason
from idmap.domain.secrets import Secret
from tests.support.tokens import (
    AUDIENCES,
    ISSUER,
    NOW,
    SSH,
    FakeIssuerKeys,
    claims,
    profile,
    public_jwk,
    segment,
    verifier,
)
from tests.tokens.cases import ALL_ALGORITHMS, sign, signature

SEEDS: Final = range(8)
TOKENS_PER_SEED: Final = 400
LEEWAY: Final = 60
BY_ALGORITHM: Final = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "rsa"),
    "ES256": "p256",
    "ES384": "p384",
    "ES512": "p521",
    "EdDSA": "ed",
}
OURS_ALONE: Final[Mapping[Reason, str]] = {
    Reason.TOKEN_MALFORMED: "one spelling of base64url; no duplicate members, endless numbers, lone surrogates, deep nesting",
    Reason.TOKEN_TOO_LARGE: "16 KiB",
    Reason.HEADER_REFUSED: "members that bring a key, change what is signed, or belong to JWE are not skipped but refused",
    Reason.TYPE_REFUSED: "a token of another type is not an access token (RFC 9068 §4, RFC 8725 §3.11)",
    Reason.KEY_UNKNOWN: "`kid` chooses the key; the libraries are handed one and do not look",
    Reason.TOKEN_TOO_OLD: "the profile's maximum age",
    Reason.CLAIM_INVALID: "dates are JSON numbers, subjects printable ASCII, ids short",
    Reason.SENDER_CONSTRAINED: "`cnf` asks for a proof that nobody checked",
    Reason.WLCG_VERSION_REFUSED: "an unknown major version of the WLCG profile",
    Reason.ROBOT_REFUSED: "the subject is a client or a host",
}
"""Rules that neither library has. Nothing about signatures, algorithms, issuer, audience or expiry is among them."""


@dataclass(frozen=True)
class _Generated:
    text: str
    algorithm: str
    """The algorithm that the key belongs to, whatever the header says."""


class _Clock(real.datetime):
    """The libraries' clock, standing at NOW."""

    @classmethod
    def now(cls, tz: real.tzinfo | None = None) -> Any:
        return real.datetime.fromtimestamp(NOW, tz)


@pytest.fixture(autouse=True)
def _stopped_clocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jwt.api_jwt.datetime", _Clock)
    monkeypatch.setattr("jose.jwt.datetime", _Clock)


def _generate(chance: random.Random) -> _Generated:
    """A token that is good, or wrong in a way or two."""
    algorithm = chance.choice(sorted(BY_ALGORITHM))
    header: dict[str, Any] = {"alg": algorithm, "kid": algorithm}
    payload = claims()
    for _ in range(chance.choice((0, 0, 1, 1, 2))):
        _bend(chance, header, payload)
    key = BY_ALGORITHM[algorithm] + chance.choice(("",) * 15 + ("-evil",))
    body = json.dumps(payload)
    if chance.random() < 0.04:
        extra = chance.choice(
            (
                '"sub":"root"',
                '"x":NaN',
                f'"x":{"9" * 40}',
                r'"x":"\ud800"',
                f'"x":{"[" * 20}{"]" * 20}',
            )
        )
        body = f"{body[:-1]},{extra}}}"  # fmt: skip
    text = sign(header, body.encode(), key=key, algorithm=algorithm)
    return _Generated(_damage(chance, text, key, algorithm), algorithm)


def _bend(chance: random.Random, header: dict[str, Any], payload: dict[str, Any]) -> None:
    edge = chance.choice(
        (-LEEWAY - 1, -LEEWAY, -LEEWAY + 1, -1, 0, 1, LEEWAY - 1, LEEWAY, LEEWAY + 1)
    )
    audience = AUDIENCES[SSH]
    name, value = chance.choice((
        ("exp", NOW + edge), ("exp", NOW + edge + 0.5), ("iat", NOW + edge), ("nbf", NOW + edge), ("nbf", NOW + edge + 0.5),
        ("iat", NOW - 86_400 + edge), ("exp", None), ("iat", None), ("exp", str(NOW + 60)), ("nbf", "soon"), ("iat", True),
        ("aud", [audience]), ("aud", ["https://other", audience]), ("aud", "https://other"), ("aud", []), ("aud", None),
        ("aud", audience[:-1]), ("aud", [audience, 7]), ("iss", "https://iam.example"), ("iss", None), ("iss", "https://evil/"),
        ("sub", "host:wn1"), ("sub", "demo-client"), ("sub", None), ("sub", 7), ("sub", "алиса"), ("sub", "a" * 256), ("sub", ""),
        ("jti", 7), ("jti", "j" * 256), ("cnf", {"jkt": "x"}), ("wlcg.ver", "1.2"), ("wlcg.ver", "2.0"), ("client_id", 7),
        ("groups", ["vo", 7]), ("at_hash", "x"), ("nonce", "n"), ("pad", "p" * 13_000),
        ("typ:", "JWT"), ("typ:", "at+jwt"), ("typ:", "id_token+jwt"), ("typ:", "application/jwt"), ("jku:", "https://evil/"),
        ("jwk:", {"kty": "oct", "k": "AA"}), ("x5c:", ["MII"]), ("zip:", "DEF"), ("crit:", ["exp"]), ("b64:", True), ("x:", 1),
        ("alg:", "none"), ("alg:", "HS256"), ("alg:", "RS256"), ("alg:", "ES256"), ("alg:", "PS512"), ("kid:", "other"),
    ))  # fmt: skip
    target = header if name.endswith(":") else payload
    if value is None:
        target.pop(name, None)
    else:
        target[name.removesuffix(":")] = value


def _damage(chance: random.Random, text: str, key: str, algorithm: str) -> str:
    head, body, tail = text.split(".")
    good = signature(f"{head}.{body}", key, algorithm)
    match chance.randrange(40):
        case 0:
            return f"{head}.{body}.{segment(good[:-1])}"
        case 1:
            return f"{head}.{body}.{segment(good + bytes(1))}"
        case 2:
            return f"{head}.{body}.{segment(bytes(len(good)))}"
        case 3:
            return f"{head}.{body}."
        case 4:
            return f"{head}.{body}.{tail}="
        case 5:
            return f"{head}.{segment(claims(sub='root'))}.{tail}"
        case 6:
            return f"{head}.{body}"
    return text


def _pyjwt_accepts(token: _Generated) -> bool:
    key = jwt.PyJWK(public_jwk(BY_ALGORITHM[token.algorithm], token.algorithm), token.algorithm)
    try:
        jwt.decode(
            token.text,
            key,
            [token.algorithm],
            audience=AUDIENCES[SSH],
            issuer=ISSUER,
            leeway=LEEWAY,
            options={"require": ["exp", "iat", "aud", "iss", "sub"]},
        )
    except jwt.PyJWTError:
        return False
    return True


def _python_jose_accepts(token: _Generated) -> bool:
    required = dict.fromkeys(
        ("require_exp", "require_iat", "require_aud", "require_iss", "require_sub"), True
    )
    try:
        jose.jwt.decode(
            token.text,
            public_jwk(BY_ALGORITHM[token.algorithm], token.algorithm),
            [token.algorithm],
            audience=AUDIENCES[SSH],
            issuer=ISSUER,
            options={**required, "leeway": LEEWAY, "verify_at_hash": False},
        )
    except JOSEError:
        return False
    return True


def _ours(token: _Generated) -> Reason | None:
    keys = FakeIssuerKeys(tuple(public_jwk(key, name) for name, key in BY_ALGORITHM.items()))
    subject, _ = verifier(profile(algorithms=ALL_ALGORITHMS), keys=keys)
    try:
        subject.verify(Secret(token.text), SSH, NOW)
    except TokenRefused as refusal:
        return refusal.reason
    return None


def test_what_we_accept_others_accept_and_what_we_alone_refuse_has_a_rule() -> None:
    """Both directions, token by token; and the generation reached good tokens and every rule of the table."""
    seen: Counter[Reason | None] = Counter()
    for seed in SEEDS:
        chance = random.Random(seed)
        for _ in range(TOKENS_PER_SEED):
            token = _generate(chance)
            reason = _ours(token)
            theirs = [_pyjwt_accepts(token)]
            if token.algorithm[:2] in {"RS", "ES"}:
                theirs.append(_python_jose_accepts(token))
            if reason is None:
                assert all(theirs), token
            if all(theirs):
                assert reason is None or reason in OURS_ALONE, (reason, token)
                seen[reason] += 1
    assert seen[None] > len(SEEDS) * TOKENS_PER_SEED // 4
    assert seen.keys() - {None} == OURS_ALONE.keys()
