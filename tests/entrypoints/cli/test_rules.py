"""`idmap rules` as an administrator types it: lines, reviews, what-ifs, going back, the pin."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from idmap.domain.rule_schema import rules_schema
from idmap.entrypoints.cli.rule_toml import as_toml
from tests.entrypoints.cli.conftest import Service, whole_app
from tests.entrypoints.http.site import PORTAL, RULES
from tests.support.tokens import ISSUER

WHY = ("--reason", "a test")
EXAMPLE = {"name": "a member", "issuer": ISSUER, "groups": ["hpc"], "expect": {"rule": "members"}}


def written(directory: Path, **sections: Any) -> Path:
    """The site's rules in format 2, with other sections, as TOML."""
    admins = [{**admin, "role": "site-admin"} for admin in RULES["admins"]]
    document = {**RULES, "format": 2, "admins": admins, "examples": [EXAMPLE], **sections}
    file = directory / "rules.toml"
    file.write_text(as_toml(document))
    return file


def offline(*arguments: str) -> Any:
    """A command with nobody to ask: no service, no key."""
    nobody = ("--url", "https://127.0.0.1:9", "--key-file", "/nonexistent/key")
    return CliRunner().invoke(whole_app(), [*arguments, *nobody])


GPU = {**RULES["rules"][0], "group": "hpc/gpu"}
GPU_EXAMPLE = {**EXAMPLE, "groups": ["hpc/gpu"]}


@pytest.mark.parametrize("command", [("rules", "apply"), ("rules", "test")])
def test_a_typo_needs_no_service(tmp_path: Path, command: tuple[str, str]) -> None:
    """It is told by file and line, with the member that was probably meant."""
    file = written(tmp_path, rules=[{**RULES["rules"][0], "clas": "users"}])
    line = next(
        i for i, row in enumerate(file.read_text().split("\n"), 1) if row.startswith("clas =")
    )
    more = WHY if command[1] == "apply" else ()
    result = offline(*command, str(file), *more)
    assert result.exit_code == 2
    assert (
        f"{file}:{line}: rule members: clas: unknown member; did you mean class?" in result.stderr
    )


def test_what_the_service_refuses_is_told_by_line(service: Service, tmp_path: Path) -> None:
    """By the pointer of its problem: only it knows which ranges there are."""
    classes = {"users": {**RULES["classes"]["users"], "range": "nowhere"}}
    file = written(tmp_path, classes=classes)
    line = next(i for i, row in enumerate(file.read_text().split("\n"), 1) if "nowhere" in row)
    for command in (("apply", *WHY), ("apply", "--dry-run"), ("test",)):
        result = service.run("rules", command[0], str(file), *command[1:])
        assert result.exit_code == 1
        assert f"{file}:{line}: range nowhere" in result.stderr
        assert "[range_unknown]" in result.stderr


def test_examples_are_tested_alone(tmp_path: Path) -> None:
    """Without a service; one that fails is told with its line."""
    good = offline("rules", "test", str(written(tmp_path)), "--examples")
    assert (good.exit_code, good.stdout) == (0, "1 examples come out as they say.\n")
    file = written(tmp_path, examples=[{**EXAMPLE, "groups": ["other"]}])
    bad = offline("rules", "test", str(file), "--examples")
    assert bad.exit_code == 1
    assert "expected rule members, found refused no_rule_matches" in bad.stderr
    assert f"{file}:" in bad.stderr
    assert offline("rules", "test", "--examples").exit_code == 2


def test_findings_are_shown_by_line(service: Service, tmp_path: Path) -> None:
    """A warning is saved and shown, by a test too."""
    file = written(tmp_path, rules=[RULES["rules"][0], {**RULES["rules"][0], "id": "hidden"}])
    for command in (("test", str(file)), ("apply", str(file), *WHY)):
        shown = service.run("rules", *command)
        assert shown.exit_code == 0, shown.output
        assert ": warning: rule hidden: never wins: rule members comes first" in shown.stdout


def test_a_what_if_shows_counts_and_people(service: Service, tmp_path: Path) -> None:
    """Counts first; people by kind when they are asked for."""
    service.site.newcomer("alice", groups=["hpc"])
    service.site.newcomer("bob")
    file = written(tmp_path, rules=[GPU], examples=[GPU_EXAMPLE])
    told = service.run("rules", "test", str(file)).stdout
    assert "loses            1" in told
    assert "members  2, 1 of them lose → 1" in told
    assert "alice" not in told
    people = service.run("rules", "test", str(file), "--people", "--effect", "loses").stdout
    assert f"alice (alice @ {ISSUER}): loses (no_rule_matches)" in people
    assert "bob" not in people
    document = service.json("rules", "test", str(file), "--people")
    assert [one["username"] for one in document["changes"]] == ["alice"]
    dry = service.run("rules", "apply", str(file), "--dry-run").stdout
    assert "alice" in dry
    assert service.json("rules", "show")["version"] == 1


