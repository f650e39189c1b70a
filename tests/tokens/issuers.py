"""Family: issuers that look like the trusted one. None of them may cause a request to anybody."""

from __future__ import annotations

import json
from typing import Any

from idmap.domain.identity import Issuer
from idmap.domain.reasons import Reason
from tests.support.tokens import claims
from tests.tokens.cases import HEADER, Case, Make, passes, sign, unread, with_claims

_UNKNOWN = Reason.ISSUER_UNKNOWN
_ALIAS = {"aliases": frozenset({Issuer("https://iam.example")})}


def _iss(value: Any) -> Make:
    return lambda door: sign(HEADER, {**claims(door), "iss": value})


def _no_iss(door: Any) -> str:
    return sign(HEADER, json.dumps({n: v for n, v in claims(door).items() if n != "iss"}).encode())


CASES: tuple[Case, ...] = (
    unread("no issuer", _UNKNOWN, _no_iss),
    unread("issuer null", _UNKNOWN, _iss(None)),
    unread("issuer empty", _UNKNOWN, _iss("")),
    unread("issuer a number", _UNKNOWN, _iss(7)),
    unread("issuer true", _UNKNOWN, _iss(True)),
    unread("issuer a list holding the right one", _UNKNOWN, _iss(["https://iam.example/"])),
    unread("issuer an object", _UNKNOWN, _iss({"url": "https://iam.example/"})),
    unread("a stranger", _UNKNOWN, _iss("https://evil.example/")),
    unread("without the slash", _UNKNOWN, _iss("https://iam.example")),
    unread("with two slashes", _UNKNOWN, _iss("https://iam.example//")),
    unread("with a path", _UNKNOWN, _iss("https://iam.example/realms/x")),
    unread("with a dot segment", _UNKNOWN, _iss("https://iam.example/.")),
    unread("with a query", _UNKNOWN, _iss("https://iam.example/?")),
    unread("with a fragment", _UNKNOWN, _iss("https://iam.example/#")),
    unread("over http", _UNKNOWN, _iss("http://iam.example/")),
    unread("scheme in capitals", _UNKNOWN, _iss("HTTPS://iam.example/")),
    unread("without a scheme", _UNKNOWN, _iss("iam.example/")),
    unread("scheme-relative", _UNKNOWN, _iss("//iam.example/")),
    unread("host in capitals", _UNKNOWN, _iss("https://IAM.example/")),
    unread("with www", _UNKNOWN, _iss("https://www.iam.example/")),
    unread("with the default port", _UNKNOWN, _iss("https://iam.example:443/")),
    unread("with another port", _UNKNOWN, _iss("https://iam.example:8443/")),
    unread("with the root dot", _UNKNOWN, _iss("https://iam.example./")),
    unread("a Cyrillic letter", _UNKNOWN, _iss("https://iаm.example/")),
    unread("a Greek letter", _UNKNOWN, _iss("https://ιam.example/")),
    unread("full-width letters", _UNKNOWN, _iss("https://ｉam.example/")),
    unread("a full-width full stop", _UNKNOWN, _iss("https://iam．example/")),
    unread("a fraction slash", _UNKNOWN, _iss("https://iam.example⁄")),
    unread("a combining mark", _UNKNOWN, _iss("https://i\u0301am.example/")),
    unread("a soft hyphen", _UNKNOWN, _iss("https://i\u00adam.example/")),
    unread("a right-to-left override", _UNKNOWN, _iss("\u202ehttps://iam.example/")),
    unread("punycode of a look-alike", _UNKNOWN, _iss("https://xn--im-7cd.example/")),
    unread("percent-encoded", _UNKNOWN, _iss("https://%69am.example/")),
    unread("a blank behind", _UNKNOWN, _iss("https://iam.example/ ")),
    unread("a blank in front", _UNKNOWN, _iss(" https://iam.example/")),
    unread("a newline behind", _UNKNOWN, _iss("https://iam.example/\n")),
    unread("a zero byte behind", _UNKNOWN, _iss("https://iam.example/\0")),
    unread("user info", _UNKNOWN, _iss("https://iam.example@evil.example/")),
    unread("user info in front", _UNKNOWN, _iss("https://x@iam.example/")),
    unread("a subdomain of the attacker", _UNKNOWN, _iss("https://iam.example.evil.example/")),
    unread("a prefix of the attacker", _UNKNOWN, _iss("https://eviliam.example/")),
    unread("a prefix of the string", _UNKNOWN, _iss("https://iam.examp")),
    unread("a backslash", _UNKNOWN, _iss("https://iam.example\\")),
    unread("the metadata service", _UNKNOWN, _iss("http://169.254.169.254/")),
    unread("a file", _UNKNOWN, _iss("file:///etc/passwd")),
    unread("fifteen thousand characters", _UNKNOWN, _iss("https://iam.example/" + "a" * 10_000)),
    unread("a pattern", _UNKNOWN, _iss("https://.*")),
    unread("an alias of nobody", _UNKNOWN, with_claims(iss="https://old.example/"), trust=_ALIAS),
    unread("an alias in capitals", _UNKNOWN, with_claims(iss="https://IAM.example"), trust=_ALIAS),
    passes("an alias that is listed", with_claims(iss="https://iam.example"), trust=_ALIAS),
    passes("the issuer beside its alias", with_claims(), trust=_ALIAS),
    passes("the issuer with escaped slashes", lambda door: sign(HEADER, json.dumps(claims(door)).replace("/", "\\/").encode())),
)  # fmt: skip
