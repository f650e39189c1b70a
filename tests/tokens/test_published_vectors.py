"""The examples printed in the RFCs: signatures of others' making, which ours must read and check rightly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pytest

from idmap.adapters.oidc.signatures import JoseSignatures
from idmap.domain.errors import TokenRefused
from idmap.domain.reasons import Reason
from idmap.domain.secrets import Secret
from idmap.domain.tokens import UnverifiedToken, parse_token
from tests.support.tokens import NOW, SSH, verifier

_JOE = (
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
)
"""The claims that the examples of RFC 7515 A.1 to A.3 and RFC 7519 §3.1 share."""

_A2: Final = (
    f"eyJhbGciOiJSUzI1NiJ9.{_JOE}."
    "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CU"
    "Ar7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_d"
    "O--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0ig"
    "cN_IoypGlUPQGe77Rw"
)
_A3: Final = (
    f"eyJhbGciOiJFUzI1NiJ9.{_JOE}."
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
)
_A4: Final = (
    "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA."
    "AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2Y"
    "BJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn"
)
_ED25519: Final = (
    "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
    "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
)
_KEYS: Final[Mapping[str, Mapping[str, Any]]] = {
    "RS256": {
        "kty": "RSA",
        "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2"
        "lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2"
        "R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW"
        "9gb54h4FRWyuXpoQ",
        "e": "AQAB",
    },
    "ES256": {
        "kty": "EC",
        "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    },
    "ES512": {
        "kty": "EC",
        "crv": "P-521",
        "x": "AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk",
        "y": "ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2",
    },
    "EdDSA": {
        "kty": "OKP",
        "crv": "Ed25519",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    },
}
_SIGNED: Final = {
    "RFC 7515 A.2": ("RS256", _A2),
    "RFC 7515 A.3": ("ES256", _A3),
    "RFC 7515 A.4": ("ES512", _A4),
    "RFC 8037 A.4": ("EdDSA", _ED25519),
    "RFC 8037 A.4 by the name of RFC 9864": ("Ed25519", _ED25519),
}


def _unread(compact: str) -> UnverifiedToken:
    """The parts without reading what they say: two of the examples sign plain text."""
    head, body, tail = compact.split(".")
    signature = parse_token(Secret(f"e30.e30.{tail}")).signature
    return UnverifiedToken({}, {}, f"{head}.{body}".encode(), signature)


@pytest.mark.parametrize("name", _SIGNED)
def test_a_published_signature_holds(name: str) -> None:
    """RS256, ES256 and ES512 of RFC 7515, Ed25519 of RFC 8037."""
    algorithm, compact = _SIGNED[name]
    key = _KEYS["EdDSA" if algorithm == "Ed25519" else algorithm]
    assert JoseSignatures().check(_unread(compact), key, algorithm)


@pytest.mark.parametrize("name", _SIGNED)
def test_a_published_signature_holds_over_nothing_else(name: str) -> None:
    """One character of what is signed changed, and one bit of the signature turned."""
    algorithm, compact = _SIGNED[name]
    key = _KEYS["EdDSA" if algorithm == "Ed25519" else algorithm]
    token = _unread(compact)
    other_text = UnverifiedToken({}, {}, token.signed + b"A", token.signature)
    bent = bytes([token.signature[0] ^ 1]) + token.signature[1:]
    other_signature = UnverifiedToken({}, {}, token.signed, bent)
    assert not JoseSignatures().check(other_text, key, algorithm)
    assert not JoseSignatures().check(other_signature, key, algorithm)


@pytest.mark.parametrize("compact", [_A2, _A3], ids=["RFC 7515 A.2", "RFC 7515 A.3"])
def test_the_published_claims_are_read(compact: str) -> None:
    """The examples that sign claims come through the strict reader whole."""
    token = parse_token(Secret(compact))
    assert token.claims == {"iss": "joe", "exp": 1300819380, "http://example.com/is_root": True}


@pytest.mark.parametrize(
    ("compact", "reason"),
    [
        (
            # RFC 7515 A.1 and RFC 7519 §3.1: HMAC.
            f"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{_JOE}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
            Reason.ISSUER_UNKNOWN,
        ),
        (f"eyJhbGciOiJub25lIn0.{_JOE}.", Reason.TOKEN_MALFORMED),  # RFC 7515 A.5, RFC 7519 §6.1
        (_A4, Reason.TOKEN_MALFORMED),  # signs the word "Payload"
        (_ED25519, Reason.TOKEN_MALFORMED),
    ],
    ids=["HMAC", "unsecured", "plain text", "plain text by Ed25519"],
)
def test_published_examples_that_are_no_access_token_are_refused(
    compact: str, reason: Reason
) -> None:
    """A good signature, or none at all, over something that is not a trusted issuer's claims."""
    subject, keys = verifier()
    with pytest.raises(TokenRefused) as caught:
        subject.verify(Secret(compact), SSH, NOW)
    assert (caught.value.reason, keys.asked) == (reason, [])
