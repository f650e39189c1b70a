"""The source against a simulated INDIGO IAM, hazard by hazard (research: iam-provisioning §2.4)."""

from __future__ import annotations

import logging
from typing import Any

import httpx2
import pytest
import structlog

from idmap.adapters.indigo_iam.talker import BACKOFF_SECONDS
from idmap.application.ports import ListedPerson, Listing
from idmap.domain.errors import SourceFailed
from idmap.domain.reasons import Reason

BY_GROUP = "/iam/account/find/bygroup"


def by_name(listing: Listing) -> dict[str | None, ListedPerson]:
    return {person.preferred_username: person for person in listing.people}


def paths_of(person: ListedPerson) -> set[str]:
    return {group.path for group in person.groups}


def failure(reader: Any, *paths: str, **options: Any) -> SourceFailed:
    with pytest.raises(SourceFailed) as caught:
        reader.observe(*paths, **options)
    return caught.value


# --- what a good day looks like ---------------------------------------------------------------


def test_the_subject_is_the_record_id_and_never_the_user_name(small: Any) -> None:
    """IAM's `id` is the `sub` of the person's tokens."""
    alice = by_name(small.observe("demo/compute"))["alice"]
    assert alice.identity.subject == small.iam.person_id("alice")
    assert alice.active
    assert alice.readable


def test_only_watched_groups_are_asked_for_and_reported(small: Any) -> None:
    """Alice is in more groups than these two; nobody asked."""
    listing = small.observe("demo/compute", "demo/gpu")
    assert paths_of(by_name(listing)["alice"]) == {"demo/compute", "demo/gpu"}
    assert small.iam.request_counts() == {
        "POST /token": 1,
        "GET /iam/group/find/byname": 2,
        f"GET {BY_GROUP}/{{id}}": 4,
    }


def test_a_member_of_a_subgroup_is_in_the_groups_above_it(small: Any) -> None:
    """IAM adds carol, of demo/gpu/debug, to every ancestor; nothing is inferred here."""
    listing = small.observe("demo", "demo/gpu", "demo/gpu/debug")
    assert paths_of(by_name(listing)["carol"]) == {"demo", "demo/gpu", "demo/gpu/debug"}
    assert paths_of(by_name(listing)["dave"]) == {"demo"}


def test_both_strategies_give_the_same_people(small: Any) -> None:
    """`find/bygroup`, and members with one request per person, describe one state."""
    groups = ("demo", "demo/compute", "demo/gpu", "demo/hostile", "demo/empty")
    accounts = small.observe(*groups, strategy="accounts", client="idmap-admin")
    scim = small.observe(*groups, strategy="scim", client="idmap-scim")
    assert accounts.people == scim.people
    assert len(accounts.people) > 10


def test_an_empty_group_is_an_empty_listing_and_no_error(small: Any) -> None:
    """Whether it may be empty is the guard's question."""
    assert small.observe("demo/empty").people == ()


def test_every_page_is_told_to_the_progress(crowd: Any) -> None:
    crowd.observe("demo", passes=1)
    assert [done for _, done, _ in crowd.progress][:2] == [100, 200]
    assert crowd.progress[-1][1] == crowd.progress[-1][2]


# --- people who are listed and should not be let in -------------------------------------------


def test_inactive_and_ended_members_are_listed_as_inactive(small: Any) -> None:
    """frank has `active: false`, grace an `endTime` in the past, olivia one in 2099."""
    people = by_name(small.observe("demo/compute", "demo/gpu"))
    assert not people["frank"].active
    assert not people["grace"].active
    assert people["olivia"].active


def test_a_record_without_the_indigo_extension_reads(small: Any) -> None:
    """Older versions print none; ivan's record has none."""
    ivan = by_name(small.observe("demo/compute"))["ivan"]
    assert ivan.readable
    assert ivan.active


def test_a_name_of_300_characters_is_a_person_all_the_same(small: Any) -> None:
    """Hostile names spell no username; their owners are people of the group."""
    people = small.observe("demo/hostile").people
    assert len(people) == 6
    assert all(person.readable and person.active for person in people)


