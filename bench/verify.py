"""Tokens verified per second, against a bare RS256 check of the same signatures.

The limit is `cryptography` alone, with the key loaded and the token taken apart beforehand. Ours is
the whole of TokenVerifier: strict reading, exact issuer, key, signature, claims. *New*: every token
is seen for the first time; *again*: the tokens of the round before. Rounds interleave.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from bench.statistics import paired_ratio
from idmap.domain.secrets import Secret
from idmap.domain.tokens import parse_token
from tests.support.tokens import NOW, SSH, claims, mint, private_key, verifier

PER_ROUND = 50
"""50 checks are some 5 ms."""


def timed(work: Callable[[Any], object], subjects: Sequence[Any]) -> float:
    """Nanoseconds of this thread's processor time per subject: nothing here waits."""
    started = time.thread_time_ns()
    for subject in subjects:
        work(subject)
    return (time.thread_time_ns() - started) / len(subjects)


def measure_verify(rounds: int) -> dict[str, list[float]]:
    """Nanoseconds per token and round, for the limit, new tokens and the same ones again."""
    public = private_key("rsa").public_key()
    trusted, _ = verifier()
    scheme, digest = padding.PKCS1v15(), hashes.SHA256()

    def bare(parts: tuple[bytes, bytes]) -> None:
        public.verify(parts[0], parts[1], scheme, digest)

    def whole(token: Secret) -> None:
        trusted.verify(token, SSH, NOW)

    found: dict[str, list[float]] = {"bare": [], "new": [], "again": []}
    for number in range(rounds + 1):
        tokens = [
            mint(claims(SSH, sub=f"person-{number}-{i}", jti=f"{number}-{i}"))
            for i in range(PER_ROUND)
        ]
        signed = [(parsed.signature, parsed.signed) for parsed in map(parse_token, tokens)]
        order = ("bare", "new", "again") if number % 2 else ("new", "again", "bare")
        for name in order:
            took = timed(bare, signed) if name == "bare" else timed(whole, tokens)
            if number:  # the first round warms up
                found[name].append(took)
    return found


def verify_table(found: dict[str, list[float]]) -> str:
    """The figures as a person reads them."""
    lines = ["", "Token verification, RS256, processor time of one thread"]
    for name, title in (
        ("bare", "cryptography alone"),
        ("new", "TokenVerifier, new tokens"),
        ("again", "TokenVerifier, the same again"),
    ):
        taken = median(found[name])
        ratio = paired_ratio(found[name], found["bare"])
        lines.append(
            f"  {title:<30} {1e9 / taken:>8,.0f}/s  {taken / 1000:6.1f} µs  ×{ratio.text()}"
        )
    return "\n".join(lines) + "\n"
