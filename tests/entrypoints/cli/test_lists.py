"""Every list: page by page, as a table that scripts can read and as JSON, with bounded memory."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import typer
from typer.main import get_command

from idmap.entrypoints.cli.output import Pages, show
from tests.entrypoints.cli.conftest import SUB_APPS, Service, whole_app
from tests.support.tokens import ISSUER

WHY = ("--reason", "a test")
LISTS = [
    "accounts list", "groups list", "identities list", "bans list", "nodes list", "components list",
    "audit list", "rules versions", "issuers list",
]  # fmt: skip


@pytest.fixture
def crowd(service: Service) -> Service:
    """Seven people with accounts, a ban for each."""
    for number in range(7):
        service.site.newcomer(f"person{number}")
        service.site.ask("POST", "/v1/bans", "bootstrap", json={"account": f"person{number}"})
    return service


@pytest.mark.parametrize("command", LISTS)
def test_all_pages_are_one_document_and_one_table(crowd: Service, command: str) -> None:
    """The same items as on one page, whatever the size of the pages."""
    words = command.split()
    paged = () if command == "issuers list" else ("--all", "--limit", "2")
    one = crowd.json(*words)
    every = crowd.json(*words, *paged)
    assert every == {**one, "next": None}
    (member,) = [name for name, value in every.items() if isinstance(value, list)]
    lines = crowd.run(*words, *paged).stdout.splitlines()
    assert len(lines) == 1 + len(every[member])
    assert lines[0] == lines[0].upper()


def test_a_page_says_how_to_go_on(crowd: Service) -> None:
    """The line can be pasted; going on so gives every account once."""
    seen: list[str] = []
    more: list[str] = []
    for _ in range(10):
        lines = crowd.run("accounts", "list", "--prefix", "person", "--limit", "3", *more).stdout
        *rows, last = lines.splitlines()
        found = re.fullmatch(r"more: (--after .+)", last)
        seen += [row.split()[0] for row in (rows if found else [*rows, last])[1:]]
        if found is None:
            break
        more = shlex.split(found[1])
    assert seen == [f"person{number}" for number in range(7)]


def test_columns_stand_still(crowd: Service) -> None:
    """Each begins at the same place in every line, two blanks apart, whatever the terminal."""
    first, *rest = crowd.run("accounts", "list").stdout.splitlines()
    places = [match.start() for match in re.finditer(r"(?<=  )\S|^\S", first)]
    assert len(places) >= 6
    for line in rest:
        for place in places:
            assert place == 0 or line.ljust(place)[place - 2 : place].isspace()
    assert crowd.run("bans", "list", "--account", "person1").stdout.count("\n") == 2
    assert crowd.run("groups", "list", "--prefix", "zz").stdout == "none\n"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("accounts list --state active --group hpc_gpu", 7),
        ("accounts list --class users --rule members", 7),
        ("accounts list --class nobody", 0),
        ("accounts list --uid-from 200002 --uid-to 200003", 2),
        ("accounts list --search SON3", 1),
        (f"accounts list --issuer {ISSUER}", 7),
        ("accounts list --held", 0),
        ("accounts list --not-held --prefix person", 7),
        ("accounts list --grace-before 2030-01-01", 0),
        (f"identities list --issuer {ISSUER} --subject-prefix person", 7),
        ("identities list --linked --people --active --group hpc", 7),
        ("identities list --unlinked", 0),
        ("bans list --account person2", 1),
        ("bans list --author admin-key:bootstrap --expired", 7),
        (f"bans list --issuer {ISSUER} --subject person1", 0),
        ("bans list --kind account", 7),
        ("bans list --kind group", 0),
        (f"bans list --issuer {ISSUER} --group hpc", 0),
        (f"bans list --issuer {ISSUER} --token-id x", 0),
        ("groups list --prefix hpc_", 1),
        ("nodes list --class login", 1),
        ("audit list --action add_ban", 7),
        ("audit list --action add_ban --account person2", 1),
        (f"audit list --issuer {ISSUER} --subject person2 --action open_account", 1),
        ("audit list --author nobody", 0),
        ("audit list --since 2001-01-01 --until 2002-01-01T00:00:00", 0),
    ],
)
def test_filters_reach_the_service(crowd: Service, command: str, expected: int) -> None:
    document = crowd.json(*command.split())
    (found,) = [value for value in document.values() if isinstance(value, list)]
    assert len(found) == expected


def test_a_list_is_printed_as_it_comes(capsys: pytest.CaptureFixture[str]) -> None:
    """A page is asked for when the one before was printed: nothing is kept of it."""
    printed: list[str] = []

    def documents() -> Iterator[Mapping[str, Any]]:
        for number in range(3):
            printed.append(capsys.readouterr().out)
            yield {"things": [{"n": number}], "next": None if number == 2 else number, "beside": 1}

    show(Pages(documents(), "things", ("N",), lambda t, _: (t["n"],), whole=True), as_json=False)
    assert [*printed, capsys.readouterr().out] == ["", "N\n0\n", "1\n", "2\n"]
    printed.clear()
    show(Pages(documents(), "things", ("N",), lambda t, _: (t["n"],), whole=True), as_json=True)
    assert printed[2].endswith('{"n": 1}')
    text = "".join([*printed, capsys.readouterr().out])
    things = [{"n": number} for number in range(3)]
    assert json.loads(text) == {"things": things, "beside": 1, "next": None}


@pytest.mark.parametrize("things", [[], [{"n": 1}]])
def test_json_is_json_at_any_length(
    capsys: pytest.CaptureFixture[str], things: list[dict[str, int]]
) -> None:
    for whole in (True, False):
        document = {"things": things, "next": None}
        show(Pages(iter([document]), "things", ("N",), lambda t, _: (t["n"],), whole), as_json=True)
        assert json.loads(capsys.readouterr().out) == document


def _commands() -> Iterator[tuple[str, typer.core.TyperCommand]]:
    app: Any = get_command(whole_app())
    for name, group in app.commands.items():
        for command_name, command in getattr(group, "commands", {}).items():
            yield f"{name} {command_name}", command


def test_examples_can_be_typed_as_they_stand() -> None:
    """Every list has one, and each is a command that the program takes."""
    missing = set(LISTS)
    for name, command in _commands():
        for example in re.findall(r"Example: idmap (.+)", command.help or ""):
            words = shlex.split(example)
            assert " ".join(words[:2]) == name
            context: Any = command.make_context(name, words[2:])
            assert context.params
            missing.discard(name)
    assert missing == set()
    assert set(SUB_APPS) == {name.split()[0] for name, _ in _commands()}


def test_the_etag_of_what_was_shown_guards_what_is_changed(crowd: Service) -> None:
    """With or without its quotes; a change of somebody else's is met with a next step."""
    tag = crowd.json("accounts", "show", "person0")["etag"]
    assert tag in crowd.run("accounts", "show", "person0").stdout
    assert crowd.run("accounts", "suspend", "person0", *WHY, "--if-match", tag).exit_code == 0
    stale = crowd.run("accounts", "restore", "person0", *WHY, "--if-match", tag.strip('"'))
    assert (stale.exit_code, "[version_conflict]" in stale.stderr) == (1, True)
    assert "Next: Read it again" in stale.stderr
    assert crowd.run("accounts", "restore", "person0", *WHY, "--if-match", "*").exit_code == 0
    shown = crowd.json("issuers", "show", ISSUER)
    add = ("issuers", "add", ISSUER, "--audience", "api=x", "--no-discovery", *WHY)
    assert crowd.run(*add, "--if-match", "stale").exit_code == 1
    assert crowd.json("issuers", "show", ISSUER) == shown
    assert crowd.run(*add, "--if-match", shown["etag"]).exit_code == 0
    ban = crowd.json("bans", "show", "1")["etag"]
    assert crowd.run("bans", "lift", "1", *WHY, "--if-match", "x").exit_code == 1
    assert crowd.run("bans", "lift", "1", *WHY, "--if-match", ban).exit_code == 0