# --- records that do not read -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("active", "yes"),
        ("active", None),
        ("userName", 7),
        ("groups", {"value": "x"}),
        ("urn:indigo-dc:scim:schemas:IndigoUser", []),
        ("urn:indigo-dc:scim:schemas:IndigoUser", {"endTime": "soon"}),
        ("urn:indigo-dc:scim:schemas:IndigoUser", {"endTime": "2026-01-01T00:00:00"}),
    ],
)
@pytest.mark.parametrize("strategy", ["accounts", "scim"])
def test_an_unreadable_record_is_present_and_reported(
    small: Any, field: str, value: object, strategy: str
) -> None:
    """Law 6: the identifier reads, something else does not."""
    bob = small.iam.person_id("bob")

    def spoil(path: str, document: Any) -> None:
        for row in [*document.get("Resources", ()), document]:
            if row.get("id") == bob:
                row[field] = value

    small.spoiler.edit = spoil
    listing = small.observe("demo/compute", strategy=strategy)
    (unreadable,) = (person for person in listing.people if not person.readable)
    assert unreadable.identity.subject == bob
    assert len(listing.notes) == 1
    assert bob in listing.notes[0]
    assert len(by_name(listing)) == len(listing.people)


@pytest.mark.parametrize("wrong", [None, 7, "", "ünicode", "x" * 300])
@pytest.mark.parametrize("strategy", ["accounts", "scim"])
def test_a_record_without_a_readable_id_discards_the_listing(
    small: Any, wrong: object, strategy: str
) -> None:
    """Nobody can say who is present and who is not."""

    def spoil(path: str, document: Any) -> None:
        for row in document.get("Resources", ())[:1]:
            row["id" if "id" in row else "value"] = wrong

    def spoil_people(path: str, document: Any) -> None:
        if "/find/bygroup/" in path or path.endswith("/members"):
            spoil(path, document)

    small.spoiler.edit = spoil_people
    assert failure(small, "demo/compute", strategy=strategy).reason is Reason.SOURCE_INCOMPLETE


# --- lists that are not whole -----------------------------------------------------------------


def test_a_500_on_page_3_that_stays_is_the_source_being_unavailable(crowd: Any) -> None:
    """The HTML page with its stack trace is neither parsed nor repeated."""
    crowd.iam.fault(BY_GROUP, on_page=3, status=500, times=None)
    error = failure(crowd, "demo")
    assert error.reason is Reason.SOURCE_UNAVAILABLE
    assert "answered 500" in error.detail
    assert "Exception" not in str(error)
    assert crowd.waits == list(BACKOFF_SECONDS)


def test_a_500_on_page_3_that_passes_is_only_tried_again(crowd: Any) -> None:
    crowd.iam.fault(BY_GROUP, on_page=3, status=500, times=2)
    assert len(crowd.observe("demo").people) > 250
    assert crowd.waits == list(BACKOFF_SECONDS[:2])


@pytest.mark.parametrize("delta", [1, -1, 100])
def test_a_wrong_total_discards_the_listing(crowd: Any, delta: int) -> None:
    crowd.iam.fault(BY_GROUP, total_results_delta=delta, times=None)
    assert failure(crowd, "demo").reason is Reason.SOURCE_INCOMPLETE


def test_a_total_that_changes_between_pages_discards_the_reading_not_the_run(crowd: Any) -> None:
    """Once: the next readings agree. For ever: the listing is given up after a bounded number."""
    crowd.iam.fault(BY_GROUP, on_page=2, total_results_delta=3)
    assert len(crowd.observe("demo").people) > 250
    crowd.iam.reset()
    crowd.iam.fault(BY_GROUP, on_page=2, total_results_delta=3, times=None)
    assert failure(crowd, "demo").reason is Reason.SOURCE_INCOMPLETE
    assert crowd.iam.request_counts()[f"GET {BY_GROUP}/{{id}}"] == 8


def test_a_row_dropped_from_the_last_page_discards_the_listing(crowd: Any) -> None:
    """One person fewer, and `totalResults` as before."""
    crowd.iam.fault(BY_GROUP, on_page=3, drop_rows=1, times=None)
    assert failure(crowd, "demo", passes=1).reason is Reason.SOURCE_INCOMPLETE


@pytest.mark.parametrize("page", [1, 2, 3])
@pytest.mark.parametrize("honest", [True, False])
def test_a_row_missing_from_the_front_of_a_page_discards_the_listing(
    crowd: Any, page: int, honest: bool
) -> None:
    """Whether the page counts itself rightly or not: the next page then doubles a row, or ends too soon."""

    def drop_first(path: str, document: Any) -> None:
        if BY_GROUP in path and document["startIndex"] > 100 * (page - 1):
            del document["Resources"][:1]
            document["itemsPerPage"] -= honest

    crowd.spoiler.edit = drop_first
    assert failure(crowd, "demo", passes=1).reason is Reason.SOURCE_INCOMPLETE


@pytest.mark.parametrize("page", [1, 2])
def test_a_row_pushed_to_the_next_page_is_found_there(crowd: Any, page: int) -> None:
    """The next page begins after what came, not after what was asked for: nobody is lost."""
    whole = crowd.observe("demo").people
    crowd.iam.fault(BY_GROUP, on_page=page, drop_rows=1, times=None)
    assert crowd.observe("demo").people == whole


