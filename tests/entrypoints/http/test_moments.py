"""Times and days in requests are taken as documented, and in no other way that a parser would also understand."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from idmap.entrypoints.http.request_documents import AskedDay, Moment

MOMENT: TypeAdapter[Any] = TypeAdapter(Moment)
DAY: TypeAdapter[Any] = TypeAdapter(AskedDay)


@pytest.mark.parametrize(
    "text", ["2026-12-04T12:00:00Z", "2026-12-04T12:00:00+01:00", "1764849600", 1764849600, 0]
)
def test_a_time_is_a_date_with_its_offset_or_whole_seconds(text: object) -> None:
    assert MOMENT.validate_python(text).tzinfo is not None


@pytest.mark.parametrize(
    "text",
    [
        "-6.02e-85",
        "-1-1",
        "1.5",
        1.5,
        True,
        "17648496000000",
        17648496000000,
        "2026-12-04",
        "-5",
        "",
    ],
)
def test_a_fraction_a_negative_number_and_milliseconds_are_none(text: object) -> None:
    """Two minus signs do not make a date."""
    with pytest.raises(ValidationError):
        MOMENT.validate_python(text)


@pytest.mark.parametrize("text", ["-6.02e-85", "--1", "1764849600", 20426, "2026-12-04T00:00:00Z"])
def test_a_day_is_a_date_alone(text: object) -> None:
    with pytest.raises(ValidationError):
        DAY.validate_python(text)
    assert str(DAY.validate_python("2026-12-04")) == "2026-12-04"
