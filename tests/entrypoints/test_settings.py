"""Settings: typos stop start-up, secrets stay in their files, nothing listens in the open."""

from __future__ import annotations

from pathlib import Path

import pytest

from idmap.domain.errors import InvalidInput
from idmap.domain.member_lists import MemberLists, MemberPolicy
from idmap.domain.reasons import Reason
from idmap.entrypoints.settings import (
    load_agent_settings,
    load_service_settings,
    read_secret_file,
)

AGENT = """
realm = "demo"
node_class = "login"
[service]
url = "https://idmap.example"
[trust]
manifest_keys = ["ed25519:AAAA"]
bans_keys = ["ed25519:AAAA"]
"""


def _write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_realm_is_all_a_small_site_must_write(tmp_path: Path) -> None:
    """Everything else has a default that listens on loopback only."""
    settings = load_service_settings(_write(tmp_path / "idmap.toml", 'realm = "demo"'), {})
    assert (settings.serve.listen, settings.guard.max_percent) == ("127.0.0.1", 20)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "realm"),
        ('realm = "demo"\nserv = 1', "serv"),
        ('realm = "demo"\n[serve]\nprot = 1', "serve.prot"),
        ('realm = "demo"\n[serve]\nlisten = "0.0.0.0"', "TLS or behind_proxy"),
        ('realm = "demo"\n[serve]\ntls_key = "/k"', "come together"),
        ("realm = ", "idmap.toml"),
        (
            'realm="d"\n[sources.a]\nkind="indigo-iam"\nissuer="https://i/"\nurl="http://iam.example"\n'
            'client_id="c"\nclient_secret_file="/s"',
            "https is needed",
        ),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, text: str, named: str) -> None:
    """File and setting stand in the detail."""
    with pytest.raises(InvalidInput) as caught:
        load_service_settings(_write(tmp_path / "idmap.toml", text), {})
    assert caught.value.reason is Reason.CONFIGURATION_INVALID
    assert named in caught.value.detail


def test_the_environment_overrides_one_value(tmp_path: Path) -> None:
    """`IDMAP_SERVE__PORT`; text that is no TOML is a string."""
    path = _write(tmp_path / "idmap.toml", 'realm = "demo"')
    environment = {
        "IDMAP_SERVE__PORT": "9000",
        "IDMAP_SCHEDULE__CRON": "1 2 * * *",
        "IDMAP_URL": "x",
    }
    settings = load_service_settings(path, environment)
    assert (settings.serve.port, settings.schedule.cron) == (9000, "1 2 * * *")


def test_an_agent_without_pinned_keys_does_not_start(tmp_path: Path) -> None:
    """Empty means nobody is trusted."""
    assert load_agent_settings(_write(tmp_path / "a.toml", AGENT), {}).node_class == "login"
    with pytest.raises(InvalidInput, match="manifest_keys"):
        load_agent_settings(
            _write(
                tmp_path / "b.toml",
                AGENT.replace('manifest_keys = ["ed25519:AAAA"]', "manifest_keys = []"),
            ),
            {},
        )


@pytest.mark.parametrize(
    ("lines", "policy", "above"),
    [
        ("", "full", None),
        ("[members]", "full", None),
        ('[members]\npolicy = "full"', "full", None),
        ('[members]\npolicy = "empty"\nabove = 100', "empty", 100),
        ('[members]\npolicy = "empty"\nabove = 0', "empty", 0),
    ],
)
def test_member_lists_are_full_unless_a_limit_is_set(
    tmp_path: Path, lines: str, policy: str, above: int | None
) -> None:
    """0 is a limit, not the lack of one."""
    settings = load_agent_settings(_write(tmp_path / "a.toml", f"{AGENT}{lines}\n"), {})
    assert (settings.members.policy, settings.members.above) == (policy, above)
    assert settings.members.member_lists() == MemberLists(MemberPolicy(policy), above)


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        ('policy = "empty"', "needs above"),
        ("above = 100", "only"),
        ('policy = "full"\nabove = 100', "only"),
        ('policy = "empty"\nabove = -1', "above -1"),
        ('policy = "empty"\nabove = "many"', "members.above"),
        ('policy = "empty"\nabove = 1.5', "members.above"),
        ('policy = "self"\nabove = 1', "members.policy"),
        ('policy = "empty"\nabove = 1\nexcept = ["lab"]', "members.except"),
    ],
)
def test_a_policy_for_member_lists_that_says_too_little_or_too_much_stops_the_agent(
    tmp_path: Path, lines: str, named: str
) -> None:
    """Section and setting are named."""
    with pytest.raises(InvalidInput, match="members") as caught:
        load_agent_settings(_write(tmp_path / "a.toml", f"{AGENT}[members]\n{lines}\n"), {})
    assert caught.value.reason is Reason.CONFIGURATION_INVALID
    assert named in caught.value.detail


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_secret_file_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    """0600 or 0400, nothing wider."""
    path = _write(tmp_path / "secret", "s3cret\n")
    path.chmod(mode)
    with pytest.raises(InvalidInput) as caught:
        read_secret_file(path)
    assert "s3cret" not in str(caught.value)
    path.chmod(0o600)
    assert read_secret_file(path).reveal() == "s3cret"


def test_a_missing_or_empty_secret_file_is_refused(tmp_path: Path) -> None:
    """Never an empty secret."""
    empty = _write(tmp_path / "empty", "\n")
    empty.chmod(0o600)
    for path in (empty, tmp_path / "absent"):
        with pytest.raises(InvalidInput):
            read_secret_file(path)
