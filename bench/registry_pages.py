"""Pages through all accounts, then through all people, and says how much memory that took.

python -m bench.registry_pages URL MARKS PAGE
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from idmap.adapters.sql import SqlRegistry
from idmap.application.questions import AccountQuestion


def peak_kib() -> int:
    """The most memory this program ever had resident; getrusage would tell of the one that started it, too."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def main() -> None:
    """Prints one JSON object."""
    url, marks, page = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    registry = SqlRegistry.open(url, marks_directory=marks)
    with registry.read() as reader:
        reader.page_of_accounts(AccountQuestion(), limit=page)
    before, began, accounts = peak_kib(), time.perf_counter(), 0
    after: int | str | None = None
    while True:
        with registry.read() as reader:
            found = reader.page_of_accounts(AccountQuestion(), after=after, limit=page)
        accounts += len(found.items)
        after = found.next
        if after is None:
            break
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