def test_drift_that_adds_up_is_seen_by_the_second_reading(own_crowd: Any) -> None:
    """One leaves from page 1, another joins on the last page: a row is skipped and the total is right.

    One reading cannot tell; two readings that must agree can. This is why `passes` is 2 by default.
    """
    own_crowd.iam.change("leave", person="user000299", group="demo")
    first = min(person.preferred_username for person in own_crowd.observe("demo").people)
    drift = [
        {"action": "leave", "person": first, "group": "demo"},
        {"action": "join", "person": "user000299", "group": "demo"},
    ]
    own_crowd.iam.fault(BY_GROUP, on_page=2, drift=drift)
    fooled = {person.preferred_username for person in own_crowd.observe("demo", passes=1).people}
    truth = {person.preferred_username for person in own_crowd.observe("demo", passes=2).people}
    assert fooled != truth, "the simulator did not play the hazard"

    own_crowd.iam.change("join", person=first, group="demo")
    own_crowd.iam.change("leave", person="user000299", group="demo")
    own_crowd.iam.fault(BY_GROUP, on_page=2, drift=drift)
    listing = {person.preferred_username for person in own_crowd.observe("demo", passes=2).people}
    assert listing == truth


def test_drift_in_the_second_reading_is_not_believed_either(own_crowd: Any) -> None:
    """The readings disagree; two later ones must agree before anything is said."""
    own_crowd.iam.change("leave", person="user000299", group="demo")
    first = min(person.preferred_username for person in own_crowd.observe("demo").people)
    drift = [
        {"action": "leave", "person": first, "group": "demo"},
        {"action": "join", "person": "user000299", "group": "demo"},
    ]
    own_crowd.iam.reset()
    own_crowd.iam.fault(BY_GROUP, on_page=2, on_request=2, drift=drift)
    listing = {person.preferred_username for person in own_crowd.observe("demo").people}
    assert own_crowd.iam.request_counts()[f"GET {BY_GROUP}/{{id}}"] == 12
    assert listing == {person.preferred_username for person in own_crowd.observe("demo").people}
    assert "user000299" in listing
    assert first not in listing


def test_a_doubled_row_means_that_another_was_skipped(crowd: Any) -> None:
    """The count is right and one person is missing."""

    def double(path: str, document: Any) -> None:
        if BY_GROUP in path:
            document["Resources"][1] = document["Resources"][0]

    crowd.spoiler.edit = double
    error = failure(crowd, "demo")
    assert error.reason is Reason.SOURCE_INCOMPLETE
    assert "different ids" in error.detail


def test_a_record_unreadable_in_one_group_is_unreadable_in_the_listing(small: Any) -> None:
    """Whichever group is read first."""
    for path in ("demo", "demo/gpu"):
        uuid = small.iam.group_id(path)

        def spoil(asked: str, document: Any, uuid: str = uuid) -> None:
            for row in document["Resources"] if asked.endswith(uuid) else ():
                if row["userName"] == "alice":
                    row["active"] = 7

        small.spoiler.edit = spoil
        listing = small.observe("demo", "demo/compute", "demo/gpu")
        assert sum(not person.readable for person in listing.people) == 1


def test_somebody_deleted_between_list_and_record_is_read_again(own_small: Any) -> None:
    """The scim strategy reads people one by one, later than the list."""
    bob = own_small.iam.person_id("bob")
    own_small.iam.fault(f"/scim/Users/{bob}", drift=[{"action": "delete", "person": "bob"}])
    people = by_name(own_small.observe("demo/compute", strategy="scim"))
    assert "bob" not in people
    assert "alice" in people


def test_somebody_who_left_between_list_and_record_is_not_a_member(own_small: Any) -> None:
    bob = own_small.iam.person_id("bob")
    drift = [{"action": "leave", "person": "bob", "group": "demo/compute"}]
    own_small.iam.fault(f"/scim/Users/{bob}", drift=drift)
    assert "bob" not in by_name(own_small.observe("demo/compute", strategy="scim"))


def test_no_request_ever_carries_a_filter_and_outsiders_would_be_noticed(small: Any) -> None:
    """IAM joins `filter` with the group by OR. We never send it; were it sent, the proof would fail."""
    small.observe("demo/compute")
    sent = small.iam.control("GET", "requests")["recent"]
    assert all("filter" not in request["query"] for request in sent)

    def add_filter(request: httpx2.Request) -> httpx2.Request | None:
        if BY_GROUP not in request.url.path:
            return None
        return httpx2.Request(
            request.method,
            request.url.copy_merge_params({"filter": "example"}),
            headers=request.headers,
        )

    small.spoiler.before = add_filter
    assert failure(small, "demo/compute").reason is Reason.SOURCE_INCOMPLETE


