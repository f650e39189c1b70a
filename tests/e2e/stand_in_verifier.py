"""A verifier for tests of the door: the real protocol, a table instead of tokens.

Run inside a private host as `idmap-verify`. Reads /srv/verifier.json, {sha256 of a secret: [name,
uid number]}, anew for each question; everything else is refused as `token_malformed`.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

from idmap.entrypoints.verify.protocol import VerifyReply, VerifyRequest
from idmap.entrypoints.verify.server import VerifyServer, open_listener

TABLE = Path("/srv/verifier.json")


def answer(request: VerifyRequest) -> VerifyReply:
    """Accepts what the table holds."""
    table = json.loads(TABLE.read_text())
    found = table.get(hashlib.sha256(request.secret.reveal().encode()).hexdigest())
    if found is None:
        return VerifyReply.refuse("token_malformed")
    name, uid_number = found
    return VerifyReply.accept(name, uid_number)


if __name__ == "__main__":
    listener = open_listener()
    sys.stdout.write("listening\n")
    sys.stdout.flush()
    VerifyServer(listener, answer).serve_forever()
