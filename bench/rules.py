"""What rules cost: a what-if over everybody for one changed rule, and `decide` per token by the number of rules.

The what-if runs in a process of its own, whose memory is its own, in turn with one that only reads the same people:
what is above reading is the what-if's. `decide` is asked about one person with ten groups. With *few* candidates each
rule is about a group of its own and three of them are the person's; with *all* every rule is about a group of the
person, and each matches: there the cost can only grow with the rules. Of `decide` the processor's time is told, which
what else the machine does changes little; of the what-if both, for people wait for the clock.
"""

from __future__ import annotations

import copy
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

from bench.contestant import BenchError
from bench.places import PROJECT
from bench.registry_sites import (
    AUTHOR,
    GPU,
    ISSUER,
    RULES,
    STAFF,
    VO,
    Site,
    identity_of,
    sqlite_site,
)
from bench.rounds import say
from bench.statistics import estimate, figure, fitted_exponent, paired_ratio
from bench.table import nanoseconds, rows
from idmap.application.ports import ListedPerson, Listing
from idmap.domain.decision import Recorded, decide
from idmap.domain.groups import Group
from idmap.domain.rule_document import parse_rules
from idmap.domain.rules import RuleSet

SIZES_OF_RULES: Final = (10, 100, 1_000, 10_000)
PROJECTS: Final = tuple(Group(ISSUER, f"vo/project{number:02}") for number in range(40))
WHAT_IF_ROUNDS: Final = 5
"""A round takes seconds; what is compared is far apart."""
BATCH_NS: Final = 20e6
"""A round of `decide` aims at so much, so that the clock and the scheduler do not matter."""
AT: Final = 1_700_000_000

Figures = Mapping[str, Any]


def measure_rules(sizes: Sequence[int], rounds: int) -> dict[str, Any]:
    """Both parts; the first in a directory under build, on the disk."""
    place = PROJECT / "build" / "bench"
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="rules-", dir=place) as directory:
        what_ifs = {
            str(size): measure_what_if(size, min(rounds, WHAT_IF_ROUNDS), Path(directory))
            for size in sizes
        }
    return {"what_if": what_ifs, "decide": measure_decide(SIZES_OF_RULES, rounds)}


# --- everybody


def populated(size: int, directory: Path) -> Site:
    """Everybody has an account and is in the organisation, two of forty projects, and one in ten in gpu."""
    site = sqlite_site(directory, size)
    say(f"{size:,} accounts in {site.fill_seconds:.0f} s")
    chance = random.Random(size)  # noqa: S311  (no secret: the same people each time)
    people = tuple(
        ListedPerson(
            identity_of(number),
            frozenset({VO, *chance.sample(PROJECTS, 2)} | ({GPU} if number % 10 == 0 else set())),
            active=True,
            preferred_username=None,
        )
        for number in range(size)
    )
    with site.registry.write(AUTHOR) as writer:
        watched = frozenset({VO, STAFF, GPU, *PROJECTS})
        writer.record_listing(Listing("iam", ISSUER, watched, people, AT))
    return site


def changed_rules() -> dict[str, Any]:
    """One rule is another: the organisation's members but those of one project."""
    document: dict[str, Any] = copy.deepcopy({**RULES, "format": 2})
    (rule,) = document["rules"]
    del rule["group"]
    rule["when"] = {"groups": {"any": [VO.path], "none": [PROJECTS[0].path]}}
    return document


def measure_what_if(size: int, rounds: int, directory: Path) -> dict[str, Any]:
    """For reading alone and for the what-if: seconds by the clock and of the processor, peak memory, of every round;
    and what it found."""
    site = populated(size, directory)
    try:
        found: dict[str, Any] = {
            kind: {"seconds": [], "cpu_seconds": [], "peak_kib": []} for kind in ("read", "what_if")
        }
        for number in range(rounds):
            for kind in ("read", "what_if") if number % 2 else ("what_if", "read"):
                took = _in_own_process(site, kind)
                found[kind]["seconds"].append(took["seconds"])
                found[kind]["cpu_seconds"].append(took["cpu_seconds"])
                found[kind]["peak_kib"].append(took["peak_kib"])
                found[kind]["people"] = took["people"]
                found["loses"] = took.get("loses", found.get("loses"))
    finally:
        site.close()
    if found["read"]["people"] != found["what_if"]["people"] or not 0 < found["loses"] < size:
        raise BenchError(f"what-if over {size}: {found}")
    return found


