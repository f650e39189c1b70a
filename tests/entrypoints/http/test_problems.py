"""Every failure is a problem of one shape (RFC 9457), with the status of one table."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from idmap.domain.errors import IdmapError, TokenRefused, Unavailable
from idmap.domain.reasons import REASONS, Reason
from idmap.entrypoints.http.edge import MAX_BODY
from idmap.entrypoints.http.problems import _BY_STATUS, STATUS, public_reason
from tests.entrypoints.http.site import PORTAL, Site

SHAPE = {"type", "title", "status", "code", "next_step", "correlation_id"}


def test_every_reason_has_one_status() -> None:
    """A new reason without a status fails here, not in front of a user."""
    listed = [reason for reasons in _BY_STATUS.values() for reason in reasons]
    assert sorted(listed) == sorted(Reason)
    assert len(STATUS) == len(Reason)


def test_nothing_unproved_has_a_reason_of_its_own() -> None:
    """Law 11, for every reason there is."""
    for reason in Reason:
        assert public_reason(TokenRefused(reason)) is Reason.NOT_ACCEPTED
        assert public_reason(TokenRefused(reason, proved=True)) in {reason, Reason.NOT_ACCEPTED}
    assert public_reason(Unavailable(Reason.ISSUER_UNAVAILABLE)) is Reason.NOT_ACCEPTED


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "options"),
    [
        ("GET", "/nowhere", 404, "not_found", {}),
        ("GET", "/v1/../etc/passwd", 404, "not_found", {}),
        ("GET", "/v1/accounts/", 404, "not_found", {}),
        ("PATCH", "/v1/rules", 405, "request_invalid", {}),
        ("GET", "/v1/accounts/nobody", 404, "not_found", {}),
        ("GET", "/v1/accounts/4294967296", 404, "not_found", {}),
        ("GET", "/v1/rules/versions/99", 404, "not_found", {}),
        ("GET", "/v1/rules/versions/x", 400, "request_invalid", {}),
        ("GET", "/v1/accounts?limit=100000", 400, "request_invalid", {}),
        ("GET", "/v1/accounts?state=dead", 400, "request_invalid", {}),
        ("GET", "/v1/identities?subject=x", 400, "request_invalid", {}),
        ("GET", "/v1/identities?subject_prefix=x", 400, "request_invalid", {}),
        ("GET", "/v1/accounts?after=alice", 400, "request_invalid", {}),
        ("GET", "/v1/accounts?prefix=a%00", 400, "request_invalid", {}),
        ("GET", "/v1/changes?account=nobody", 404, "not_found", {}),
        ("GET", "/v1/changes?until=0.5", 400, "request_invalid", {}),
        ("GET", "/v1/changes?until=17000000000000", 400, "request_invalid", {}),
        ("GET", "/v1/accounts?grace_before=0", 400, "request_invalid", {}),
        ("GET", "/v1/accounts/a%00", 400, "request_invalid", {}),
        ("GET", "/v1/explain", 400, "request_invalid", {}),
        ("GET", "/v1/explain?issuer=https://x/", 400, "request_invalid", {}),
        ("GET", "/v1/explain?account=alice&door=cellar", 400, "request_invalid", {}),
        ("GET", "/v1/explain?account=nobody", 404, "not_found", {}),
        ("GET", "/v1/identities?issuer=x&subject=%C3%A9", 400, "request_invalid", {}),
        ("DELETE", "/v1/bans/7", 404, "not_found", {}),
        ("DELETE", "/v1/nodes/nobody", 404, "not_found", {}),
        ("DELETE", "/v1/issuers?issuer=https://x/", 404, "not_found", {}),
        ("PUT", "/v1/issuers", 422, "issuer_invalid", {"json": {}}),
        ("PUT", "/v1/issuers", 422, "issuer_invalid", {"json": {"surprise": 1}}),
        ("PUT", "/v1/rules", 422, "rule_invalid", {"json": {"format": 9}}),
        ("PUT", "/v1/rules", 400, "request_invalid", {"content": b"{"}),
        ("PUT", "/v1/rules", 400, "request_invalid", {"json": []}),
        ("PUT", "/v1/rules", 400, "request_invalid", {"json": {}, "headers": {"If-Match": "x"}}),
        ("POST", "/v1/bans", 400, "request_invalid", {"json": {"reason": "x"}}),
        ("POST", "/v1/bans", 404, "not_found", {"json": {"account": "nobody"}}),
        ("POST", "/v1/bans", 400, "request_invalid", {"json": {"account": "a", "until": "soon"}}),
        ("POST", "/v1/bans", 400, "request_invalid", {"json": {"account": "a", "surprise": 1}}),
        (
            "POST",
            "/v1/bans",
            400,
            "request_invalid",
            {"json": {"account": "a", "until": 4e9 + 0.5}},
        ),
        ("POST", "/v1/bans", 400, "request_invalid", {"json": {"account": "a\x00"}}),
        ("POST", "/v1/explain", 400, "request_invalid", {"json": {}}),
        ("POST", "/v1/components", 400, "request_invalid", {"json": {"name": "x", "doors": []}}),
        (
            "POST",
            "/v1/components",
            403,
            "door_refused",
            {"json": {"name": "x", "doors": ["admin"]}},
        ),
        (
            "POST",
            "/v1/nodes",
            409,
            "name_taken",
            {"json": {"name": "login1", "node_class": "login"}},
        ),
        (
            "POST",
            "/v1/ranges",
            422,
            "number_refused",
            {"json": {"name": "low", "purpose": "people", "first": 1, "last": 999}},
        ),
    ],
)
def test_every_refusal_has_the_same_shape(
    site: Site, method: str, path: str, status: int, code: str, options: dict[str, Any]
) -> None:
    """One shape, its media type, a title and a next step from the one table."""
    if "content" in options:
        options = {**options, "headers": {"Content-Type": "application/json"}}
    answer = site.ask(method, path, "bootstrap", **options)
    body = answer.json()
    assert (answer.status_code, body["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(body) - {"detail", "concerns", "pointer"} == SHAPE
    assert body["status"] == status
    assert body["type"] == f"urn:idmap:reason:{code}"
    assert (body["title"], body["next_step"]) == (
        REASONS[Reason(code)].sentence,
        REASONS[Reason(code)].next_step,
    )
    assert body["correlation_id"] == answer.headers["idmap-correlation-id"]


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/v1/issuers", "DELETE, GET, PUT"),
        ("/v1/bans/1", "DELETE, GET"),
        ("/v1/accounts", "GET"),
        ("/healthz", "GET"),
    ],
)
def test_a_method_that_a_path_has_not_is_told_all_that_it_has(
    site: Site, path: str, methods: str
) -> None:
    """RFC 9110 §15.5.6: not those of the first route with that path alone."""
    answer = site.ask("PATCH", path)
    assert (answer.status_code, answer.json()["code"]) == (405, "request_invalid")
    assert answer.headers["allow"] == methods


@pytest.mark.parametrize(
    "odd",
    [
        '"\\ud800"',
        '{"\\udfff": 1}',
        '"a\\u0000"',
        "NaN",
        "-Infinity",
        "1e999",
        "[" * 400 + "]" * 400,
    ],
    ids=["half a pair", "half a pair as a name", "zero byte", "nan", "infinity", "huge", "deep"],
)
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/v1/rules", '{"format": 1, "classes": ODD}'),
        ("PUT", "/v1/issuers", '{"issuer": "https://x/", "subject_claim": ODD}'),
        ("PUT", "/v1/issuers", '{"issuer": "https://x/", "required_assurance": [ODD]}'),
        ("POST", "/v1/rules/test", '{"document": {"format": 1, "classes": {"u": ODD}}}'),
    ],
)
def test_a_document_that_could_not_be_kept_is_refused(
    site: Site, method: str, path: str, body: str, odd: str
) -> None:
    """JSON may spell it; no database keeps it, and the answer could not say it again."""
    headers = {"Content-Type": "application/json"}
    content = body.replace("ODD", odd).encode()
    answer = site.ask(method, path, "bootstrap", content=content, headers=headers)
    assert answer.status_code in {400, 422}, answer.text
    assert answer.json()["code"] in {"request_invalid", "rule_invalid"}


@pytest.mark.parametrize("member", ["revision", "ban_counter"])
@pytest.mark.parametrize("value", [False, "3", 3.5, None])
def test_a_number_in_a_body_is_a_number(site: Site, member: str, value: object) -> None:
    """`false` is not nought: JSON has numbers, and OpenAPI says so."""
    report = {"revision": 3, "ban_counter": 1, member: value}
    answer = site.ask("POST", "/v1/nodes/self/report", "login1", json=report)
    assert (answer.status_code, answer.json()["code"]) == (400, "request_invalid")


@pytest.mark.parametrize("length", [b"9" * 5000, b"-1", b"one"])
def test_a_length_that_is_none_is_refused(site: Site, length: bytes) -> None:
    """Python refuses to read thousands of digits as a number; that is no failure of the service."""
    headers = {"Content-Type": "application/json", "Content-Length": length}
    answer = site.ask("PUT", "/v1/rules", "bootstrap", content=b"{}", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "request_invalid")


def test_the_detail_is_for_administrators_and_components(site: Site) -> None:
    """A person sees the reason, never what the log says about it."""
    admin = site.ask("GET", "/v1/accounts/nobody", "bootstrap").json()
    component = site.resolve(site.token("nobody", door=PORTAL)).json()
    person = site.newcomer("mallory", groups=[]).json()
    assert "nobody" in admin["detail"]
    assert "decision" in component["detail"]
    assert "detail" not in person


def test_a_validation_problem_does_not_repeat_what_was_sent(site: Site) -> None:
    """The field and what is wrong with it; the value might have been a secret."""
    body = {"token": ["sekrit"], "door": {"sekrit": 1}}
    with capture_logs() as logs:
        answer = site.ask("POST", "/v1/resolve", "portal", json=body)
    assert answer.status_code == 400
    assert "token" in answer.json()["detail"]
    assert "sekrit" not in answer.text + str(logs)


def test_a_stranger_with_a_bad_body_learns_nothing_about_it(site: Site) -> None:
    """The credential is looked at before the body."""
    headers = {"Content-Type": "application/json"}
    answer = site.ask("PUT", "/v1/rules", content=b"{", headers=headers)
    assert answer.json()["code"] == "credential_missing"


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "streamed"])
def test_a_body_above_the_limit_is_not_read(site: Site, declared: bool) -> None:
    """1 MiB, whether the length is told or not."""
    parts = [b" " * 65536] * (MAX_BODY // 65536 + 1)
    content = b"".join(parts) if declared else iter(parts)
    headers = {"Content-Type": "application/json"}
    answer = site.ask("PUT", "/v1/rules", "bootstrap", content=content, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "request_invalid")


@pytest.mark.parametrize("reason", [None, "", " ", "x" * 501, "two\nlines"])
def test_every_change_needs_a_reason(site: Site, reason: str | None) -> None:
    """Law 12: who, when and why."""
    body = {"name": "c", "doors": ["api"], "reason": reason}
    headers = {"Idmap-Reason": ""}
    answer = site.ask("POST", "/v1/components", "bootstrap", json=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "request_invalid")
    with site.registry.read() as reader:
        assert "c" not in {credential.name for credential in reader.credentials()}


def test_an_unexpected_failure_is_a_problem_without_its_cause(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What went wrong inside is in the log, under the same correlation id."""

    def broken() -> None:
        raise ZeroDivisionError("a private matter")

    monkeypatch.setattr(site.registry, "read", broken)
    with capture_logs() as logs:
        answer = site.ask("GET", "/v1/accounts", "bootstrap")
    body = answer.json()
    assert (answer.status_code, body["code"]) == (500, "internal_error")
    assert "private" not in answer.text
    assert [e["correlation_id"] for e in logs if e["event"] == "request_failed"] == [
        body["correlation_id"]
    ]


def test_an_unavailable_registry_is_a_503(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """And readiness says so, while liveness does not depend on it."""

    def broken() -> None:
        raise IdmapError(Reason.SERVICE_UNAVAILABLE, "locked")

    monkeypatch.setattr(site.registry, "read", broken)
    assert site.ask("GET", "/v1/accounts", "bootstrap").status_code == 503
    assert site.ask("GET", "/readyz").status_code == 503
    assert site.ask("GET", "/healthz").status_code == 200


def test_answers_carry_the_headers_browsers_heed(site: Site) -> None:
    """Also problems, also what nobody asked a credential for."""
    for path in ("/healthz", "/nowhere", "/v1/me", "/openapi.json"):
        headers = site.ask("GET", path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "default-src 'none'" in headers["content-security-policy"]
