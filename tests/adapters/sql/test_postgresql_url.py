"""Which PostgreSQL URLs are refused, and that a refusal repeats no password."""

from __future__ import annotations

from pathlib import Path

import pytest

from idmap.adapters.sql import SqlRegistry, upgrade
from idmap.adapters.sql.postgresql_url import check_url
from idmap.domain.errors import InvalidInput
from idmap.domain.reasons import Reason

SECRET = "correct-horse"

REFUSED = {
    f"postgresql+psycopg://idmap:{SECRET}@localhost/idmap": "passfile",
    f"postgresql+psycopg://idmap:{SECRET}@/idmap?host=/run/postgresql": "peer",
    f"postgresql+psycopg://localhost/idmap?password={SECRET}": "passfile",
    "postgresql+psycopg://db.example/idmap": "verify-full",
    "postgresql+psycopg://db.example/idmap?sslmode=require": "verify-full",
    "postgresql+psycopg:///idmap?host=db.example": "verify-full",
    "postgresql+psycopg:///idmap?host=/run/postgresql&host=db.example:5432": "verify-full",
    "postgresql+psycopg:///idmap?host=localhost,db.example": "verify-full",
    "postgresql+psycopg:///idmap?host=/run/postgresql,db.example": "verify-full",
    "postgresql+psycopg://localhost/": "database",
    "postgresql+psycopg://localhost/idmap?options=-csynchronous_commit%3Doff": "options",
    "postgresql+psycopg://localhost/idmap?service=idmap": "service",
    "postgresql+psycopg2://localhost/idmap": "psycopg",
    "postgresql+asyncpg://localhost/idmap": "psycopg",
}


@pytest.mark.parametrize(("url", "word"), REFUSED.items())
def test_a_url_is_refused_and_the_next_step_named(url: str, word: str, tmp_path: Path) -> None:
    for use in (
        lambda: SqlRegistry.open(url, marks_directory=tmp_path),
        lambda: SqlRegistry.create(url, marks_directory=tmp_path),
        lambda: upgrade(url),
    ):
        with pytest.raises(InvalidInput) as caught:
            use()
        assert caught.value.reason is Reason.CONFIGURATION_INVALID
        assert word in caught.value.detail
        assert SECRET not in f"{caught.value!r} {caught.value.detail}"


def test_what_is_no_url_is_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        SqlRegistry.open(f"//{SECRET}@x y", marks_directory=tmp_path)
    assert SECRET not in f"{caught.value!r} {caught.value.detail}"
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg:///idmap?host=/run/postgresql",
        "postgresql:///idmap",
        "postgresql+psycopg://idmap@localhost:5433/idmap?passfile=/etc/idmap/pgpass",
        "postgresql+psycopg://idmap@127.0.0.1/idmap",
        "postgresql+psycopg://idmap@[::1]/idmap",
        "postgresql+psycopg:///idmap?host=127.0.0.1:5432&host=[::1]:5433",
        "postgresql+psycopg://idmap@db.example/idmap?sslmode=verify-full&sslrootcert=/etc/ca.pem",
        "postgresql+psycopg:///idmap?host=a.example:5432&host=b.example:5432"
        "&sslmode=verify-full&target_session_attrs=read-write",
    ],
)
def test_a_url_without_secret_to_a_proved_or_local_server_is_accepted(url: str) -> None:
    assert check_url(url).drivername == "postgresql+psycopg"


def test_the_marks_need_a_directory_of_this_host() -> None:
    with pytest.raises(InvalidInput) as caught:
        SqlRegistry.open("postgresql+psycopg:///idmap?host=/nowhere")
    assert "marks_directory" in caught.value.detail
