"""A real service that dies between commit and answer, or just before: sent again, a change is done once."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest

from tests.support.served import Served, breaking_wire, killing, served

KEY = {"Idempotency-Key": '"one-and-the-same"'}
SUSPEND = "/v1/accounts/alice/suspend"


def _events(site: Served) -> list[str]:
    entries = site.ask("GET", "/v1/changes?limit=1000&author=admin-key:bootstrap").json()["changes"]
    return [entry["action"] for entry in entries]


@pytest.mark.parametrize(("moment", "committed"), [("before", False), ("after", True)])
def test_killed_around_its_commit_a_change_is_made_once(
    tmp_path: Path, moment: str, committed: bool
) -> None:
    """Before the commit nothing was done; after it, everything, with the answer to repeat."""
    with served(tmp_path, killing(moment)) as site:
        with pytest.raises(httpx2.HTTPError):
            site.ask("POST", SUSPEND, json={}, headers=KEY)
        assert site.process is not None
        assert site.process.wait(20) == -9
        site.start()
        assert _events(site) == (["move_account"] if committed else [])
        again = site.ask("POST", SUSPEND, json={}, headers=KEY)
        assert (again.status_code, again.json()["state"]) == (200, "suspended")
        assert ("idempotency-replayed" in again.headers) is committed
        assert _events(site) == ["move_account"]
        assert site.ask("GET", "/v1/changes/verify").status_code == 200


def test_killed_with_its_answer_on_the_wire_it_bans_once(tmp_path: Path) -> None:
    """The service answered; the answer never arrived; the service is gone. Nobody is banned twice."""
    body = {"account": "bob", "reason": "stolen laptop"}
    with served(tmp_path) as site:

        def breaks(_: bytes) -> bool:
            site.kill()
            return True

        with breaking_wire(site.port, breaks) as (port, swallowed):
            with pytest.raises(httpx2.HTTPError):
                site.ask("POST", "/v1/bans", port=port, json=body, headers=KEY)
            (answer,) = swallowed
        assert answer.startswith(b"HTTP/1.1 201")
        site.start()
        again = site.ask("POST", "/v1/bans", json=body, headers=KEY)
        assert (again.status_code, again.headers["idempotency-replayed"]) == (201, "true")
        assert again.content in answer
        assert len(site.ask("GET", "/v1/bans?account=bob").json()["bans"]) == 1
        assert _events(site) == ["add_ban"]
        without_a_key = site.ask("POST", "/v1/bans", json=body)
        assert without_a_key.status_code == 201
        assert len(site.ask("GET", "/v1/bans?account=bob").json()["bans"]) == 2
