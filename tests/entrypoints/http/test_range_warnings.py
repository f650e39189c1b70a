"""A range that runs out says so before, and when it is out nothing is half made."""

from __future__ import annotations

from tests.entrypoints.http.site import Site


def gauge(site: Site, name: str) -> float:
    """A gauge of the range for people."""
    lines = site.ask("GET", "/metrics").text.splitlines()
    found = [line for line in lines if line.startswith(f'{name}{{range="people"}}')]
    assert len(found) == 1
    return float(found[0].rpartition(" ")[2])


def low(site: Site) -> list[str]:
    """What readiness and the list of ranges say; they agree."""
    names: list[str] = site.ask("GET", "/readyz").json()["low_ranges"]
    ranges = site.ask("GET", "/v1/ranges", "bootstrap").json()["ranges"]
    assert [entry["name"] for entry in ranges if entry["low"]] == names
    return names


def test_the_warning_comes_before_the_end_and_is_exact(site: Site) -> None:
    """The site's range has 100 numbers: with 90 gone a tenth is left, with 91 less."""
    assert (gauge(site, "idmap_range_numbers"), gauge(site, "idmap_range_free_numbers")) == (
        100,
        100,
    )
    for number in range(90):
        assert site.newcomer(f"p{number:03}x").status_code == 202
    assert gauge(site, "idmap_range_free_numbers") == 10
    assert low(site) == []
    assert site.newcomer("p090x").status_code == 202
    assert gauge(site, "idmap_range_free_numbers") == 9
    assert low(site) == ["people"]


def test_the_one_too_many_leaves_nothing_behind(site: Site) -> None:
    """No identity, no observation, no entry on the record, no number, no name."""
    for number in range(100):
        site.newcomer(f"p{number:03}x")
    with site.registry.read() as reader:
        before = (reader.last_change(), reader.revision(), len(list(reader.people())))
    for _ in range(2):
        answer = site.newcomer("onetoomany")
        assert (answer.status_code, answer.json()["code"]) == (409, "range_exhausted")
        assert "idmap ranges add" in answer.json()["next_step"]
    with site.registry.read() as reader:
        assert (reader.last_change(), reader.revision(), len(list(reader.people()))) == before
        assert reader.find_account(username="onetoomany") is None
        assert reader.verify_changes() == before[0]
    assert gauge(site, "idmap_range_free_numbers") == 0
    assert site.ask("GET", "/readyz").status_code == 200, "everybody else is served"
