"""The account phase of pam_idmap, its arguments, and the stacks that docs/verify-protocol.md recommends."""

from __future__ import annotations

import os
import re
import struct
import time
from collections.abc import Callable, Iterator

import pytest

from idmap.domain.reasons import REASONS, Reason
from idmap.entrypoints.verify.protocol import VerifyReply
from tests.c.pam_host import ANNA, DAY, PASSED_ON, TREE, WINDOW, PamHost, new_host, verifier

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="binds files over /etc in a mount namespace"),
]

TODAY = int(time.time()) // DAY


@pytest.fixture
def host() -> Iterator[PamHost]:
    """A node with one account, `anna`."""
    with new_host() as one:
        yield one


def anna(record: str) -> Callable[[PamHost], None]:
    """A posix.db in which anna has that `STATE EXPIRES_DAY GRACE_DAY`."""
    return lambda host: host.write_posix({"anna": f"{ANNA} {record}"})


def write_old_posix(host: PamHost) -> None:
    """A snapshot whose not-after has passed."""
    host.write_posix(created=int(time.time()) - 2 * DAY, not_after=int(time.time()) - DAY)


def write_stranger(host: PamHost) -> None:
    """A sound posix.db without anna, whose number lies in our window."""
    host.write_posix({"ben": "200018 active 0 0"})


def write_unknown_flag(host: PamHost) -> None:
    """A record as a later version might write it: what the flag forbids is not known here."""
    data = bytearray(host.posix.read_bytes())
    (reference,) = struct.unpack_from("<I", data, 4096)
    assert reference == 4096 // 8, "the first user record"
    struct.pack_into("<I", data, 4096 + 36, 4)
    host.posix.write_bytes(data)


OUTCOMES: dict[str, tuple[Callable[[PamHost], object], str, str]] = {
    "active": (anna("active 0 0"), "ok", "PAM_SUCCESS"),
    "last day": (anna(f"active {TODAY + 1} 0"), "ok", "PAM_SUCCESS"),
    "in grace": (anna(f"grace 0 {TODAY + 1}"), "ok", "PAM_SUCCESS"),
    "banned": (lambda h: h.write_bans({ANNA: 0}), "banned", "PAM_PERM_DENIED"),
    "banned for now": (
        lambda h: h.write_bans({ANNA: int(time.time()) + DAY}),
        "banned",
        "PAM_PERM_DENIED",
    ),
    "ban has ended": (
        lambda h: h.write_bans({ANNA: int(time.time()) - DAY}),
        "ok",
        "PAM_SUCCESS",
    ),
    "suspended": (anna("suspended 0 0"), "account_suspended", "PAM_PERM_DENIED"),
    "elsewhere": (anna("active 0 0 1"), "node_class_refused", "PAM_PERM_DENIED"),
    "elsewhere and token only": (anna("active 0 0 3"), "node_class_refused", "PAM_PERM_DENIED"),
    "token only": (anna("active 0 0 2"), "token_demanded", "PAM_PERM_DENIED"),
    "expired": (anna(f"active {TODAY - 2} 0"), "account_expired", "PAM_ACCT_EXPIRED"),
    "expired on a token-only class": (
        anna(f"active {TODAY - 2} 0 2"),
        "account_expired",
        "PAM_ACCT_EXPIRED",
    ),
    "unknown flag": (write_unknown_flag, "node_files_unreadable", "PAM_AUTHINFO_UNAVAIL"),
    "grace over": (anna(f"grace 0 {TODAY - 2}"), "grace_ended", "PAM_PERM_DENIED"),
    "old snapshot": (write_old_posix, "snapshot_expired", "PAM_AUTHINFO_UNAVAIL"),
    "clock skew": (lambda h: h.write_bans(skew=True), "clock_skew", "PAM_AUTHINFO_UNAVAIL"),
    "unknown": (write_stranger, "account_unknown", "PAM_PERM_DENIED"),
    "no posix.db": (
        lambda h: h.posix.unlink(),
        "node_files_unreadable",
        "PAM_AUTHINFO_UNAVAIL",
    ),
    "no bans.db": (lambda h: h.bans.unlink(), "node_files_unreadable", "PAM_AUTHINFO_UNAVAIL"),
    "cut bans.db": (
        lambda h: os.truncate(h.bans, 20),
        "node_files_unreadable",
        "PAM_AUTHINFO_UNAVAIL",
    ),
    "writable bans.db": (
        lambda h: h.bans.chmod(0o646),
        "node_files_unreadable",
        "PAM_AUTHINFO_UNAVAIL",
    ),
    "local account": (
        lambda h: h.passwd.update(anna=1500),
        "local_account",
        "PAM_PERM_DENIED",
    ),
    "local number in our window": (
        lambda h: h.passwd.update(anna=ANNA + 1),
        "local_account",
        "PAM_PERM_DENIED",
    ),
    "unknown to the system": (
        lambda h: h.passwd.pop("anna"),
        "local_account",
        "PAM_PERM_DENIED",
    ),
}


