"""Several identities of one account: the port cannot link them yet, what reads them is ready."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import text

from idmap.adapters.sql import SqlRegistry
from idmap.adapters.sql.engine import make_engine, writing
from tests.support.registry_scenes import (
    AUTHOR,
    NOW,
    VO,
    furnish,
    listed,
    listing,
    open_one,
    person,
)


def test_a_ban_of_one_identity_reaches_the_others_and_no_stranger(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/registry.db"
    registry = SqlRegistry.create(url, lambda: NOW)
    furnish(registry)
    account, stranger = open_one(registry, "home"), open_one(registry, "stranger")
    with registry.write(AUTHOR) as writer:
        writer.record_listing(listing(listed("home", VO), listed("work"), listed("stranger", VO)))
    engine = make_engine(url)
    with writing(engine) as connection:
        connection.execute(text("UPDATE identities SET account_id = 1 WHERE subject = 'work'"))
    engine.dispose()
    with registry.write(AUTHOR) as writer:
        ban = writer.add_ban(
            account_id=None, identity=person("work"), reason="stolen", until=NOW + 9, at=NOW
        )
    with registry.read() as reader:
        assert reader.identities_of(1) == (person("home"), person("work"))
        for subject, bans in (("home", (ban,)), ("work", (ban,)), ("stranger", ())):
            assert reader.recorded(person(subject)).bans == bans
        found = {facts.recorded.identity: facts.recorded for facts in reader.people()}
        assert found[person("home")].bans == found[person("work")].bans == (ban,)
        assert found[person("stranger")].bans == ()
        assert found[person("home")].account == found[person("work")].account == account
        assert reader.banned_uid_numbers(NOW) == ((account.uid_number, NOW + 9),)
        assert [uid for _, uid in reader.every_linked_identity()] == [
            account.uid_number,
            stranger.uid_number,
            account.uid_number,
        ]
    registry.close()
