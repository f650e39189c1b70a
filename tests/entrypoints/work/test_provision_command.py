"""`idmap provision` as an operator types it: simulator, real registry, real settings file, exit codes."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from iam_simulator.testing import RunningSimulator, running_simulator
from idmap.adapters.sql import SqlRegistry
from idmap.application.ports import Author
from idmap.application.provision import LEASE
from idmap.domain.accounts import AccountState
from idmap.domain.groups import Group
from idmap.domain.identity import Identity, Issuer, Subject
from idmap.entrypoints.cli.provision import app
from idmap.entrypoints.clock import system_clock
from tests.support.provisioning import ISSUER, RULES, Site

GOLDEN = Path(__file__).with_name("golden")


@dataclass
class Operator:
    """An operator at a prompt of a site whose IAM is simulated."""

    iam: RunningSimulator
    directory: Path

    @property
    def config(self) -> Path:
        return self.directory / "idmap.toml"

    def types(self, *words: str) -> Result:
        return CliRunner().invoke(app, [*words, "--config", str(self.config)])

    def runs(self, *options: str, code: int = 0) -> dict[str, Any]:
        result = self.types("run", "--json", *options)
        assert result.exit_code == code, result.output
        document: dict[str, Any] = json.loads(result.stdout)
        return document

    def registry(self) -> SqlRegistry:
        return SqlRegistry.open(f"sqlite:///{self.directory}/registry.db")

    def account(self, name: str) -> Any:
        registry = self.registry()
        try:
            with registry.read() as reader:
                identity = Identity(Issuer(ISSUER), Subject(self.iam.person_id(name)))
                return reader.recorded(identity).account
        finally:
            registry.close()


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Operator]:
    with running_simulator() as iam:
        operator = Operator(iam, tmp_path)
        secret = tmp_path / "iam.secret"
        secret.touch(0o600)
        secret.write_text(iam.client_secrets["idmap-admin"] + "\n")
        operator.config.write_text(
            f"""
realm = "test"
[registry]
url = "sqlite:///{tmp_path}/registry.db"
[guard]
floor = 1
[sources.iam]
kind = "indigo-iam"
issuer = "{ISSUER}"
url = "{iam.url}"
client_id = "idmap-admin"
client_secret_file = "{secret}"
"""
        )
        registry = SqlRegistry.create(f"sqlite:///{tmp_path}/registry.db")
        rules = json.loads(json.dumps(RULES).replace("demo/data", "demo/gpu/debug"))
        Site(registry).prepare(rules)
        registry.close()
        yield operator


def masked(text: str) -> str:
    """What differs from run to run: ids, times, hashes, uuids."""
    text = re.sub(r"\d{8}T\d{6}Z-[0-9a-f]{6}", "<run>", text)
    text = re.sub(r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}", "<time>", text)
    text = re.sub(r"\b[0-9a-f]{64}\b", "<hash>", text)
    text = re.sub(r"\d{4}-\d{2}-\d{2}", "<date>", text)
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def matches_golden(name: str, text: str) -> None:
    """Compares with golden/<name>.txt; IDMAP_UPDATE_GOLDEN=1 writes it."""
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("IDMAP_UPDATE_GOLDEN") == "1":
        path.parent.mkdir(exist_ok=True)
        path.write_text(masked(text))
    assert masked(text) == path.read_text()


def test_a_label_of_the_iam_decides_and_one_that_it_hides_stops_the_run(operator: Operator) -> None:
    """From the IAM's record to the account; then its configuration loses a line, and nobody loses anything by it."""
    registry = operator.registry()
    rules = json.loads(json.dumps(RULES).replace("demo/data", "demo/gpu/debug"))
    rules["format"] = 2
    rules["rules"][0]["when"] = {"labels": {"any": ["hpc.example.org/project=lattice"]}}
    Site(registry).save_rules(rules)
    registry.close()
    label = {"prefix": "hpc.example.org", "name": "project", "value": "lattice"}
    operator.iam.change("set_labels", person="alice", labels=[label])
    operator.iam.control("POST", "settings", {"include_labels": True})
    assert operator.runs()["outcome"] == "applied"
    assert operator.account("alice").username == "alice"
    assert operator.account("bob") is None
    operator.iam.control("POST", "settings", {"include_labels": False})
    stopped = operator.runs(code=3)
    assert stopped["reason"] == "guard_stopped"
    assert any("scim.include_labels" in note for note in stopped["notes"])
    assert operator.account("alice").state is AccountState.ACTIVE