@pytest.mark.parametrize("case", OUTCOMES)
def test_the_account_phase_answers_for_every_reason(host: PamHost, case: str) -> None:
    """However the person proved herself: code, sentence and log line are those of the table."""
    arrange, reason, code = OUTCOMES[case]
    arrange(host)
    login = host.login("anna", steps="account", options=("--rhost", "192.0.2.7"))
    assert login.code("account") == code
    if reason == "ok":
        assert (login.told, login.log) == ("", "")
    else:
        text = REASONS[Reason(reason)]
        assert login.told == f"idmap: {reason}: {text.sentence} {text.next_step}"
        line = f"event=login_refused reason={reason} username=anna ref=- rhost=192.0.2.7"
        assert line in login.log


def test_every_reason_of_the_account_check_is_in_the_table_above() -> None:
    """A new reason in account.h needs a line in this test."""
    header = (TREE / "pam_module" / "account.h").read_text()
    reasons = {
        name.lower() for name in re.findall(r"^    IDMAP_(\w+?)(?: = 0)?,", header, re.MULTILINE)
    }
    reasons = reasons - {"files_unreadable"} | {"node_files_unreadable"}
    assert reasons == {reason for _, reason, _ in OUTCOMES.values()}


def test_the_texts_in_c_are_those_of_the_one_table() -> None:
    """reasons.h repeats sentences and next steps of idmap/domain/reasons.py word for word."""
    source = (TREE / "pam_module" / "reasons.h").read_text()
    table = source.split("reason_texts[] = {")[1].split("};")[0]
    entries = re.findall(r'\{"(\w+)",((?:\s*"[^"]*")+)\}', table)
    assert entries[-1][0] == "not_accepted"
    assert len(entries) == table.count("{")
    for code, pieces in entries:
        text = REASONS[Reason(code)]
        assert "".join(re.findall(r'"([^"]*)"', pieces)) == f"{text.sentence} {text.next_step}"
    known = {code for code, _ in entries}
    assert known >= {reason for _, reason, _ in OUTCOMES.values() if reason != "ok"}


def test_names_that_are_not_ours_are_ignored(host: PamHost) -> None:
    """Root, a local person, and a name that the system does not know either."""
    host.passwd["lena"] = 1500
    host.passwd["edge"] = 300000
    for name in ("root", "lena", "edge", "nobody-we-know"):
        login = host.login(name, steps="account")
        assert (login.code("account"), login.told) == (PASSED_ON, "")


def test_every_window_counts_up_to_both_of_its_ends(host: PamHost) -> None:
    """An LDAP target that still serves a removed account opens nothing (H11)."""
    host.arguments = ["window=200000-200009", "window=200020-200029", "verifier_uid=0"]
    host.write_posix({})
    expected = {200000: True, 200009: True, 200010: False, 200019: False, 200020: True}
    for uid, ours in expected.items():
        host.passwd["stale"] = uid
        code = host.login("stale", steps="account").code("account")
        assert code == ("PAM_PERM_DENIED" if ours else PASSED_ON)


def test_a_slow_clock_revives_nothing(host: PamHost) -> None:
    """The newest signed time in bans.db counts when it is later than the node's clock."""
    host.write_bans(signed_time=int(time.time()) + 5 * DAY)
    assert "reason=snapshot_expired" in host.login("anna", steps="account").log


@pytest.mark.parametrize(
    "argument",
    [
        "unknown",
        "posx=/x",
        "posix=",
        "Debug",
        "window=",
        "window=5",
        "window=200009-200000",
        "window=0-70000",
        "window=200000-60005",
        "window=200000-4294967296",
        "window=200000-2147483648",
        "window=200000-300000x",
        "window=-1-300000",
        "window=+200000-300000",
        "verifier_uid=",
        "verifier_uid=-1",
        "verifier_uid=4294967296",
        "verifier_user=",
    ],
)
def test_an_argument_that_is_not_understood_lets_nobody_of_ours_in(
    host: PamHost, argument: str
) -> None:
    """Law 4; root and the system's own users, whose numbers are never ours, may still repair it."""
    host.passwd.update(lena=1500, daemon=2)
    host.arguments.append(argument)
    for name in ("anna", "lena", "nobody-we-know"):
        login = host.login(name, "token", steps="auth account")
        assert [login.code("auth"), login.code("account")] == ["PAM_SERVICE_ERR"] * 2
        assert login.prompts == []
        assert "event=configuration_invalid argument=" in login.log
        assert "reason=configuration_invalid" in login.log
    for name in ("root", "daemon"):
        login = host.login(name, steps="auth account")
        assert [login.code("auth"), login.code("account")] == [PASSED_ON] * 2


