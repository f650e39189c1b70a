"""If-Match and Idempotency-Key at the admin door: with the change in one transaction, or not at all."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi.routing import APIRoute

from idmap.application.ports import Author
from idmap.domain.doors import ADMIN
from idmap.domain.errors import Unavailable
from idmap.domain.issuer_document import profile_document
from idmap.domain.reasons import Reason
from idmap.entrypoints.http import changing
from idmap.entrypoints.http.callers import READING, AdminRoute
from idmap.entrypoints.http.changing import OneChange, concerned, parse_key
from tests.entrypoints.http.site import ADMINISTRATOR, PORTAL, RULES, Site, trusted
from tests.support.tokens import ISSUER


class Forgetful(set[Any]):
    """What another process knows of the keys in use here: nothing."""

    def add(self, element: Any) -> None:
        """Forgets it."""


CREATE_OR_ASK = {
    "POST /v1/groups",
    "POST /v1/ranges/{name}/foreign",
    "POST /v1/bans",
    "POST /v1/nodes",
    "POST /v1/components",
    "POST /v1/ranges",
    "POST /v1/rules/test",
    "POST /v1/explain",
}
"""What makes something new or changes nothing: there is no thing yet that a condition could be about."""

SINGLE = {
    "account": "/v1/accounts/alice",
    "group": "/v1/groups/hpc",
    "issuer": f"/v1/issuers?issuer={ISSUER}",
    "rules": "/v1/rules",
    "one version": "/v1/rules/versions/1",
    "ban": "/v1/bans/1",
    "node": "/v1/nodes/login1",
    "component": "/v1/components/portal",
    "identity": f"/v1/identities?issuer={ISSUER}&subject=alice",
}

CHANGES: dict[str, tuple[str, str, str, Any]] = {
    "suspend": ("POST", "/v1/accounts/alice/suspend", SINGLE["account"], {}),
    "close": ("POST", "/v1/accounts/alice/close", SINGLE["account"], {}),
    "issuer": ("PUT", "/v1/issuers", SINGLE["issuer"], {"record_groups_from_tokens": False}),
    "distrust": ("DELETE", SINGLE["issuer"], SINGLE["issuer"], None),
    "rules": ("PUT", "/v1/rules", "/v1/rules", {**RULES, "admins": []}),
    "lift": ("DELETE", "/v1/bans/1", "/v1/bans/1", None),
    "node": ("DELETE", "/v1/nodes/login1", "/v1/nodes/login1", None),
    "component": ("DELETE", "/v1/components/gate", "/v1/components/gate", None),
}


@pytest.fixture
def people(site: Site) -> Site:
    """Alice has an account and an old ban."""
    site.newcomer()
    body = {"account": "alice", "until": "2040-01-01T00:00:00Z", "reason": "an old one"}
    assert site.ask("POST", "/v1/bans", "bootstrap", json=body).status_code == 201
    return site


def _ask(site: Site, method: str, path: str, **options: Any) -> httpx2.Response:
    return site.ask(method, path, "bootstrap", **options)


def _recorded(site: Site) -> int:
    with site.registry.read() as reader:
        return reader.last_change()


def _body(site: Site, name: str) -> Any:
    _, _, thing, body = CHANGES[name]
    if name != "issuer":
        return body
    return {**_ask(site, "GET", thing).json(), **body}


def _change(site: Site, name: str, **headers: str) -> httpx2.Response:
    method, path, _, _ = CHANGES[name]
    return _ask(site, method, path, headers=headers, json=_body(site, name))


# --- entity tags


@pytest.mark.parametrize("name", SINGLE)
def test_every_single_thing_has_a_strong_tag_and_is_not_sent_twice(people: Site, name: str) -> None:
    shown = _ask(people, "GET", SINGLE[name])
    tag = shown.headers["etag"]
    assert tag.startswith('"')
    assert _ask(people, "GET", SINGLE[name]).headers["etag"] == tag
    for known in (tag, f'"other", W/{tag}', "*"):
        again = _ask(people, "GET", SINGLE[name], headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    other = _ask(people, "GET", SINGLE[name], headers={"If-None-Match": '"other"'})
    assert (other.status_code, other.json()) == (200, shown.json())


def test_every_change_says_which_thing_it_changes(site: Site) -> None:
    """Or it makes something new, or nothing. A new route goes into the one list or gets `changes(...)`."""
    silent = set()
    for route in site.app.routes:
        if isinstance(route, AdminRoute) and not READING.issuperset(route.methods or ()):
            assert hasattr(route.endpoint, "runs_as_one_change")
            if concerned(route) is None:
                silent |= {f"{method} {route.path}" for method in route.methods or ()}
    assert silent <= CREATE_OR_ASK


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("condition", ['"stale"', 'W/"1", "stale"', '"0"'])
def test_a_change_of_what_is_no_longer_so_changes_nothing(
    people: Site, name: str, condition: str
) -> None:
    before = _recorded(people)
    refused = _change(people, name, **{"If-Match": condition})
    assert (refused.status_code, refused.json()["code"]) == (412, "version_conflict")
    assert _recorded(people) == before


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_of_what_was_read_is_made_once(people: Site, name: str) -> None:
    """The tag that was shown, and `*` as long as there is something; afterwards the tag is another."""
    tag = _ask(people, "GET", CHANGES[name][2]).headers["etag"]
    made = _change(people, name, **{"If-Match": f'"other", {tag}'})
    assert made.status_code == 200, made.text
    assert _change(people, name, **{"If-Match": tag}).status_code == 412


@pytest.mark.parametrize("name", ["suspend", "issuer"])
def test_the_answer_to_a_change_carries_the_new_tag(people: Site, name: str) -> None:
    made = _change(people, name, **{"If-Match": "*"})
    shown = _ask(people, "GET", made.headers["content-location"])
    assert (shown.headers["etag"], shown.json()) == (made.headers["etag"], made.json())


def test_what_is_new_can_be_asked_for_as_new_only(site: Site) -> None:
    """`If-None-Match: *` (RFC 9110 §13.1.2): two administrators who add the same issuer meet."""
    other = profile_document(trusted(issuer="https://iam.example"))
    fresh = {"If-None-Match": "*"}
    assert _ask(site, "PUT", "/v1/issuers", json=other, headers=fresh).status_code == 200
    assert _ask(site, "PUT", "/v1/issuers", json=other, headers=fresh).status_code == 412
    nothing = {"If-Match": "*"}
    third = profile_document(trusted(issuer="https://third.example"))
    assert _ask(site, "PUT", "/v1/issuers", json=third, headers=nothing).status_code == 412


@pytest.mark.parametrize("header", ["If-Match", "If-None-Match"])
@pytest.mark.parametrize("value", ["3", '"3', '*, "3"', "W/3"])
def test_a_condition_that_cannot_be_read_is_refused(site: Site, header: str, value: str) -> None:
    """Not ignored: the change would be made without it."""
    before = _recorded(site)
    answer = _ask(site, "PUT", "/v1/rules", json=RULES, headers={header: value})
    assert (answer.status_code, answer.json()["code"]) == (400, "request_invalid")
    assert header in answer.json()["detail"]
    assert _recorded(site) == before


def test_a_condition_where_there_is_nothing_to_compare_does_not_hold(site: Site) -> None:
    body = {"name": "hub", "doors": [str(PORTAL)]}
    answer = _ask(site, "POST", "/v1/components", json=body, headers={"If-Match": '"x"'})
    assert (answer.status_code, answer.json()["code"]) == (412, "version_conflict")


def test_of_many_who_read_the_same_one_writes(site: Site) -> None:
    """The comparison is within the transaction of the change: sixteen at once, one version."""

    def save(number: int) -> int:
        rules = {**RULES, "admins": [{"issuer": ISSUER, "subject": f"admin{number}"}]}
        return _ask(site, "PUT", "/v1/rules", json=rules, headers={"If-Match": '"1"'}).status_code

    with ThreadPoolExecutor(16) as pool:
        codes = list(pool.map(save, range(16)))
    assert sorted(codes) == [200] + [412] * 15
    assert _ask(site, "GET", "/v1/rules").headers["etag"] == '"2"'


# --- idempotency keys

BAN = {"account": "alice", "reason": "stolen laptop"}
KEYED = {"Idempotency-Key": '"8e03978e-40d5-43e8-bc93-6894a57f9324"'}


def _bans(site: Site) -> int:
    return len(_ask(site, "GET", "/v1/bans").json()["bans"])


def test_the_same_request_with_the_same_key_is_done_once(site: Site) -> None:
    site.newcomer()
    first = _ask(site, "POST", "/v1/bans", json=BAN, headers=KEYED)
    assert (first.status_code, first.headers.get(changing.REPLAYED)) == (201, None)
    recorded = _recorded(site)
    for _ in range(3):
        again = _ask(site, "POST", "/v1/bans", json=BAN, headers=KEYED)
        assert (again.status_code, again.content) == (201, first.content)
        assert again.headers[changing.REPLAYED] == "true"
        assert again.headers["content-type"] == first.headers["content-type"]
    assert (_bans(site), _recorded(site)) == (1, recorded)


def test_without_a_key_a_request_is_done_each_time(site: Site) -> None:
    site.newcomer()
    for _ in range(2):
        assert _ask(site, "POST", "/v1/bans", json=BAN).status_code == 201
    assert _bans(site) == 2


@pytest.mark.parametrize("name", CHANGES)
def test_any_change_can_be_sent_again(people: Site, name: str) -> None:
    """Also one that would be refused the second time, and one under a condition that no longer holds."""
    tag = _ask(people, "GET", CHANGES[name][2]).headers["etag"]
    method, path, _, _ = CHANGES[name]
    options: dict[str, Any] = {"headers": {**KEYED, "If-Match": tag}, "json": _body(people, name)}
    first = _ask(people, method, path, **options)
    assert first.status_code == 200, first.text
    recorded = _recorded(people)
    again = _ask(people, method, path, **options)
    assert (again.status_code, again.content) == (200, first.content)
    assert again.headers.get("etag") == first.headers.get("etag")
    assert _recorded(people) == recorded


@pytest.mark.parametrize(
    "change",
    [
        {"json": {**BAN, "reason": "another"}},
        {"json": {**BAN, "until": "2040-01-01T00:00:00Z"}},
        {"headers": {**KEYED, "If-Match": "*"}},
        {"headers": {**KEYED, "Idmap-Reason": "another"}},
    ],
)
def test_another_request_may_not_use_the_key(site: Site, change: dict[str, Any]) -> None:
    site.newcomer()
    options: dict[str, Any] = {"json": BAN, "headers": KEYED}
    assert _ask(site, "POST", "/v1/bans", **options).status_code == 201
    answer = _ask(site, "POST", "/v1/bans", **{**options, **change})
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    answer = _ask(site, "POST", "/v1/accounts/alice/suspend", json={}, headers=KEYED)
    assert answer.json()["code"] == "idempotency_key_reused"
    assert _bans(site) == 1


def test_keys_belong_to_their_caller(site: Site) -> None:
    """Two administrators may choose the same."""
    site.newcomer()
    token = site.token(ADMINISTRATOR, ADMIN)
    assert _ask(site, "POST", "/v1/bans", json=BAN, headers=KEYED).status_code == 201
    other = site.ask("POST", "/v1/bans", token, json=BAN, headers=KEYED)
    assert (other.status_code, changing.REPLAYED in other.headers) == (201, False)
    assert _bans(site) == 2


def test_a_refusal_is_not_kept(site: Site) -> None:
    """Nothing was done, so the request is looked at again: what was wrong may have been mended."""
    assert _ask(site, "POST", "/v1/bans", json=BAN, headers=KEYED).status_code == 404
    site.newcomer()
    assert _ask(site, "POST", "/v1/bans", json=BAN, headers=KEYED).status_code == 201


@pytest.mark.parametrize(
    ("path", "body", "redo"),
    [
        ("/v1/nodes", {"name": "login9", "node_class": "login"}, "/v1/nodes/login9"),
        ("/v1/components", {"name": "hub", "doors": ["api"]}, "/v1/components/hub"),
    ],
)
def test_a_secret_is_never_stored_and_given_once(
    site: Site, tmp_path: Path, path: str, body: dict[str, Any], redo: str
) -> None:
    """Law 9. Whoever missed it is told what to do, and it is not done twice."""
    made = _ask(site, "POST", path, json=body, headers=KEYED)
    secret = made.json()["secret"]
    recorded = _recorded(site)
    again = _ask(site, "POST", path, json=body, headers=KEYED)
    assert (again.status_code, again.json()["code"]) == (409, "secret_given_once")
    assert "revoke" in again.json()["next_step"]
    assert _recorded(site) == recorded
    with site.registry.read() as reader:
        kept = reader.find_answer(
            "admin-key:bootstrap", parse_key([KEYED["Idempotency-Key"]]) or "", 0
        )
    assert kept is not None
    assert kept.body is None
    for file in tmp_path.glob("registry.db*"):
        assert secret.encode() not in file.read_bytes(), file.name
    assert _ask(site, "DELETE", redo).status_code == 200
    fresh = {"Idempotency-Key": "another"}
    assert _ask(site, "POST", path, json=body, headers=fresh).status_code == 201


def test_what_changes_nothing_leaves_no_answer(site: Site) -> None:
    """A token that is asked about is in no table, with or without a key."""
    body = {"token": site.token(), "door": "api"}
    for _ in range(2):
        told = _ask(site, "POST", "/v1/explain", json=body, headers=KEYED)
        assert (told.status_code, changing.REPLAYED in told.headers) == (200, False)
    with site.registry.write(Author("test", "look")) as writer:
        assert writer.forget_answers(2**40) == 0


def test_who_may_not_enter_is_not_told_an_answer(site: Site) -> None:
    """The entrance comes first, also for what was answered before."""
    site.newcomer()
    token = site.token(ADMINISTRATOR, ADMIN)
    assert site.ask("POST", "/v1/bans", token, json=BAN, headers=KEYED).status_code == 201
    who = {"identity": {"issuer": ISSUER, "subject": ADMINISTRATOR}, "reason": "left"}
    assert _ask(site, "POST", "/v1/bans", json=who).status_code == 201
    refused = site.ask("POST", "/v1/bans", token, json=BAN, headers=KEYED)
    assert (refused.status_code, refused.json()["code"]) == (403, "banned")


def test_while_a_request_runs_its_key_is_in_use(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.newcomer()
    inside, go_on = threading.Event(), threading.Event()
    finish = OneChange._finish

    def slow(change: OneChange, response: Any) -> Any:
        inside.set()
        assert go_on.wait(20)
        return finish(change, response)

    monkeypatch.setattr(OneChange, "_finish", slow)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(_ask, site, "POST", "/v1/bans", json=BAN, headers=KEYED)
        assert inside.wait(20)
        second = _ask(site, "POST", "/v1/bans", json=BAN, headers=KEYED)
        go_on.set()
        assert first.result(20).status_code == 201
    assert (second.status_code, second.json()["code"]) == (409, "request_running")
    monkeypatch.undo()
    assert _ask(site, "POST", "/v1/bans", json=BAN, headers=KEYED).status_code == 201
    assert _bans(site) == 1


def test_two_services_on_one_registry_do_it_once(site: Site) -> None:
    """Neither knows of the other's request: the transaction decides, and the later one repeats the answer."""
    site.newcomer()
    running = site.app.state.running
    site.app.state.running = replace(running, keys_in_use=Forgetful())
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda _: _ask(site, "POST", "/v1/bans", json=BAN, headers=KEYED), range(8))
        )
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert _bans(site) == 1


