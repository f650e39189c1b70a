"""`idmap-agent`, `idmap keys`, `idmap snapshot` as people call them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from idmap.entrypoints.agent.main import app
from idmap.entrypoints.cli import keys as keys_command
from idmap.entrypoints.cli import snapshot as snapshot_command
from tests.support.snapshot_site import (
    REALM,
    SnapshotSite,
    compiler,
    installed_groups,
    installed_users,
)

RUN = CliRunner().invoke


@pytest.fixture
def real_time_site(tmp_path: Path) -> Iterator[SnapshotSite]:
    """A site on the real clock, because the commands use it."""
    site = SnapshotSite(tmp_path, int(time.time()))
    site.open_account("s-alice", "alice")
    site.publish()
    yield site
    site.close()


def test_sync_status_and_verify_tell_what_they_found(real_time_site: SnapshotSite) -> None:
    """The three commands of an operator at a node."""
    site = real_time_site
    config = ["--config", str(site.write_config())]
    assert "none installed" in RUN(app, ["status", *config]).output
    assert RUN(app, ["verify", *config]).exit_code == 1
    done = RUN(app, ["sync", "--once", *config])
    assert done.exit_code == 0, done.output
    assert f"revision {site.publisher.revision} installed" in done.output
    assert "is installed already" in RUN(app, ["sync", "--once", *config]).output
    assert RUN(app, ["verify", *config]).exit_code == 0
    status = json.loads(RUN(app, ["status", "--json", *config]).output)
    assert status["revision"] == site.publisher.revision
    assert status["in_contact"]
    (site.node / "posix.db").chmod(0o666)
    broken = RUN(app, ["verify", "--json", *config])
    assert broken.exit_code == 1
    assert json.loads(broken.output)["findings"][0]["file"] == "posix.db"


def test_a_failed_sync_says_the_reason_and_the_next_step(real_time_site: SnapshotSite) -> None:
    """And status remembers it."""
    site = real_time_site
    config = ["--config", str(site.write_config())]
    site.server.faults["/v1/snapshot/bans"] = lambda data: data.replace(b'"sig":"', b'"sig":"AAAA')
    done = RUN(app, ["sync", "--once", *config])
    assert done.exit_code == 1
    assert "[manifest_untrusted]" in done.output
    assert "idmap keys list" in done.output
    assert "manifest_untrusted" in RUN(app, ["status", *config]).output


@pytest.mark.parametrize("keys", ["[]", '["ed25519:AAAA"]', '["rsa:AAAA"]'])
def test_the_agent_refuses_to_run_without_pinned_keys(
    real_time_site: SnapshotSite, keys: str
) -> None:
    """Nothing is trusted on first use."""
    path = real_time_site.write_config()
    lines = path.read_text().splitlines()
    path.write_text(
        "\n".join(f"bans_keys = {keys}" if x.startswith("bans_keys") else x for x in lines)
    )
    done = RUN(app, ["run", "--config", str(path)])
    assert done.exit_code == 1
    assert "configuration_invalid" in done.output


def test_the_daemon_runs_installs_and_ends_on_sigterm(real_time_site: SnapshotSite) -> None:
    """As systemd runs it."""
    site = real_time_site
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "idmap.entrypoints.agent.main", "run"),
            *("--config", str(site.write_config())),
        ],
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parents[3],
    )
    try:
        began = time.monotonic()
        while not site.server.reports or not site.server.reports[-1]["revision"]:
            assert time.monotonic() - began < 20
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=20)
    assert process.returncode == 0, log
    assert "snapshot_installed" in log
    assert set(installed_users(site.node)) == {"alice"}


def test_keys_are_generated_once_and_listed_as_agent_toml_lines(tmp_path: Path) -> None:
    """What `list` prints is what a node pins."""
    config = tmp_path / "idmap.toml"
    config.write_text(f'realm = "{REALM}"\n[sign]\nkeys_directory = "{tmp_path / "keys"}"\n')
    made = RUN(keys_command.app, ["generate", "--config", str(config)])
    assert made.exit_code == 0
    assert made.output.startswith('[trust]\nmanifest_keys = ["ed25519:')
    assert RUN(keys_command.app, ["list", "--config", str(config)]).output == made.output
    again = RUN(keys_command.app, ["generate", "--config", str(config)])
    assert again.exit_code == 1
    assert "never overwritten" in again.output
    listed = json.loads(RUN(keys_command.app, ["list", "--json", "--config", str(config)]).output)
    assert listed.keys() == {"manifest", "bans"}


def compiled(directory: Path, passwd: str, group: str, *more: str) -> tuple[int, str]:
    """Exit status and words of `idmap snapshot compile`."""
    (directory / "passwd").write_text(passwd)
    (directory / "group").write_text(group)
    done = RUN(
        snapshot_command.app,
        [
            *("compile", "--passwd", str(directory / "passwd")),
            *("--group", str(directory / "group"), "--out", str(directory / "posix.db")),
            *("--compiler", str(compiler()), *more),
        ],
    )
    return done.exit_code, done.output


PASSWD = "ann:x:5000:6000:Ann Ünal:/home/ann:/bin/bash\nben:x:70000:6000::/home/ben:\n"
GROUP = "lab:x:6000:ann\nproj:x:6001:ann,ben,gone\n"


def test_plain_files_compile_to_a_snapshot_with_memberships(tmp_path: Path) -> None:
    """Members become secondary groups; a member who is no account is said and left out."""
    code, words = compiled(tmp_path, PASSWD, GROUP)
    assert code == 0, words
    assert "'gone' is no account" in words
    assert installed_users(tmp_path) == {"ann": (5000, (6001,)), "ben": (70000, (6001,))}
    assert installed_groups(tmp_path) == {"lab": 6000, "proj": 6001}


@pytest.mark.parametrize(
    ("passwd", "group", "place"),
    [
        (PASSWD + "eve:x:0:6000::/:/bin/sh\n", GROUP, "passwd:3"),
        (PASSWD + "eve:x:65534:6000::/:/bin/sh\n", GROUP, "passwd:3"),
        (PASSWD + "eve:x:2147483648:6000::/:/bin/sh\n", GROUP, "passwd:3"),
        (PASSWD + "root:x:5001:6000::/:/bin/sh\n", GROUP, "passwd:3"),
        (PASSWD + "eve:x:-1:6000::/:/bin/sh\n", GROUP, "passwd:3"),
        (PASSWD + "eve:x:5001\n", GROUP, "passwd:3"),
        (PASSWD, GROUP + "wheel:x:6002:\n", "group:3"),
        (PASSWD, GROUP + "low:x:10:\n", "group:3"),
        (PASSWD + "ann:x:5001:6000::/:/bin/sh\n", GROUP, "ann"),
        (PASSWD + "eve:x:5000:6000::/:/bin/sh\n", GROUP, "5000 twice"),
        (PASSWD + "eve:x:5001:6009::/:/bin/sh\n", GROUP, "eve"),
    ],
)
def test_an_illegal_line_is_refused_by_its_place(
    tmp_path: Path, passwd: str, group: str, place: str
) -> None:
    """Nothing is repaired, nothing is written."""
    code, words = compiled(tmp_path, passwd, group)
    assert code == 1
    assert place in words
    assert not (tmp_path / "posix.db").exists()


def test_given_windows_are_kept_to(tmp_path: Path) -> None:
    """A number outside is refused; a window over illegal numbers too."""
    wide = ("--window", "uid:5000-59999", "--window", "gid:6000-6999")
    assert compiled(tmp_path, PASSWD, GROUP, *wide)[0] == 1
    assert compiled(tmp_path, PASSWD.split("\n")[0] + "\n", GROUP, *wide)[0] == 0
    assert compiled(tmp_path, PASSWD, GROUP, "--window", "uid:0-99999")[0] == 1
    assert compiled(tmp_path, PASSWD, GROUP, "--window", "nonsense")[0] == 1
