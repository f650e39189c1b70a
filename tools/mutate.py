"""Takes out each check of the verifier in turn: a case of the corpus must then fail, or the check is untested.

    python tools/mutate.py [-v] [WORD …]     all modules, or those whose path holds a word

Every mutation (tools/mutations.py) of the modules below runs the whole corpus (tests/tokens) in a process of its own,
forked from one that has made the keys and signed the tokens once, over a copy of the sources. Survivors are printed by
file and line, and fail the run unless ALLOWED says why that change alters nothing; an entry of ALLOWED that no survivor
needs fails too.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from types import ModuleType
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools.mutations import Mutation, mutations_of  # noqa: E402  (the path is set above)

MODULES: Final[Mapping[str, frozenset[str]]] = {
    "idmap/domain/tokens.py": frozenset(),
    "idmap/domain/claims.py": frozenset(),
    "idmap/domain/claim_checks.py": frozenset(),
    "idmap/domain/assurance.py": frozenset(),
    "idmap/domain/identity.py": frozenset({"parse_subject"}),
    "idmap/domain/issuers.py": frozenset(
        {"ASYMMETRIC_ALGORITHMS", "check_profile", "_check_url", "find_profile"}
    ),
    "idmap/application/verify_token.py": frozenset(),
    "idmap/application/introspect.py": frozenset(),
    "idmap/application/enrich.py": frozenset(),
    "idmap/adapters/oidc/signatures.py": frozenset(),
}
"""What is mutated; with names, only these functions and constants of the module."""

ALLOWED: Final[Mapping[tuple[str, str, str], str]] = {
    ("idmap/application/verify_token.py", "False", "turned"): (
        "the last line of key_fits: an algorithm of no family, which no profile can list (check_profile)"
    ),
    ("idmap/domain/claims.py", "False", "turned"): (
        "the default of VerifiedClaims.robot, which check_claims always says"
    ),
    **{
        ("idmap/adapters/oidc/signatures.py", "256", other): "how many imported keys are remembered"
        for other in ("255", "257")
    },
}
"""(file, what it said, what was done) → why no token can tell the difference."""

PATIENCE_SECONDS: Final = 120
"""A mutant that says nothing for so long fails the run: nobody knows whether it was noticed."""

PROCESSES: Final = len(os.sched_getaffinity(0))


@dataclass(frozen=True, slots=True)
class Mutant:
    """One mutation of one file."""

    path: str
    mutation: Mutation

    @property
    def key(self) -> tuple[str, str, str]:
        """How ALLOWED names it: by text, so that moving lines does not matter."""
        return self.path, self.mutation.said, self.mutation.done

    def __str__(self) -> str:
        said = self.mutation.said.splitlines()[0][:90]
        return f"{self.path}:{self.mutation.line}: {said} → {self.mutation.done}"


class _Replaced(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads one module from a text instead of its file."""

    def __init__(self, name: str, source: str) -> None:
        self._name = name
        self._source = source

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None,  # noqa: ARG002  (the protocol's signature)
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> importlib.machinery.ModuleSpec | None:
        return importlib.util.spec_from_loader(name, self) if name == self._name else None

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self._source, f"<mutant of {self._name}>", "exec"), module.__dict__)  # noqa: S102


def main(arguments: Sequence[str]) -> int:
    """Runs every mutant; 0 when each was noticed or is allowed."""
    verbose = "-v" in arguments
    words = [argument for argument in arguments if not argument.startswith("-")]
    with tempfile.TemporaryDirectory(prefix="idmap-mutate-") as copy:
        for package in ("idmap", "tests"):
            shutil.copytree(ROOT / package, Path(copy, package))
        sys.path.insert(0, copy)
        return _run(words, verbose=verbose)


