"""Family: headers that bring their own key, change what is signed, or name another kind of token."""

from __future__ import annotations

from idmap.domain.reasons import Reason
from tests.support.tokens import claims, public_jwk
from tests.tokens.cases import (
    HEADER,
    Case,
    passes,
    sign,
    unread,
    with_header,
    with_raw_header,
)

_HEADER = Reason.HEADER_REFUSED
_TYPE = Reason.TYPE_REFUSED

_MEMBERS: tuple[Case, ...] = (
    unread("jku of a stranger", _HEADER, with_header(jku="https://evil.example/jwks.json")),
    unread("jku of the issuer itself", _HEADER, with_header(jku="https://iam.example/jwk")),
    unread("jku of the metadata service", _HEADER, with_header(jku="http://169.254.169.254/latest")),
    unread("jku of a file", _HEADER, with_header(jku="file:///etc/passwd")),
    unread("jku empty", _HEADER, with_header(jku="")),
    unread("jku null", _HEADER, with_raw_header(b'{"alg":"RS256","kid":"k1","jku":null}')),
    unread("jku with its name escaped", _HEADER, with_raw_header(b'{"alg":"RS256","kid":"k1","\\u006aku":"https://evil.example"}')),
    unread(
        "jwk brings its own key",
        _HEADER,
        lambda door: sign({**HEADER, "jwk": public_jwk("rsa-evil", "k1")}, claims(door), key="rsa-evil"),
    ),
    unread("jwk is the issuer's own key", _HEADER, lambda door: sign({**HEADER, "jwk": public_jwk("rsa", "k1")}, claims(door))),
    unread("x5u", _HEADER, with_header(x5u="https://evil.example/cert.pem")),
    unread("x5c", _HEADER, with_header(x5c=["MIIB"])),
    unread("x5c empty", _HEADER, with_header(x5c=[])),
    unread("crit of an extension", _HEADER, with_header(crit=["urn:example:x"], **{"urn:example:x": 1})),
    unread("crit of exp", _HEADER, with_header(crit=["exp"], exp=1)),
    unread("crit empty", _HEADER, with_header(crit=[])),
    unread("crit a string", _HEADER, with_header(crit="b64")),
    unread("b64 false", _HEADER, with_header(b64=False)),
    unread("b64 false and critical", _HEADER, with_header(b64=False, crit=["b64"])),
    unread("b64 true", _HEADER, with_header(b64=True)),
    unread("zip", _HEADER, with_header(zip="DEF")),
    unread("enc", _HEADER, with_header(enc="A256GCM")),
    unread("epk", _HEADER, with_header(epk={"kty": "EC"})),
    unread("p2c of ten million", _HEADER, with_header(p2c=10_000_000)),
    unread("p2s", _HEADER, with_header(p2s="c2FsdA")),
    passes("x5t names a certificate and is not followed", with_header(x5t="dGVzdA")),
    passes("a member nobody knows", with_header(private="x")),
    passes("member names in capitals are other members", with_header(JKU="https://evil.example/")),
    passes("cty", with_header(cty="json")),
)  # fmt: skip

_TYPES: tuple[Case, ...] = (
    unread("an ID token's type", _TYPE, with_header(typ="id_token+jwt")),
    unread("a logout token", _TYPE, with_header(typ="logout+jwt")),
    unread("a security event", _TYPE, with_header(typ="secevent+jwt")),
    unread("a DPoP proof", _TYPE, with_header(typ="dpop+jwt")),
    unread("an authorisation request", _TYPE, with_header(typ="oauth-authz-req+jwt")),
    unread("a client assertion", _TYPE, with_header(typ="client-authentication+jwt")),
    unread("an introspection answer", _TYPE, with_header(typ="token-introspection+jwt")),
    unread("an entity statement", _TYPE, with_header(typ="entity-statement+jwt")),
    unread("a verifiable credential", _TYPE, with_header(typ="vc+sd-jwt")),
    unread("JOSE", _TYPE, with_header(typ="JOSE")),
    unread("JWE", _TYPE, with_header(typ="JWE")),
    unread("a refresh token (Keycloak)", _TYPE, with_header(typ="Refresh")),
    unread("typ with a blank", _TYPE, with_header(typ="JWT ")),
    unread("typ with application twice", _TYPE, with_header(typ="application/application/jwt")),
    unread("typ of another tree", _TYPE, with_header(typ="text/jwt")),
    unread("typ with a parameter", _TYPE, with_header(typ="jwt;x=1")),
    unread("typ a longer name", _TYPE, with_header(typ="at+jwt+x")),
    unread("typ in full-width letters", _TYPE, with_header(typ="ＪＷＴ")),
    unread("typ a list", _TYPE, with_header(typ=["JWT"])),
    unread("typ a number", _TYPE, with_header(typ=1)),
    unread("typ null", _TYPE, with_raw_header(b'{"alg":"RS256","kid":"k1","typ":null}')),
    unread("typ absent where RFC 9068 is asked for", _TYPE, with_header(), trust={"accepted_types": frozenset({"at+jwt"})}),
    unread("typ JWT where RFC 9068 is asked for", _TYPE, with_header(typ="JWT"), trust={"accepted_types": frozenset({"at+jwt"})}),
    passes("typ at+jwt where RFC 9068 is asked for", with_header(typ="at+jwt"), trust={"accepted_types": frozenset({"at+jwt"})}),
    passes("typ JWT", with_header(typ="JWT")),
    passes("typ in small letters", with_header(typ="jwt")),
    passes("typ with application (RFC 7515 §4.1.9)", with_header(typ="application/at+jwt")),
    passes("typ empty", with_header(typ="")),
)  # fmt: skip

CASES: tuple[Case, ...] = _MEMBERS + _TYPES