def test_a_token_is_tried_from_a_file_or_standard_input(service: Service, tmp_path: Path) -> None:
    """Never from the command line, where `ps` would show it; and it is not printed."""
    token = service.site.token("newcomer", door=PORTAL)
    file = tmp_path / "token"
    file.write_text(token)
    ways: list[tuple[tuple[str, ...], dict[str, str]]] = [
        (("--token-file", str(file)), {}),
        (("--token-file", "-"), {"input": token}),
    ]
    for given, options in ways:
        shown = service.run("rules", "test", *given, "--door", str(PORTAL), **options)
        assert shown.exit_code == 0, shown.output
        assert re.search(r"^allowed +yes$", shown.stdout, re.MULTILINE)
        assert "at component:portal" in shown.stdout
        assert token not in shown.output
    assert service.run("rules", "test", "--token-file", str(file)).exit_code == 2


def test_versions_are_reviewed(service: Service, tmp_path: Path) -> None:
    """Two versions, or a version and a file nobody has sent yet."""
    file = written(tmp_path, rules=[{**RULES["rules"][0], "secondary_groups": []}])
    review = service.run("rules", "diff", "1", str(file)).stdout
    assert '~ rule members\n      secondary_groups: ["hpc/gpu"] → []' in review
    assert "+ example a member" in review
    assert service.run("rules", "apply", str(file), *WHY).exit_code == 0
    assert service.run("rules", "diff", "1", "2").stdout == review
    assert service.run("rules", "diff", "2", "2").stdout == "nothing differs\n"
    assert service.run("rules", "diff", "1", "9").exit_code == 1


def test_going_back_and_pinning(service: Service, tmp_path: Path) -> None:
    """Each says what it does and to how many; the versions say which one decides."""
    for name in ("alice", "bob", "carol", "dave"):
        service.site.newcomer(name, groups=["hpc"])
    service.site.newcomer("gina")
    file = written(tmp_path, rules=[GPU], examples=[GPU_EXAMPLE])
    refused = service.run("rules", "apply", str(file), *WHY)
    assert "4 people would lose theirs; 3 of 5 may" in refused.stderr
    pinned = service.run("rules", "pin", "1", *WHY)
    assert pinned.stdout == "Version 1 is pinned and in force.\n"
    applied = service.run("rules", "apply", str(file), *WHY, "--accept-loss", "4")
    assert "Saved as version 2. Version 1 is pinned and stays in force." in applied.stdout
    listed = service.run("rules", "versions").stdout
    assert "pinned" in listed
    assert "a test" in listed
    unpinned = service.run("rules", "unpin", *WHY, "--accept-loss", "4")
    assert unpinned.stdout == ("No version is pinned; 2 is in force. Of 5 people, 4 lose theirs.\n")
    back = service.run("rules", "rollback", "1", *WHY, "--expect-version", "2")
    assert back.stdout == ("Version 1 again. Saved as version 3. Of 5 people, 4 gain an account.\n")
    assert service.run("rules", "rollback", "1", *WHY, "--expect-version", "2").exit_code == 1


def test_rules_are_shown_as_toml_that_is_read_again(service: Service, tmp_path: Path) -> None:
    """With the version and whether it decides."""
    text = service.run("rules", "show", "--toml").stdout
    assert text.startswith("# version 1; in force\n")
    assert tomllib.loads(text) == RULES
    file = tmp_path / "again.toml"
    file.write_text(text)
    assert service.run("rules", "diff", "1", str(file)).stdout == "nothing differs\n"


def test_the_schema_is_printed(tmp_path: Path) -> None:
    """For editors; nobody is asked."""
    shown = CliRunner().invoke(whole_app(), ["rules", "schema"])
    assert json.loads(shown.stdout) == rules_schema()


def test_yaml_and_json_are_read_too(service: Service, tmp_path: Path) -> None:
    """By the suffix of the file."""
    for name in ("rules.yaml", "rules.json"):
        file = tmp_path / name
        file.write_text(json.dumps(dict(RULES)))
        assert service.run("rules", "apply", str(file), *WHY).exit_code == 0