def test_an_outsider_in_the_list_discards_it(small: Any) -> None:
    """dave is in demo and not in demo/compute: his own record says so."""
    stranger: dict[str, Any] = {}

    def swap(path: str, document: Any) -> None:
        if small.iam.group_id("demo") in path:
            stranger.update(next(r for r in document["Resources"] if r["userName"] == "dave"))
        if small.iam.group_id("demo/compute") in path:
            document["Resources"][0] = stranger

    small.spoiler.edit = swap
    error = failure(small, "demo", "demo/compute")
    assert error.reason is Reason.SOURCE_INCOMPLETE
    assert "does not name it" in error.detail


def test_a_source_that_gives_fewer_rows_than_asked_for_is_read_to_the_end(crowd: Any) -> None:
    """The cap lowers `count` silently; the next page begins after what came."""
    whole = crowd.observe("demo").people

    def lower(request: httpx2.Request) -> httpx2.Request | None:
        if BY_GROUP not in request.url.path:
            return None
        assert request.url.params["count"] == "100"
        url = request.url.copy_set_param("count", 7)
        return httpx2.Request(request.method, url, headers=request.headers)

    crowd.spoiler.before = lower
    assert crowd.observe("demo").people == whole


def test_an_absent_group_fails_the_run_with_its_path(small: Any) -> None:
    """Empty would remove everybody; missing removes nobody."""
    for strategy in ("accounts", "scim"):
        error = failure(small, "demo", "demo/nowhere", strategy=strategy)
        assert error.reason is Reason.SOURCE_GROUP_MISSING
        assert "demo/nowhere" in error.detail


def test_a_renamed_group_is_a_missing_one(own_small: Any) -> None:
    own_small.iam.change("rename_group", group="demo/compute", path="demo/cpu")
    assert failure(own_small, "demo/compute").reason is Reason.SOURCE_GROUP_MISSING


@pytest.mark.parametrize(
    "body", [b"[]", b"null", b"7", b'{"Resources": []}', b'{"totalResults": "3"}']
)
def test_a_200_without_a_list_is_no_empty_list(small: Any, body: bytes) -> None:
    """A missing `totalResults` is no data, and never nobody."""

    class Empty(httpx2.BaseTransport):
        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            if BY_GROUP in request.url.path:
                return httpx2.Response(200, content=body)
            return real.handle_request(request)

    real = small.spoiler.inner
    small.spoiler.inner = Empty()
    assert failure(small, "demo").reason in {Reason.SOURCE_INCOMPLETE, Reason.SOURCE_UNAVAILABLE}
    real.close()


def test_a_truncated_body_is_not_read_as_a_shorter_list(small: Any) -> None:
    small.iam.fault(BY_GROUP, truncate=True, times=None)
    assert failure(small, "demo").reason is Reason.SOURCE_UNAVAILABLE


# --- tokens and refusals ----------------------------------------------------------------------


def test_a_token_that_expires_in_the_crawl_is_renewed_once_and_the_page_resumed(crowd: Any) -> None:
    """Short tokens end before a long crawl does."""
    whole = crowd.observe("demo", passes=1).people
    crowd.iam.reset()
    forgotten = []

    def forget(request: httpx2.Request) -> None:
        if request.url.params.get("startIndex") == "201" and not forgotten:
            forgotten.append(crowd.iam.control("POST", "tokens/forget"))

    crowd.spoiler.before = forget
    assert crowd.observe("demo", passes=1).people == whole
    counts = crowd.iam.request_counts()
    assert counts["POST /token"] == 2
    assert counts[f"GET {BY_GROUP}/{{id}}"] == 4


