"""The commands for groups and ranges against a real service and a real directory."""

from __future__ import annotations

from dataclasses import replace

from idmap.adapters.site_numbers.directory import Directory, DirectoryNumbers
from idmap.domain.secrets import Secret
from tests.entrypoints.cli.conftest import Service
from tests.support.directory import BASE, PASSWORD, READER, running_directory, user

WHY = ("--reason", "a test")


def test_a_local_group_on_the_command_line(service: Service) -> None:
    made = service.json("groups", "add", "lab", *WHY)
    assert made["local"] is True
    username = service.site.newcomer().json()["account"]["username"]
    result = service.run("groups", "members", "add", "lab", username, *WHY)
    assert (result.exit_code, result.stdout) == (0, f"{username} is in lab.\n")
    assert service.json("groups", "show", "lab")["members"] == [username]
    shown = service.run("groups", "show", "lab")
    assert username in shown.stdout
    removed = service.json("groups", "members", "remove", "lab", username, *WHY)
    assert removed["members"] == []
    assert "lab" in service.run("groups", "list").stdout
    refused = service.run("groups", "add", "docker", *WHY)
    assert refused.exit_code == 1
    assert "[name_refused]" in refused.stderr
    assert service.run("groups", "add", "lab2").exit_code == 2, "a reason is needed"


def test_rebind_on_the_command_line(service: Service) -> None:
    result = service.run(
        "groups", "rebind", "vo", "--issuer", "https://x.example/", "--id", "new", *WHY
    )
    assert result.exit_code == 1
    assert "[not_found]" in result.stderr


def test_ranges_are_compared_with_the_site(service: Service) -> None:
    with running_directory([user(f"p{n:02}", 500_000 + n) for n in range(12)]) as slapd:
        directory = Directory(slapd.url, BASE, READER, Secret(PASSWORD), timeout_seconds=5)
        running = service.site.app.state.running
        parts = replace(running.parts, site_numbers=(DirectoryNumbers(directory),))
        service.site.app.state.running = replace(running, parts=parts)
        add = (
            "ranges", "add", "more", "--purpose", "robots", "--first", "500000",
            "--last", "500999", *WHY,
        )  # fmt: skip
        refused = service.run(*add)
        assert refused.exit_code == 1
        assert "[numbers_foreign]" in refused.stderr
        assert "and 2 more" in refused.stderr
        added = service.run(*add, "--acknowledge-foreign")
        assert added.exit_code == 0, added.output
        assert "12 numbers of it are in use and never issued." in added.stdout
        assert service.json("ranges", "check", "more")["ranges"][0]["foreign"] == 0
        assert "more: 0 in use elsewhere" in service.run("ranges", "check").stdout
        made = service.json("ranges", "acknowledge-foreign", "more", *WHY)
        assert made == {"name": "more", "holes": 0}
        assert service.run("ranges", "check", "nowhere").exit_code == 1