def _run(words: Sequence[str], *, verbose: bool) -> int:
    tokens = _minted(_load())
    if not _outcomes([None], tokens)[0]:
        print("the corpus fails on the code as it is")
        return 1
    mutants = list(_mutants(words))
    outcomes = _outcomes(mutants, tokens)
    survivors = {index for index, held in outcomes.items() if held}
    silent = {index for index, held in outcomes.items() if held is None}
    unexplained = {index for index in survivors if mutants[index].key not in ALLOWED}
    stale = set() if words else ALLOWED.keys() - {mutants[index].key for index in survivors}
    for index, mutant in enumerate(mutants):
        if index in unexplained:
            print("survived:", mutant)
        elif index in silent:
            print("no answer:", mutant)
        elif verbose:
            print("allowed:" if index in survivors else "noticed:", mutant)
    for path, said, done in sorted(stale):
        print(f"allowed for nothing: {path}: {said} → {done}")
    print(
        f"{len(mutants)} mutants, {len(tokens)} tokens: "
        f"{len(mutants) - len(survivors) - len(silent)} noticed, "
        f"{len(survivors) - len(unexplained)} allowed, {len(unexplained)} survived, "
        f"{len(silent)} gave no answer"
    )
    return 1 if unexplained or silent or stale else 0


def _mutants(words: Sequence[str]) -> Iterator[Mutant]:
    for path, only in MODULES.items():
        if not words or any(word in path for word in words):
            source = (ROOT / path).read_text()
            yield from (Mutant(path, mutation) for mutation in mutations_of(source, only))


def _load() -> ModuleType:
    return importlib.import_module("tests.tokens.corpus")


def _minted(corpus: ModuleType) -> dict[tuple[str, str], str]:
    """Every token by case and door; none of this touches the code under test."""
    return {
        (name, str(door)): case.make(door)
        for name, case in corpus.CORPUS.items()
        for door in case.doors
    }


def _outcomes(
    mutants: Sequence[Mutant | None], tokens: Mapping[tuple[str, str], str]
) -> dict[int, bool | None]:
    """By index: whether the corpus held with that mutant in place; None when it gave no answer in time.

    One thread forks them all: forking beside other threads may lock up the child.
    """
    fork = multiprocessing.get_context("fork")
    waiting = list(enumerate(mutants))[::-1]
    running: dict[int, tuple[multiprocessing.context.ForkProcess, float]] = {}
    outcomes: dict[int, bool | None] = {}
    while waiting or running:
        while waiting and len(running) < PROCESSES:
            index, mutant = waiting.pop()
            child = fork.Process(target=_child, args=(mutant, tokens), daemon=True)
            child.start()
            running[index] = child, time.monotonic() + PATIENCE_SECONDS
        wait([child.sentinel for child, _ in running.values()], timeout=1)
        for index, (child, deadline) in list(running.items()):
            if child.exitcode is None and time.monotonic() > deadline:
                child.kill()
                child.join()
                outcomes[index] = None
                del running[index]
            elif child.exitcode is not None:
                outcomes[index] = child.exitcode == 0
                del running[index]
    return outcomes


def _child(mutant: Mutant | None, tokens: Mapping[tuple[str, str], str]) -> None:
    """Imports everything of ours anew, the mutant among it, and checks each case with the tokens already made."""
    keys: Callable[[str], Any] = sys.modules["tests.support.tokens"].private_key
    for name in [n for n in sys.modules if n.partition(".")[0] in {"idmap", "tests"}]:
        del sys.modules[name]
    if mutant is not None:
        name = mutant.path.removesuffix(".py").replace("/", ".")
        sys.meta_path.insert(0, _Replaced(name, mutant.mutation.source))
    try:
        importlib.import_module("tests.support.tokens").private_key = keys  # type: ignore[attr-defined]
        corpus = _load()
        corpus.check_profiles()
        corpus.check_misfits()
        corpus.check_opaque()
        for name, case in corpus.CORPUS.items():
            for door in case.doors:
                corpus.check_case(case, door, tokens[name, str(door)])
    except BaseException:  # any failure at all means that the change was noticed
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