def test_a_token_refused_twice_is_a_refusal_and_appears_in_no_log(
    small: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """IAM's 401 repeats the whole token in its body and in a header (law 9)."""
    small.spoiler.before = lambda request: (
        None
        if request.url.path == "/token"
        else small.iam.control("POST", "tokens/forget") and None
    )
    with caplog.at_level(logging.DEBUG), structlog.testing.capture_logs() as events:
        error = failure(small, "demo")
    assert error.reason is Reason.SOURCE_REFUSED
    sent = {token for token in small.spoiler.tokens if len(token) > 40}
    assert len(sent) >= 2, "no token was seen: the test proves nothing"
    said = "\n".join([caplog.text, repr(events), repr(error), str(error), repr(error.__context__)])
    assert not any(token in said or token[-40:] in said for token in sent)


def test_a_client_without_the_scope_is_refused_with_the_reason(small: Any) -> None:
    for strategy, client in (("accounts", "idmap-scim"), ("scim", "no-scopes")):
        error = failure(small, "demo", strategy=strategy, client=client)
        assert error.reason is Reason.SOURCE_REFUSED


def test_a_wrong_secret_is_refused_and_not_repeated(small: Any) -> None:
    error = failure(small, "demo", secret="not-the-secret-at-all")
    assert error.reason is Reason.SOURCE_REFUSED
    assert "not-the-secret-at-all" not in f"{error} {error!r} {error.__context__!r}"


@pytest.mark.parametrize("status", [401, 403])
def test_a_door_that_stays_closed_is_a_refusal(small: Any, status: int) -> None:
    small.iam.fault(BY_GROUP, status=status, body="html", times=None)
    assert failure(small, "demo").reason is Reason.SOURCE_REFUSED


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"status": 500}, Reason.SOURCE_UNAVAILABLE),
        ({"status": 503, "body": "empty"}, Reason.SOURCE_UNAVAILABLE),
        ({"status": 401, "body": "html"}, Reason.SOURCE_REFUSED),
        ({"status": 403, "body": "json"}, Reason.SOURCE_REFUSED),
        ({"truncate": True}, Reason.SOURCE_UNAVAILABLE),
    ],
)
def test_what_the_token_endpoint_says_becomes_a_reason(
    small: Any, fault: dict[str, Any], reason: Reason
) -> None:
    small.iam.fault("/token", times=None, **fault)
    assert failure(small, "demo").reason is reason


@pytest.mark.parametrize(
    "answer",
    [
        {"access_token": 7},
        {"token_type": "Bearer"},
        {"access_token": "x", "token_type": "mac"},
        {"access_token": "x", "expires_in": [1]},
        [],
    ],
)
def test_a_token_answer_that_makes_no_sense_is_no_crash(small: Any, answer: object) -> None:
    real, small.spoiler.inner = (
        small.spoiler.inner,
        httpx2.MockTransport(lambda _: httpx2.Response(200, json=answer)),
    )
    assert failure(small, "demo").reason is Reason.SOURCE_UNAVAILABLE
    real.close()


# --- time and size ----------------------------------------------------------------------------


def test_a_silent_source_is_unavailable_after_bounded_attempts(small: Any) -> None:
    small.iam.fault(BY_GROUP, delay_ms=1500, times=None)
    error = failure(small, "demo", timeout_seconds=0.2)
    assert error.reason is Reason.SOURCE_UNAVAILABLE
    assert "ReadTimeout" in error.detail
    assert len(small.waits) == len(BACKOFF_SECONDS)


def test_a_source_that_is_not_there_is_unavailable(small: Any) -> None:
    error = failure(small, "demo", url="http://127.0.0.1:9")
    assert error.reason is Reason.SOURCE_UNAVAILABLE


def test_too_many_bytes_are_not_read(small: Any) -> None:
    chunk = b" " * (1 << 20)
    read = []

    class Endless(httpx2.SyncByteStream):
        def __iter__(self) -> Any:
            while True:
                read.append(1)
                yield chunk

    real, small.spoiler.inner = (
        small.spoiler.inner,
        httpx2.MockTransport(lambda _: httpx2.Response(200, stream=Endless())),
    )
    assert failure(small, "demo").reason is Reason.SOURCE_UNAVAILABLE
    assert len(read) <= 17 * (1 + len(BACKOFF_SECONDS))
    real.close()


def test_a_compressed_answer_is_not_unpacked(small: Any) -> None:
    """A few kilobytes can unpack to gigabytes; we ask for none."""
    real, small.spoiler.inner = (
        small.spoiler.inner,
        httpx2.MockTransport(
            lambda _: httpx2.Response(
                200, headers={"Content-Encoding": "gzip"}, stream=httpx2.ByteStream(b"\x1f\x8b")
            )
        ),
    )
    assert failure(small, "demo").reason is Reason.SOURCE_UNAVAILABLE
    real.close()


def test_a_redirect_is_not_followed(small: Any) -> None:
    """The secret goes where the settings say and nowhere else."""
    seen = []

    def elsewhere(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.url.host)
        return httpx2.Response(302, headers={"Location": "https://elsewhere.example/"})

    real, small.spoiler.inner = small.spoiler.inner, httpx2.MockTransport(elsewhere)
    assert failure(small, "demo").reason is Reason.SOURCE_UNAVAILABLE
    assert set(seen) == {"127.0.0.1"}
    real.close()
