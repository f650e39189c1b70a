"""Pages through all accounts, then through all people, and says how much memory that took.

python -m bench.registry_pages URL PAGE
"""

from __future__ import annotations

import json
import resource
import sys
import time

from idmap.adapters.sql import SqlRegistry


def peak_kib() -> int:
    """The most memory this process ever had resident."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    """Prints one JSON object."""
    url, page = sys.argv[1], int(sys.argv[2])
    registry = SqlRegistry.open(url)
    with registry.read() as reader:
        reader.list_accounts(limit=page)
    before, began, accounts, after = peak_kib(), time.perf_counter(), 0, 0
    while True:
        with registry.read() as reader:
            found = reader.list_accounts(after=after, limit=page)
        if not found:
            break
        accounts += len(found)
        after = found[-1].account_id
    seconds, pages = time.perf_counter() - began, peak_kib()
    with registry.read() as reader:
        people = sum(1 for _ in reader.people())
    registry.close()
    sys.stdout.write(
        json.dumps(
            {
                "accounts": accounts,
                "people": people,
                "seconds": seconds,
                "before_kib": before,
                "pages_kib": pages,
                "people_kib": peak_kib(),
            }
        )
    )


if __name__ == "__main__":
    main()
