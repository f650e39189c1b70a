"""Which directories a private host covers, and what it shows again."""

from __future__ import annotations

from pathlib import Path

import pytest

from demo_site.layout import Layout, plan_layout


def plan(*exposed: str, closed: tuple[str, ...] = ()) -> Layout:
    private = {"/home": 0o755, "/root": 0o700}
    return plan_layout([Path(path) for path in exposed], private, lambda path: str(path) in closed)


def test_what_is_open_to_everybody_is_left_where_it_is() -> None:
    assert plan("/work/main", "/usr") == Layout({"/home": 0o755, "/root": 0o700}, ())


def test_a_private_directory_opens_for_what_is_exposed_below_it() -> None:
    found = plan("/root/tools/python3", closed=("/root",))
    assert found == Layout({"/home": 0o755, "/root": 0o755}, ("/root/tools/python3",))


def test_a_closed_ancestor_is_covered() -> None:
    found = plan("/data/lena/idmap", closed=("/data/lena",))
    assert found.covers["/data/lena"] == 0o755
    assert found.shown == ("/data/lena/idmap",)


def test_a_cover_hidden_by_another_is_not_made() -> None:
    found = plan("/home/lena/idmap", "/home/lena/python", closed=("/home/lena",))
    assert set(found.covers) == {"/home", "/root"}
    assert found.shown == ("/home/lena/idmap", "/home/lena/python")


def test_what_lies_in_something_exposed_is_shown_once() -> None:
    assert plan("/home/a/idmap/.venv", "/home/a/idmap").shown == ("/home/a/idmap",)


def test_what_is_closed_itself_is_not_opened() -> None:
    with pytest.raises(ValueError, match="chmod o"):
        plan("/work/main", closed=("/work/main",))