def test_answers_expire_and_are_removed(site: Site) -> None:
    """After a day the key is free, and nothing of the answer is left."""
    site.newcomer()
    _ask(site, "POST", "/v1/bans", json=BAN, headers=KEYED)
    site.clock.now += 24 * 3600 - 1
    assert changing.REPLAYED in _ask(site, "POST", "/v1/bans", json=BAN, headers=KEYED).headers
    site.clock.now += 1
    again = _ask(site, "POST", "/v1/bans", json=BAN, headers=KEYED)
    assert (again.status_code, changing.REPLAYED in again.headers) == (201, False)
    assert _bans(site) == 2
    with site.registry.write(Author("test", "look")) as writer:
        assert writer.forget_answers(site.clock.now) == 0
        assert writer.forget_answers(site.clock.now + 24 * 3600) == 1


def test_a_caller_has_so_many_answers_and_no_more(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest go first; another caller's stay."""
    monkeypatch.setattr(changing, "KEPT_PER_CALLER", 3)
    site.newcomer()
    token = site.token(ADMINISTRATOR, ADMIN)
    site.ask("POST", "/v1/bans", token, json=BAN, headers={"Idempotency-Key": "k0"})
    for number in range(5):
        site.clock.now += 1
        headers = {"Idempotency-Key": f"k{number}"}
        assert _ask(site, "POST", "/v1/bans", json=BAN, headers=headers).status_code == 201
    with site.registry.read() as reader:
        kept = [
            number
            for number in range(5)
            if reader.find_answer("admin-key:bootstrap", f"k{number}", site.clock.now)
        ]
        other = f"identity:{ADMINISTRATOR} @ {ISSUER}"
        assert reader.find_answer(other, "k0", site.clock.now) is not None
    assert kept == [2, 3, 4]


@pytest.mark.parametrize("key", ["", '"', '""', "a b", '"a" "b"', "é", "x" * 256, '"a";b=1', "a,b"])
def test_a_key_that_cannot_be_read_is_refused(site: Site, key: str) -> None:
    site.newcomer()
    headers = {"Idempotency-Key": key.encode("utf-8")}
    answer = _ask(site, "POST", "/v1/bans", json=BAN, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "request_invalid")
    assert _bans(site) == 0


def test_quoted_or_not_it_is_the_same_key() -> None:
    """RFC 9651 §3.3.3 for those who write it, the plain word for everybody else."""
    assert parse_key(['"abc"']) == parse_key(["abc"]) == "abc"
    assert parse_key([r'"a \" \\ b"']) == 'a " \\ b'
    assert parse_key([]) is None


# --- one transaction


def test_a_change_whose_answer_fails_is_not_made(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be answered was not done: nobody has to guess."""
    site.newcomer()
    before = _recorded(site)

    def fail(*_: Any, **__: Any) -> None:
        raise Unavailable(Reason.SERVICE_UNAVAILABLE, "a test")

    monkeypatch.setattr(changing, "KeptAnswer", fail)
    answer = _ask(site, "POST", "/v1/bans", json=BAN, headers=KEYED)
    assert answer.json()["code"] == "service_unavailable"
    assert (_bans(site), _recorded(site)) == (0, before)
    monkeypatch.undo()
    assert _ask(site, "POST", "/v1/bans", json=BAN, headers=KEYED).status_code == 201


def test_openapi_tells_of_headers_and_failures(site: Site) -> None:
    """Every changing route of the admin door, by itself."""
    paths = site.ask("GET", "/openapi.json").json()["paths"]
    for route in site.app.routes:
        if not isinstance(route, AdminRoute):
            continue
        for method in route.methods or ():
            operation = paths[route.path][method.lower()]
            named = {p["name"] for p in operation.get("parameters", ()) if p["in"] == "header"}
            assert {"400", "401", "403", "404", "500", "503"} <= set(operation["responses"])
            if method not in READING:
                assert {"If-Match", "If-None-Match", "Idempotency-Key"} <= named
                assert {"409", "412", "413", "422"} <= set(operation["responses"])
            elif "{" in route.path:
                assert "If-None-Match" in named
                assert "304" in operation["responses"]
                assert "ETag" in operation["responses"]["200"]["headers"]
    assert any(isinstance(route, APIRoute) for route in site.app.routes)


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"[" * 100_000, b"9" * 5000])
def test_a_body_where_none_is_asked_for_is_no_failure(site: Site, body: bytes) -> None:
    """Clients that send a content type with every request, and an empty body with a DELETE."""
    node = {"name": "login9", "node_class": "login", "reason": "a test"}
    assert site.ask("POST", "/v1/nodes", "bootstrap", json=node).status_code == 201
    answer = site.ask(
        "DELETE",
        "/v1/nodes/login9",
        "bootstrap",
        content=body,
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 200, answer.text