def test_the_whole_story_from_group_to_suspension_and_back(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dry run, apply, again, leave, as-of, the day after, return: on the real registry."""
    first = operator.runs("--dry-run")
    assert first["outcome"] == "planned"
    assert operator.account("alice") is None

    applied = operator.runs()
    assert applied["outcome"] == "applied"
    assert applied["plan"]["changes"] == first["plan"]["changes"]
    alice = operator.account("alice")
    assert alice.username == "alice"
    assert [group.name for group in alice.secondary_groups] == ["demo_gpu"]
    assert operator.account("frank") is None, "inactive"
    assert operator.account("grace") is None, "past its end"
    assert operator.account("heidi") is None, "in no group"
    assert operator.account("niaj@partner.example").username.startswith(("u2", "niaj"))

    assert operator.runs()["outcome"] == "nothing_to_do"

    operator.iam.change("leave", person="bob", group="demo/compute")
    left = operator.runs()
    assert left["plan"]["counts"] == {"start_grace": 1}
    bob = operator.account("bob")
    assert bob.state is AccountState.GRACE

    day_after = bob.grace_until + timedelta(days=1)
    ahead = operator.runs("--as-of", day_after.isoformat())
    assert ahead["plan"]["counts"] == {"suspend_account": 1}
    assert operator.account("bob") == bob

    later = system_clock() + 31 * 86400
    monkeypatch.setattr("idmap.entrypoints.cli.provision.system_clock", lambda: later)
    assert operator.runs()["plan"]["counts"] == {"suspend_account": 1}
    assert operator.account("bob").state is AccountState.SUSPENDED

    operator.iam.change("join", person="bob", group="demo/compute")
    assert operator.runs()["plan"]["counts"] == {"restore_account": 1}
    back = operator.account("bob")
    assert back.state is AccountState.ACTIVE
    assert (back.uid_number, back.username) == (bob.uid_number, bob.username)
    registry = operator.registry()
    with registry.read() as reader:
        assert reader.verify_changes() > 0
    registry.close()


def test_as_of_sees_memberships_that_end_before_that_day(operator: Operator) -> None:
    """The source judges `endTime` by the day planned for, not by today."""
    operator.runs()
    end = datetime.fromtimestamp(system_clock(), tz=UTC) + timedelta(days=10)
    operator.iam.change("set_end_time", person="bob", end_time=end.isoformat())
    assert operator.runs("--dry-run")["plan"]["counts"] == {}
    day = (end + timedelta(days=1)).date().isoformat()
    assert operator.runs("--as-of", day)["plan"]["counts"] == {"start_grace": 1}


def test_the_guard_stops_prints_the_hash_and_the_hash_lets_it_pass(operator: Operator) -> None:
    operator.runs()
    for name in ("alice", "bob", "erin", "ivan"):
        operator.iam.change("leave", person=name, group="demo/compute")
    stopped = operator.types("run")
    assert stopped.exit_code == 3
    digest = re.search(r"Hash: ([0-9a-f]{64})", stopped.stdout)
    assert digest is not None
    assert operator.account("alice").state is AccountState.ACTIVE
    assert operator.runs("--dry-run", code=3)["guard"]["stopped_by"]
    assert operator.runs("--approve", "0" * 64, code=3)["reason"] == "plan_stale"
    assert operator.runs("--approve", digest[1])["outcome"] == "applied"
    assert operator.account("alice").state is AccountState.GRACE


def test_the_texts_are_as_agreed(operator: Operator) -> None:
    """Golden files: IDMAP_UPDATE_GOLDEN=1 rewrites them."""
    matches_golden("dry_run", operator.types("run", "--dry-run").stdout)
    matches_golden("applied", operator.types("run").stdout)
    matches_golden("nothing_to_do", operator.types("run").stdout)
    operator.iam.change("leave", person="carol", group="demo/gpu/debug")
    operator.iam.change("leave", person="bob", group="demo/compute")
    operator.iam.change("leave", person="alice", group="demo/compute")
    matches_golden("stopped", operator.types("run").stdout)
    operator.iam.fault("/iam/account/find/bygroup", status=403, body="html", times=None)
    matches_golden("failed", operator.types("run").stdout)
    history = operator.types("history")
    assert history.exit_code == 0
    # Not their order: these runs began within one second.
    assert all(word in history.stdout for word in ("failed", "stopped", "nothing_to_do", "applied"))


def test_a_source_that_fails_is_exit_code_4_and_nothing_changed(operator: Operator) -> None:
    operator.runs()
    operator.iam.change("leave", person="bob", group="demo/compute")
    operator.iam.fault("/iam/account/find/bygroup", drop_rows=1, times=None)
    assert operator.runs(code=4)["reason"] == "source_incomplete"
    assert operator.account("bob").state is AccountState.ACTIVE


def test_another_run_under_way_is_exit_code_5(operator: Operator) -> None:
    registry = operator.registry()
    assert registry.take_lease(LEASE, "another", at=system_clock(), seconds=60)
    result = operator.types("run", "--json")
    assert result.exit_code == 5
    assert json.loads(result.stdout)["reason"] == "already_running"
    registry.release_lease(LEASE, "another")
    registry.close()
    operator.runs()


@pytest.mark.parametrize(
    "words",
    [
        ["run", "--as-of", "tomorrow"],
        ["run", "--as-of", "2001-01-01"],
        ["run", "--no-such-option"],
        ["history", "--limit", "0"],
    ],
)
def test_wrong_usage_is_exit_code_2(operator: Operator, words: list[str]) -> None:
    assert operator.types(*words).exit_code == 2


def test_a_missing_settings_file_is_exit_code_2_with_its_name(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["run", "--config", str(tmp_path / "none.toml")])
    assert result.exit_code == 2
    assert "none.toml" in result.output
    assert "Traceback" not in result.output


def test_history_as_json_has_the_plan_of_each_run(operator: Operator) -> None:
    digest = operator.runs()["plan"]["digest"]
    (run,) = json.loads(operator.types("history", "--json").stdout)
    assert run["outcome"] == "applied"
    assert run["plan"]["digest"] == digest


def test_the_secret_and_the_token_are_in_no_output(operator: Operator) -> None:
    """Not even when IAM repeats the token in a 401."""
    operator.iam.fault("/iam", status=401, body="json", times=None)
    result = operator.types("run")
    assert result.exit_code == 4
    secret = operator.iam.client_secrets["idmap-admin"]
    assert secret not in result.output
    assert "eyJ" not in result.output


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["history", "--help"]])
def test_help_says_what_it_does(words: list[str]) -> None:
    result = CliRunner().invoke(app, words, env={"COLUMNS": "100"})
    assert result.exit_code == 0
    assert "run" in result.output


def test_markup_in_what_a_source_says_is_text(operator: Operator) -> None:
    """A group or a subject in square brackets is printed as it is."""
    registry = operator.registry()
    with registry.write(Author("test", "markup")) as writer:
        writer.record_observation(
            Identity(Issuer(ISSUER), Subject("[red]evil[/red]")),
            frozenset({Group(Issuer(ISSUER), "demo/compute")}),
            "[bold]x",
            system_clock() + 3600,
        )
    registry.close()
    result = operator.types("run", "--dry-run")
    assert "[red]evil[/red]" in result.stdout.replace("\n", "")
