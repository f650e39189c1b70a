"""A node asks the service and nobody else: what talks to issuers about tokens is not even loaded there."""

from __future__ import annotations

import subprocess
import sys

ASKS_ISSUERS = ("idmap.adapters.oidc.introspection", "idmap.adapters.oidc.jwks")


def test_the_verifier_of_a_node_has_no_way_to_ask_an_issuer() -> None:
    """No introspection, no userinfo, no key set: node → service → issuer (docs/adr/0012)."""
    loaded = subprocess.run(
        [sys.executable, "-c", "import idmap.entrypoints.verify.main, sys; print(*sys.modules)"],
        capture_output=True, text=True, check=True, timeout=60,
    ).stdout.split()  # fmt: skip
    assert "idmap.adapters.oidc.at_service" in loaded
    assert not set(ASKS_ISSUERS) & set(loaded)
