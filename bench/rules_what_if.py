"""Reads everybody, or decides about everybody with two versions of the rules; says how long and with how much memory.

python -m bench.rules_what_if URL MARKS read|what_if
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from bench.registry_pages import peak_kib
from bench.rules import AT, changed_rules
from idmap.adapters.sql import SqlRegistry
from idmap.application.compare_rules import compare_rules, every_one
from idmap.domain.rule_document import parse_rules


def main() -> None:
    """Prints one JSON object."""
    url, marks, kind = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    registry = SqlRegistry.open(url, marks_directory=marks)
    proposed = parse_rules(changed_rules(), 2)
    began, used, found = time.perf_counter(), time.process_time(), dict[str, Any]()
    with registry.read() as reader:
        if kind == "read":
            found["people"] = sum(1 for _ in every_one(reader))
        else:
            compared = compare_rules(reader, reader.rules(), proposed, AT)
            found |= {"people": compared.people, "loses": compared.loses}
    found |= {
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - used,
        "peak_kib": peak_kib(),
    }
    registry.close()
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
