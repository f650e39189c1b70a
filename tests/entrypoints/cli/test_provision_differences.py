"""`idmap provision differences`, and what a run says of differences and forgets."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from rich.console import Console
from typer.testing import CliRunner

from idmap.adapters.sql import SqlRegistry
from idmap.application.ports import Author
from idmap.application.provision_report import report_as_json
from idmap.domain.differences import KEPT_SECONDS, Difference, DifferenceKind
from idmap.entrypoints.cli.provision import app
from idmap.entrypoints.cli.provision_text import print_report
from tests.support.provisioning import ISSUER, START, Site, ToldSource, group, identity

COMPUTE, GPU = group("demo/compute"), group("demo/gpu")
KINDS = tuple(DifferenceKind)


@dataclass
class Host:
    """The service's host, with five people about whom tokens and source disagree."""

    directory: Path
    site: Site

    def types(self, *words: str) -> Result:
        options = ("--config", str(self.directory / "idmap.toml"))
        return CliRunner().invoke(app, ["differences", *words, *options])

    def json(self, *words: str) -> Any:
        result = self.types(*words, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    url = f"sqlite:///{tmp_path}/registry.db"
    (tmp_path / "idmap.toml").write_text(f'realm = "test"\n[registry]\nurl = "{url}"\n')
    registry = SqlRegistry.create(url, lambda: START)
    names = ["alice", "bob", "carol", "dave", "erin"]
    source = ToldSource(members={"demo/compute": set(names)})
    site = Site(registry, source).prepare()
    site.run()
    with registry.write(Author("test", "tokens compared")) as writer:
        writer.save_differences(
            [
                Difference(
                    identity(name), COMPUTE if number % 2 else GPU, kind, START, START + number
                )
                for number, name in enumerate(names)
                for kind in KINDS[: 1 + number // 4]
            ]
        )
    yield Host(tmp_path, site)
    registry.close()


def test_the_list_is_a_table_for_people(host: Host) -> None:
    first, *rows = host.types().stdout.splitlines()
    assert first.split("  ")[0] == "ACCOUNT"
    assert len(rows) == 6
    assert re.split(r"  +", rows[0])[:5] == [
        "alice",
        "uuid-of-alice",
        ISSUER,
        "demo/gpu",
        "not_in_token",
    ]


def test_all_pages_are_one_document_and_each_says_how_to_go_on(host: Host) -> None:
    whole = host.json()
    assert host.json("--all", "--limit", "2") == whole
    assert whole["next"] is None
    assert len(whole["differences"]) == 6
    *rows, more = host.types("--limit", "4").stdout.splitlines()
    assert len(rows) == 5
    following = host.types(*shlex.split(more.removeprefix("more: "))).stdout.splitlines()
    assert len(following) == 1 + 2


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--account", "alice"), 1),
        (("--account", "erin"), 2),
        (("--kind", "not_in_source"), 1),
        (("--group", "demo/compute"), 2),
        (("--issuer", ISSUER), 6),
        (("--issuer", "https://other.example/"), 0),
    ],
)
def test_filters(host: Host, words: tuple[str, ...], expected: int) -> None:
    assert len(host.json(*words)["differences"]) == expected
    assert host.json(*words, "--all") == host.json(*words)


def test_what_cannot_be_asked_is_said_with_an_exit_code(host: Host) -> None:
    """Law 11: the code, and a next step."""
    nobody = host.types("--account", "nobody")
    assert (nobody.exit_code, "not_found" in nobody.output) == (1, True)
    assert host.types("--after", "nowhere").exit_code == 2
    assert host.types("--kind", "other").exit_code == 2


def test_a_run_counts_them_and_forgets_what_no_token_showed_for_long(host: Host) -> None:
    site = host.site
    report = site.run()
    assert report.differences == 6
    assert report_as_json(report)["differences"] == 6
    site.now = START + KEPT_SECONDS + 3
    dry = site.run(dry_run=True)
    assert (dry.differences, len(host.json()["differences"])) == (3, 6)
    assert site.run().differences == 3
    assert len(host.json()["differences"]) == 3
    site.now = START + KEPT_SECONDS + 100
    assert site.run().differences == 0
    assert host.types().stdout == "none\n"


def test_a_report_tells_where_to_look(host: Host) -> None:
    out = StringIO()
    print_report(Console(file=out, width=100), host.site.run())
    assert "Tokens and sources disagree about 6 memberships: idmap provision differences" in (
        out.getvalue()
    )


def test_a_run_that_fails_forgets_them_too(host: Host) -> None:
    """What is kept about people ends by the calendar, whatever a source does."""
    host.site.source.members = {}
    host.site.now = START + KEPT_SECONDS + 100
    assert host.site.run().reason is not None
    assert host.json()["differences"] == []