def _in_own_process(site: Site, kind: str) -> dict[str, Any]:
    words = [sys.executable, "-m", "bench.rules_what_if", site.url, str(site.marks), kind]
    done = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(done.stderr[-1500:])
    took: dict[str, Any] = json.loads(done.stdout)
    return took


# --- one token


def rule_set(number: int, kind: str) -> RuleSet:
    """So many rules; the last one of those that match wins nothing, so none is left out."""
    mine = {f"vo/own{each}" for each in range(10)}
    matching = {0, number // 2, number - 1}
    written = [
        {
            "id": f"r{place}",
            "issuer": ISSUER,
            "class": "member",
            "when": {
                "groups": {
                    "any": sorted(mine)
                    if kind == "all"
                    else [f"vo/own{place % 10}" if place in matching else f"vo/other{place}"]
                }
            },
        }
        for place in range(number)
    ]
    return parse_rules({**RULES, "format": 2, "rules": written}, 1)


def measure_decide(sizes: Sequence[int], rounds: int) -> dict[str, Any]:
    """Nanoseconds per call by kind, number of rules and round; sizes take their turn in every round."""
    person = Recorded(
        identity_of(1), True, frozenset(Group(ISSUER, f"vo/own{each}") for each in range(10)), None
    )
    sets = {(kind, size): rule_set(size, kind) for kind in ("few", "all") for size in sizes}
    calls = {}
    for key, rules in sets.items():
        decide(person, rules, AT)  # the index is made once for each version
        calls[key] = max(1, int(BATCH_NS / max(1.0, _time(person, rules, 1))))
    found: dict[str, Any] = {kind: {str(size): [] for size in sizes} for kind in ("few", "all")}
    order = list(sets)
    for number in range(rounds):
        turn = number % len(order)
        for kind, size in (*order[turn:], *order[:turn]):
            took = _time(person, sets[kind, size], calls[kind, size])
            found[kind][str(size)].append(took)
    return found


def _time(person: Recorded, rules: RuleSet, calls: int) -> float:
    began = time.thread_time_ns()
    for _ in range(calls):
        decision = decide(person, rules, AT)
    took = (time.thread_time_ns() - began) / calls
    if decision.grant is None or decision.grant.rule.rule_id != "r0":
        raise BenchError(f"decide with {len(rules.rules)} rules: {decision.reason}")
    return took


# --- as a person reads it


def rules_table(found: Figures) -> str:
    """Both parts."""
    lines = ["", "A what-if for one changed rule: reading everybody alone, and with both decisions"]
    for size, of in found["what_if"].items():
        lines += [f"  {line}" for line in _of_what_if(int(size), of)]
    lines += ["", "decide() per token by the number of rules, and the exponent"]
    lines += _of_decide(found["decide"])
    return "\n".join(lines) + "\n"


def _of_what_if(size: int, of: Figures) -> Iterator[str]:
    read, what_if = of["read"], of["what_if"]
    yield (
        f"{size:,} people ({of['loses']:,} lose): {estimate(what_if['seconds']).text()} s, reading alone "
        f"{estimate(read['seconds']).text()} s, ×{paired_ratio(what_if['seconds'], read['seconds']).text()}"
    )
    cpu = [kind["cpu_seconds"] for kind in (what_if, read)]
    yield (
        f"of the processor {estimate(cpu[0]).text()} s, reading alone {estimate(cpu[1]).text()} s, "
        f"×{paired_ratio(*cpu).text()}"
    )
    peaks = [median(kind["peak_kib"]) / 1024 for kind in (what_if, read)]
    yield f"at most {peaks[0]:.0f} MiB resident, reading alone {peaks[1]:.0f} MiB"


def _of_decide(kinds: Figures) -> Iterator[str]:
    first = next(iter(kinds.values()))
    cells = [["rules", *(f"{int(size):,}" for size in first), "exponent"]]
    for kind, sizes in kinds.items():
        base = next(iter(sizes.values()))
        row = [{"few": "three match", "all": "all match"}[kind]]
        for samples in sizes.values():
            ratio = figure(paired_ratio(samples, base).value)
            row.append(f"{nanoseconds(median(samples))} ×{ratio}")
        points = [(float(size), median(samples)) for size, samples in sizes.items()]
        row.append(f"{round(fitted_exponent(points), 2) + 0.0:+.2f}" if points[1:] else "–")
        cells.append(row)
    yield from rows(cells)