def test_too_many_windows_are_a_fault_too(host: PamHost) -> None:
    """Sixteen are read; a seventeenth is not silently dropped."""
    host.arguments += [WINDOW] * 15
    assert host.login("anna", steps="account").code("account") == "PAM_SUCCESS"
    host.arguments += [WINDOW]
    assert host.login("anna", steps="account").code("account") == "PAM_SERVICE_ERR"


def test_without_a_window_nobody_in_our_file_gets_in(host: PamHost) -> None:
    """The numbers that are ours are unknown, so a broken file could not be told from no account."""
    host.passwd["lena"] = 1500
    host.arguments.remove(WINDOW)
    with verifier(host.socket, lambda _: VerifyReply.accept("anna", ANNA)) as seen:
        login = host.login("anna", "token", steps="auth account")
    assert [login.code("auth"), login.code("account")] == ["PAM_SERVICE_ERR"] * 2
    assert "detail=no_window" in login.log
    assert seen == []
    assert host.login("lena", steps="account").code("account") == PASSED_ON
    host.posix.unlink()
    assert host.login("lena", steps="account").code("account") == "PAM_AUTHINFO_UNAVAIL"
    assert host.login("root", steps="account").code("account") == PASSED_ON


def test_a_caller_without_a_conversation_gets_the_same_answer(host: PamHost) -> None:
    """cron has no conversation function."""
    host.write_bans({ANNA: 0})
    options = ("--no-conversation",)
    assert host.login("anna", steps="account", options=options).code("account") == "PAM_PERM_DENIED"
    assert host.login("root", steps="account", options=options).code("account") == PASSED_ON


RECOMMENDED = (
    "auth [success=2 user_unknown=ignore default=die] {module}\n"
    "auth [success=1 default=ignore] pam_localuser.so\n"
    "auth requisite pam_deny.so\n"
    "auth required pam_permit.so\n"
    "account [success=ok ignore=ignore default=die] {module}\n"
    "account required pam_permit.so\n"
)
"""docs/verify-protocol.md's stack, with pam_localuser (yes to whoever is in /etc/passwd) for pam_unix."""


def test_the_recommended_lines_are_the_documented_ones() -> None:
    """What is tested below is what people copy."""
    document = (TREE / "docs" / "verify-protocol.md").read_text()
    for line in RECOMMENDED.splitlines():
        if "{module}" in line:
            control = line.split("{module}")[0].strip()
            assert control in re.sub(r" +", " ", document)


def test_the_recommended_stack_lets_the_right_people_in(host: PamHost) -> None:
    """Ours by token, the node's own by their own module; credentials are set for both."""
    host.stack = RECOMMENDED
    host.passwd["lena"] = 1500
    with verifier(host.socket, lambda _: VerifyReply.accept("anna", ANNA)):
        for name in ("anna", "lena"):
            login = host.login(name, "token", steps="auth account setcred")
            codes = [login.code(step) for step in ("auth", "account", "setcred")]
            assert codes == ["PAM_SUCCESS"] * 3, name


def test_the_recommended_stack_ends_at_our_refusal(host: PamHost) -> None:
    """A refused token is not tried as a password: anna is in /etc/passwd here and would pass."""
    host.stack = RECOMMENDED
    with verifier(host.socket, lambda _: VerifyReply.refuse("token_expired")):
        assert host.login("anna", "token").code("auth") == "PAM_AUTH_ERR"
    assert host.login("anna", "token").code("auth") == "PAM_AUTHINFO_UNAVAIL"


@pytest.mark.parametrize("name", ["anna", "lena", "root"])
def test_credentials_are_set_after_a_key_login_too(host: PamHost, name: str) -> None:
    """Then no auth ran before: PAM_IGNORE would die here for lena and root, and with them cron."""
    host.stack = RECOMMENDED
    host.passwd["lena"] = 1500
    login = host.login(name, steps="account setcred")
    assert [login.code("account"), login.code("setcred")] == ["PAM_SUCCESS"] * 2
