"""A number that its holder gets a second time, after a commit that never came, is counted as issued like any other."""

from __future__ import annotations

from pathlib import Path

import pytest

from idmap.adapters.sql.high_water import HighWaterFile, Marks
from idmap.domain.errors import Unavailable
from tests.support.allocating_worker import marks_of
from tests.support.registries import make_registry
from tests.support.registry_scenes import furnish, open_one


def test_the_marks_and_the_range_stand_above_a_number_given_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = make_registry(directory=tmp_path)
    furnish(registry)

    def full(_self: HighWaterFile, _marks: Marks) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(HighWaterFile, "write", full)
        with pytest.raises(Unavailable):
            open_one(registry, "a")  # in the journal by now, and rolled back
    again = open_one(registry, "a").uid_number
    with registry.read() as reader:
        (people,) = (one for one in reader.ranges() if one.range.name == "people")
        assert reader.high_water()["people"] == again
    assert people.next_number == again + 1
    assert marks_of(f"sqlite:///{tmp_path}/registry.db").ranges["people"].highest == again
    assert open_one(registry, "b").uid_number == again + 1
    registry.close()
