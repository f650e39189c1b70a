"""Law 9: no token and no secret in any log line, answer or metric."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from structlog.testing import capture_logs

from idmap.domain.doors import ADMIN
from tests.entrypoints.http.site import ADMINISTRATOR, PORTAL, SSH, Site


def _use_everything(site: Site) -> list[Any]:
    """Every way a secret comes in: as a header, in a body, accepted, refused, misplaced, malformed."""
    good, wrong = site.token(door=PORTAL), site.token(door=SSH)
    answers = [site.newcomer(), site.resolve(good), site.resolve(wrong), site.resolve(good[:-5])]
    for token in (wrong, site.token(exp=1), site.token(iss="https://x.example/"), "x" * 20000):
        answers.append(site.ask("GET", "/v1/me", token))
        answers.append(site.ask("GET", "/v1/snapshot/manifest", token))
        answers.append(
            site.ask("POST", "/v1/explain", "bootstrap", json={"token": token, "door": "api"})
        )
    answers.append(site.ask("GET", "/v1/accounts", site.token(ADMINISTRATOR, ADMIN)))
    for name in ("bootstrap", "portal", "login1", "gone1"):
        answers += [site.ask("GET", path, name) for path in ("/v1/me", "/v1/accounts", "/nowhere")]
    secret = site.secrets["portal"]
    answers.append(site.ask("POST", "/v1/resolve", "portal", json={"token": secret, "door": 1}))
    answers.append(site.ask("POST", "/v1/resolve", "portal", json={"tokn": good, "door": "api"}))
    answers.append(site.ask("GET", f"/v1/accounts?search={secret[:30]}&limit=x", "bootstrap"))
    for second in (site.token("second"), site.token("x", exp=1), good, wrong[:-5], secret):
        for body in ({"token": second}, {"tokn": second}, {"token": [second]}):
            answers.append(site.ask("POST", "/v1/me/links", site.token(), json=body))
    answers.append(site.ask("GET", "/v1/changes?limit=1000", "bootstrap"))
    answers.append(site.ask("GET", "/metrics"))
    return answers


def test_no_token_and_no_secret_shows_anywhere(
    site: Site, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whole, or any of a token's three parts; the one answer that gives a new secret out is not among these."""
    caplog.set_level(logging.DEBUG)
    with capture_logs() as logs:
        answers = _use_everything(site)
    printed = capfd.readouterr()
    shown = "\n".join([
        *(answer.text + str(answer.headers) for answer in answers),
        *map(str, logs),
        printed.out,
        printed.err,
        *(record.getMessage() for record in caplog.records if record.name != "httpx2"),
    ])  # fmt: skip
    assert len(logs) > 10
    forbidden = [*site.secrets.values()]
    for token in site.minted:
        header, payload, signature = token.split(".")
        forbidden += [payload, signature]
        assert header
    for value in forbidden:
        assert value not in shown


def test_a_new_secret_is_told_once(site: Site) -> None:
    """In the answer that makes it; not in the log, not in the record of changes."""
    with capture_logs() as logs:
        made = site.ask(
            "POST", "/v1/nodes", "bootstrap", json={"name": "n2", "node_class": "login"}
        ).json()
    elsewhere = str(logs)
    for path in ("/v1/nodes", "/v1/changes?limit=1000", "/v1/components", "/metrics"):
        elsewhere += site.ask("GET", path, "bootstrap").text
    assert made["secret"] not in elsewhere
    assert made["secret"].removeprefix("idmap-node-") not in elsewhere


def test_metrics_hold_numbers_and_no_names(site: Site) -> None:
    """And count what happened."""
    site.newcomer()
    site.resolve(site.token(door=PORTAL))
    site.resolve(site.token("nobody", door=PORTAL))
    text = site.ask("GET", "/metrics").text
    assert 'idmap_decisions_total{door="component:portal",reason="ok"} 1.0' in text
    assert 'reason="account_unknown"} 1.0' in text
    assert 'idmap_accounts{state="active"} 1.0' in text
    assert 'idmap_range_free_numbers{range="people"} 99.0' in text
    assert 'route="/v1/resolve",status="200"' in text
    assert "alice" not in text
    assert "login1" not in text


def test_what_strangers_ask_for_does_not_grow_the_metrics(site: Site) -> None:
    """Unknown paths and methods are one label."""
    for number in range(5):
        site.ask("GET", f"/nowhere/{number}")
        site.ask(f"X{number}", "/healthz")
    text = site.ask("GET", "/metrics").text
    assert "/nowhere" not in text
    assert text.count('method="other"') <= 2
