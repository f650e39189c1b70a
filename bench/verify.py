"""Tokens verified per second, cold and cached, against a bare RS256 check of the same signatures.

The limit is `cryptography` alone, with the key loaded and the token taken apart beforehand. Ours is what `serve` runs,
the whole of VerifiedTokens: strict reading, exact issuer, key, signature, claims. *Cold*: every token is seen for the
first time; *cached*: the same tokens once more, remembered by their keyed hash. Between them the same tokens
again without the memory, as a node's verifier has none; *traced*: with every check put into words, as `idmap
explain` asks. Rounds interleave.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from bench.statistics import paired_ratio
from idmap.adapters.oidc.signatures import JoseSignatures
from idmap.application.verified_tokens import VerifiedTokens
from idmap.application.verify_token import TokenVerifier
from idmap.domain.issuers import find_profile
from idmap.domain.secrets import Secret
from idmap.domain.tokens import parse_token
from tests.support.tokens import (
    NOW,
    SSH,
    FakeIssuerKeys,
    claims,
    mint,
    private_key,
    profile,
    public_jwk,
)

PER_ROUND = 50
"""50 checks are some 5 ms."""

ROWS = {
    "bare": "cryptography alone",
    "cold": "VerifiedTokens, new tokens",
    "again": "TokenVerifier, the same, no memory",
    "traced": "TokenVerifier, with a trace",
    "cached": "VerifiedTokens, the same, cached",
}
"""What is measured, in the order of one round: *cold* comes before *cached*, which needs it."""


def timed(work: Callable[[Any], object], subjects: Sequence[Any]) -> float:
    """Nanoseconds of this thread's processor time per subject: nothing here waits."""
    started = time.thread_time_ns()
    for subject in subjects:
        work(subject)
    return (time.thread_time_ns() - started) / len(subjects)


def measure_verify(rounds: int) -> dict[str, list[float]]:
    """Nanoseconds per token and round, for each of ROWS."""
    public = private_key("rsa").public_key()
    trusted = (profile(),)
    parts = (
        lambda text: find_profile(trusted, text),
        FakeIssuerKeys((public_jwk("rsa", "k1"),)),
        JoseSignatures(),
    )
    plain, remembering = TokenVerifier(*parts), VerifiedTokens(*parts, state=lambda: 1)
    scheme, digest = padding.PKCS1v15(), hashes.SHA256()

    def bare(parsed: tuple[bytes, bytes]) -> None:
        public.verify(parsed[0], parsed[1], scheme, digest)

    def ours(token: Secret) -> None:
        remembering.verify(token, SSH, NOW)

    work: dict[str, Callable[[Any], object]] = {
        "bare": bare,
        "cold": ours,
        "again": lambda token: plain.verify(token, SSH, NOW),
        "traced": lambda token: plain.verify(token, SSH, NOW, []),
        "cached": ours,
    }
    found: dict[str, list[float]] = {name: [] for name in ROWS}
    for number in range(rounds + 1):
        tokens = [
            mint(claims(SSH, sub=f"person-{number}-{i}", jti=f"{number}-{i}"))
            for i in range(PER_ROUND)
        ]
        signed = [(parsed.signature, parsed.signed) for parsed in map(parse_token, tokens)]
        order = list(ROWS) if number % 2 else ["again", "traced", "cold", "cached", "bare"]
        for name in order:
            took = timed(work[name], signed if name == "bare" else tokens)
            if number:  # the first round warms up
                found[name].append(took)
    return found


def verify_table(found: dict[str, list[float]]) -> str:
    """The figures as a person reads them."""
    lines = ["", "Token verification, RS256, processor time of one thread"]
    for name, title in ROWS.items():
        taken = median(found[name])
        ratio = paired_ratio(found[name], found["bare"])
        lines.append(
            f"  {title:<34} {1e9 / taken:>8,.0f}/s  {taken / 1000:6.1f} µs  ×{ratio.text()}"
        )
    return "\n".join(lines) + "\n"
