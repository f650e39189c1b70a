"""Answers are kept with the change they tell of: a day, so many per caller, and then no more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from idmap.application.administer import forget_answers
from idmap.application.ports import KeptAnswer, Registry
from idmap.domain.errors import Conflict, NotFound
from idmap.domain.numbers import NumberRange, RangePurpose
from tests.support.registry_scenes import AUTHOR, NOW, profile

ANSWER = KeptAnswer(
    caller="admin-key:a",
    key="k",
    fingerprint=bytes(range(32)),
    at=NOW,
    expires=NOW + 100,
    status=201,
    headers={"etag": '"1"', "content-type": "application/json"},
    body='{"reason":"für später"}',
)


def test_an_answer_comes_back_as_it_was_kept(registry: Registry) -> None:
    secret = replace(ANSWER, key='odd "key" \\ ', body=None)
    with registry.write(AUTHOR) as writer:
        before = writer.last_change(), writer.revision()
        writer.keep_answer(ANSWER, at_most=10)
        writer.keep_answer(secret, at_most=10)
        assert writer.find_answer("admin-key:a", "k", NOW) == ANSWER
    with registry.read() as reader:
        assert reader.find_answer("admin-key:a", "k", NOW + 99) == ANSWER
        assert reader.find_answer("admin-key:a", secret.key, NOW) == secret
        assert reader.find_answer("admin-key:a", "k", NOW + 100) is None, "it expired"
        assert reader.find_answer("admin-key:b", "k", NOW) is None, "it is another caller's"
        assert (reader.last_change(), reader.revision()) == before, "nothing of ours changed"


def test_an_answer_is_kept_with_its_change_or_not_at_all(registry: Registry) -> None:
    with pytest.raises(NotFound), registry.write(AUTHOR) as writer:  # noqa: PT012  # the transaction is one
        writer.save_issuer(profile(record_groups_from_tokens=True))
        writer.keep_answer(ANSWER, at_most=10)
        writer.lift_ban(1)
    with registry.read() as reader:
        assert reader.find_answer("admin-key:a", "k", NOW) is None
        assert not reader.issuers()[0].record_groups_from_tokens


def test_what_expired_makes_room(registry: Registry) -> None:
    """The key is free again, and what it was used for is gone."""
    later = replace(ANSWER, at=NOW + 100, expires=NOW + 200, body="{}")
    with registry.write(AUTHOR) as writer:
        writer.keep_answer(ANSWER, at_most=10)
    with registry.write(AUTHOR) as writer:
        writer.keep_answer(later, at_most=10)
        assert writer.find_answer("admin-key:a", "k", NOW + 100) == later
        assert writer.forget_answers(NOW + 199) == 0
        assert writer.forget_answers(NOW + 200) == 1


def test_a_key_is_not_kept_twice(registry: Registry) -> None:
    """Whoever asks first has looked; the database refuses the rest."""
    with pytest.raises(Conflict), registry.write(AUTHOR) as writer:  # noqa: PT012  # the transaction is one
        writer.add_range(NumberRange("r", RangePurpose.PEOPLE, 700_000, 700_009))
        writer.keep_answer(ANSWER, at_most=10)
        writer.keep_answer(replace(ANSWER, status=200), at_most=10)
    with registry.read() as reader:
        assert "r" not in {status.range.name for status in reader.ranges()}


def test_work_sweeps_them_out(registry: Registry) -> None:
    """Also where nobody sends a key any more."""
    with registry.write(AUTHOR) as writer:
        writer.keep_answer(ANSWER, at_most=10)
        recorded = writer.last_change()
    assert forget_answers(registry, NOW + 99) == 0
    assert forget_answers(registry, NOW + 100) == 1
    with registry.read() as reader:
        assert reader.last_change() == recorded


def test_a_caller_keeps_the_newest(registry: Registry) -> None:
    with registry.write(AUTHOR) as writer:
        writer.keep_answer(replace(ANSWER, caller="other"), at_most=3)
        for number in range(8):
            answer = replace(ANSWER, key=f"k{number}", at=NOW + number // 2)
            writer.keep_answer(answer, at_most=3)
    with registry.read() as reader:
        kept = [n for n in range(8) if reader.find_answer("admin-key:a", f"k{n}", NOW)]
        assert len(kept) == 3
        assert {6, 7} <= set(kept)
        assert reader.find_answer("other", "k", NOW) is not None
