"""The auth phase of pam_idmap, in real PAM conversations with a real verifier socket."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from idmap.entrypoints.verify.protocol import VerifyReply, VerifyRequest, serialise_reply
from tests.c.pam_host import ANNA, PASSED_ON, TREE, PamHost, built, new_host, verifier

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="binds files over /etc in a mount namespace"),
]

TOKEN = "eyJhbGciOiJSUzI1NiJ9.secret-marker-Zq81.signature"
REF = "0123456789abcdef"
FIRST = "Access token: "
SECOND = "The ssh client cut the token at 1023 characters. Paste the rest of it: "


@pytest.fixture
def host() -> Iterator[PamHost]:
    """A node with one account, `anna`."""
    with new_host() as one:
        yield one


def accept_anna(_: VerifyRequest) -> VerifyReply:
    """A verifier for whom every token is anna's."""
    return VerifyReply.accept("anna", ANNA, REF)


@contextmanager
def raw_verifier(path: Path, converse: Callable[[socket.socket], None]) -> Iterator[None]:
    """A verifier that misbehaves: `converse` gets the one connection."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                converse(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield
        finally:
            thread.join(15)
            path.unlink()


def token_of(length: int) -> str:
    """A token of that many characters."""
    return (TOKEN * (length // len(TOKEN) + 1))[:length]


def test_a_good_token_of_the_person_asked_for_opens_the_door(host: PamHost) -> None:
    """All four agree: the name asked for, the verifier, posix.db and the system."""
    with verifier(host.socket, accept_anna) as seen:
        login = host.login(
            "anna", TOKEN, steps="auth setcred account", options=("--rhost", "192.0.2.7")
        )
    assert [login.code(step) for step in ("auth", "setcred", "account")] == ["PAM_SUCCESS"] * 3
    assert login.prompts == [FIRST]
    assert login.told == ""
    (request,) = seen
    assert (request.username, request.rhost, request.service) == ("anna", "192.0.2.7", "door")
    assert request.secret.reveal() == TOKEN
    assert "event=login_accepted" in login.log
    assert f"ref={REF} rhost=192.0.2.7" in login.log


@pytest.mark.parametrize("uid_number", [200018, ANNA])
def test_another_persons_token_opens_nothing(host: PamHost, uid_number: int) -> None:
    """A good token of ben does not log anyone in as anna, whatever his number is said to be."""
    with verifier(host.socket, lambda _: VerifyReply.accept("ben", uid_number, REF)):
        login = host.login("anna", TOKEN)
    assert login.code("auth") == "PAM_AUTH_ERR"
    assert login.told.startswith(f"idmap: identity_mismatch (ref {REF}): ")
    assert "reason=identity_mismatch username=anna" in login.log


def test_a_verifier_with_another_number_for_the_name_opens_nothing(host: PamHost) -> None:
    """trust.db and posix.db must agree on the number too."""
    with verifier(host.socket, lambda _: VerifyReply.accept("anna", ANNA + 1, REF)):
        login = host.login("anna", TOKEN)
    assert login.code("auth") == "PAM_AUTH_ERR"
    assert "reason=identity_mismatch" in login.log


def test_a_local_account_of_the_same_name_is_never_given_to_a_federated_person(
    host: PamHost,
) -> None:
    """Tried without this check: the person was logged in as the local account (law 10)."""
    host.passwd["anna"] = 1500
    with verifier(host.socket, accept_anna):
        login = host.login("anna", TOKEN, steps="auth account")
    assert login.code("auth") == "PAM_AUTH_ERR"
    assert login.code("account") == "PAM_PERM_DENIED"
    assert f"idmap: local_account (ref {REF}): " in login.told
    assert "idmap: local_account: " in login.told


def test_an_accepted_person_whom_the_system_does_not_know_is_refused(host: PamHost) -> None:
    """NSS has no anna: whatever the verifier says, there is nothing to log in to."""
    del host.passwd["anna"]
    with verifier(host.socket, accept_anna):
        login = host.login("anna", TOKEN)
    assert login.code("auth") == "PAM_AUTH_ERR"
    assert "reason=local_account" in login.log


def test_before_proof_a_stranger_learns_only_that_it_was_not_accepted(host: PamHost) -> None:
    """The log knows the reason; the outside gets a reference (law 11)."""
    reply = VerifyReply.refuse("signature_invalid", correlation_id=REF)
    with verifier(host.socket, lambda _: reply):
        login = host.login("anna", TOKEN, options=("--rhost", "192.0.2.7"))
    assert login.code("auth") == "PAM_AUTH_ERR"
    assert login.told == f"idmap: not_accepted (ref {REF})"
    line = f"event=login_refused reason=signature_invalid username=anna ref={REF} rhost=192.0.2.7"
    assert line in login.log


def test_after_proof_the_person_learns_the_reason_and_the_next_step(host: PamHost) -> None:
    """Whoever holds a good token may know why it does not do here."""
    reply = VerifyReply.refuse("token_expired", proved=True, correlation_id=REF)
    with verifier(host.socket, lambda _: reply):
        login = host.login("anna", TOKEN)
    assert login.told == (
        f"idmap: token_expired (ref {REF}): The token has expired. Request a fresh token."
    )


def test_a_silent_caller_is_told_nothing_and_refused_all_the_same(host: PamHost) -> None:
    """PAM_SILENT."""
    with verifier(host.socket, lambda _: VerifyReply.refuse("banned", proved=True)):
        login = host.login("anna", TOKEN, options=("--silent",))
    assert (login.code("auth"), login.told) == ("PAM_AUTH_ERR", "")


def test_a_name_that_is_not_ours_is_not_asked_for_a_token(host: PamHost) -> None:
    """Nobody's password is ever sent to our verifier; the stack goes on."""
    with verifier(host.socket, accept_anna) as seen:
        for name in ("root", "nobody-we-know", "x" * 200, "-", "an na"):
            login = host.login(name, TOKEN)
            assert login.code("auth") == PASSED_ON
            assert login.prompts == []
    assert seen == []


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("anna", "PAM_AUTHINFO_UNAVAIL"),
        ("unknown", "PAM_AUTHINFO_UNAVAIL"),
        ("root", PASSED_ON),
        ("lena", PASSED_ON),
    ],
)
def test_unreadable_node_files_stop_our_people_and_nobody_else(
    host: PamHost, name: str, code: str
) -> None:
    """Inside a window, or without a number: unavailable. A node's own people log in (law 4)."""
    host.passwd["lena"] = 1500
    host.posix.chmod(0o666)
    login = host.login(name, TOKEN, steps="auth account")
    assert login.prompts == []
    assert (login.code("auth"), login.code("account")) == (code, code)
    if code != PASSED_ON:
        assert "reason=node_files_unreadable" in login.log
        first, second = login.told.splitlines()
        assert first.startswith("idmap: not_accepted (ref ")
        assert second.startswith("idmap: node_files_unreadable: ")


def test_an_absent_verifier_is_unavailable(host: PamHost) -> None:
    """Nobody listens; the person may use a key instead and is told so."""
    login = host.login("anna", TOKEN)
    assert login.code("auth") == "PAM_AUTHINFO_UNAVAIL"
    assert login.told.startswith("idmap: agent_unavailable (ref ")
    assert "reason=agent_unavailable" in login.log
    assert "detail=absent" in login.log


def test_an_unknown_verifier_user_is_unavailable(host: PamHost) -> None:
    """The default user idmap-verify does not exist on this host."""
    host.arguments = host.arguments[:1]
    with verifier(host.socket, accept_anna) as seen:
        login = host.login("anna", TOKEN)
    assert login.code("auth") == "PAM_AUTHINFO_UNAVAIL"
    assert "detail=no_verifier_user" in login.log
    assert seen == []


STUB = """
import os, socket, sys
from pathlib import Path
from idmap.entrypoints.verify.protocol import VerifyReply
from idmap.entrypoints.verify.server import VerifyServer, open_listener, run
listener = open_listener(Path(sys.argv[1]), {})
activated, uid = sys.argv[2] == "activated", int(sys.argv[3])
os.setresuid(uid, uid, uid)
if not activated:
    listener.listen()
def answer(request):
    Path(sys.argv[1] + ".seen").write_text("a secret came")
    return VerifyReply.accept("anna", 200017)
print("ready", flush=True)
run(VerifyServer(listener, answer))
"""
"""A verifier with a uid of its own: it listens as root, as systemd would, or as itself."""


@contextmanager
def separate_verifier(host: PamHost, listens: str, uid: int) -> Iterator[Path]:
    """Runs STUB; gives the file it writes once a secret has reached it."""
    host.directory.chmod(0o777)
    command = [sys.executable, "-c", STUB, str(host.socket), listens, str(uid)]
    with subprocess.Popen(command, cwd=TREE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            host.socket.chmod(0o777)
            yield Path(f"{host.socket}.seen")
        finally:
            process.terminate()
            assert process.wait(5) == 0, "the server ends cleanly on SIGTERM"


@pytest.mark.parametrize("listens", ["itself", "activated"])
def test_the_verifiers_own_user_is_believed(host: PamHost, listens: str) -> None:
    """Also behind systemd's socket, where SO_PEERCRED shows root until the verifier listens."""
    host.passwd["idmap-verify"] = 64998
    host.arguments = host.arguments[:1]
    with separate_verifier(host, listens, 64998):
        assert host.login("anna", TOKEN).code("auth") == "PAM_SUCCESS"


def test_nothing_is_sent_to_a_socket_of_another_user(host: PamHost) -> None:
    """Someone else listens at the verifier's place: the secret stays with us."""
    host.arguments[1] = "verifier_uid=64998"
    with separate_verifier(host, "itself", 64997) as seen:
        login = host.login("anna", TOKEN)
        time.sleep(0.1)
        assert not seen.exists()
    assert login.code("auth") == "PAM_AUTHINFO_UNAVAIL"
    assert "detail=wrong_peer" in login.log


def test_an_answer_written_by_another_user_is_not_believed(host: PamHost) -> None:
    """The listener is root's, as with systemd, but the reply must be the verifier's own."""
    host.arguments[1] = "verifier_uid=64998"
    with separate_verifier(host, "activated", 64997):
        login = host.login("anna", TOKEN)
    assert login.code("auth") == "PAM_AUTHINFO_UNAVAIL"
    assert "detail=wrong_peer" in login.log


@pytest.mark.parametrize("length", [1, 1022, 1024, 16384])
def test_one_prompt_is_enough_for_any_length_but_1023(host: PamHost, length: int) -> None:
    """Clients that are not cut send everything in one answer."""
    with verifier(host.socket, accept_anna) as seen:
        login = host.login("anna", token_of(length), "must not be read")
    assert login.code("auth") == "PAM_SUCCESS"
    assert login.prompts == [FIRST]
    assert seen[0].secret.reveal() == token_of(length)


@pytest.mark.parametrize("length", [1024, 1390, 2046, 16384])
def test_an_answer_of_exactly_1023_is_taken_as_cut_and_the_rest_asked_for(
    host: PamHost, length: int
) -> None:
    """WLCG and EGI tokens are longer than what the stock client sends (H13)."""
    token = "x" + token_of(length - 1)
    with verifier(host.socket, accept_anna) as seen:
        login = host.login("anna", token[:1023], token[1023:])
    assert login.code("auth") == "PAM_SUCCESS"
    assert login.prompts == [FIRST, SECOND]
    assert seen[0].secret.reveal() == token


@pytest.mark.parametrize("second", ["", token_of(1023)])
def test_a_token_of_exactly_1023_characters_is_whole(host: PamHost, second: str) -> None:
    """An empty second answer says so; so does sshd's password method, which repeats the first."""
    with verifier(host.socket, accept_anna) as seen:
        login = host.login("anna", token_of(1023), second)
    assert login.prompts == [FIRST, SECOND]
    assert seen[0].secret.reveal() == token_of(1023)


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ([""], "credential_missing"),
        ([token_of(16385)], "token_too_large"),
        ([token_of(1023), token_of(15362)], "token_too_large"),
        (["caf\u00e9"], "token_malformed"),
        (["two\tparts"], "token_malformed"),
    ],
)
def test_an_answer_that_cannot_be_a_credential_is_refused_unsent(
    host: PamHost, answers: list[str], reason: str
) -> None:
    """Empty, too long, or not printable ASCII; the verifier never sees it."""
    with verifier(host.socket, accept_anna) as seen:
        login = host.login("anna", *answers)
    assert login.code("auth") == "PAM_AUTH_ERR"
    assert seen == []
    assert login.told.startswith("idmap: not_accepted (ref ")
    assert f"reason={reason} " in login.log


def test_a_conversation_that_breaks_off_is_no_login(host: PamHost) -> None:
    """The client hung up at the first or at the second prompt."""
    with verifier(host.socket, accept_anna) as seen:
        assert host.login("anna").code("auth") == "PAM_CONV_ERR"
        assert host.login("anna", token_of(1023)).code("auth") == "PAM_CONV_ERR"
        no_conversation = host.login("anna", options=("--no-conversation",))
    assert no_conversation.code("auth") not in ("PAM_SUCCESS", PASSED_ON)
    assert seen == []


GOOD = serialise_reply(VerifyReply.accept("anna", ANNA, REF))


@pytest.mark.parametrize(
    ("reply", "detail"),
    [
        pytest.param(b"", "absent", id="closed"),
        pytest.param(GOOD[:127], "absent", id="short"),
        pytest.param(b"IDMX" + GOOD[4:], "malformed", id="magic"),
        pytest.param(GOOD[:5] + b"\x02" + GOOD[6:], "malformed", id="version"),
        pytest.param(GOOD[:11] + b"\x02" + GOOD[12:], "malformed", id="outcome"),
        pytest.param(GOOD[:15] + b"\x00" + GOOD[16:], "malformed", id="unproved"),
        pytest.param(GOOD[:15] + b"\x03" + GOOD[16:], "malformed", id="flags"),
        pytest.param(GOOD[:16] + bytes(4) + GOOD[20:], "malformed", id="root"),
        pytest.param(GOOD[:16] + b"\x00\x00\x03\xe7" + GOOD[20:], "malformed", id="of-the-system"),
        pytest.param(GOOD[:24] + b"a" * 29 + GOOD[53:], "malformed", id="unterminated"),
        pytest.param(GOOD[:53] + b"O%s" + GOOD[56:], "malformed", id="reason"),
        pytest.param(GOOD[:93] + b"\n" + GOOD[94:], "malformed", id="ref"),
        pytest.param(GOOD[:127] + b"\x01", "malformed", id="tail"),
    ],
)
def test_a_reply_that_breaks_the_protocol_opens_nothing(
    host: PamHost, reply: bytes, detail: str
) -> None:
    """One byte wrong is as good as no reply; each differs from a good one in one place."""

    def answer(peer: socket.socket) -> None:
        peer.recv(9999)
        peer.sendall(reply)

    with raw_verifier(host.socket, answer):
        login = host.login("anna", TOKEN)
    assert login.code("auth") == "PAM_AUTHINFO_UNAVAIL"
    assert f"detail={detail}" in login.log


def test_a_reply_in_single_bytes_is_read_whole(host: PamHost) -> None:
    """The control of the test above: a stream has no message borders."""

    def drip(peer: socket.socket) -> None:
        peer.recv(9999)
        for byte in GOOD:
            peer.sendall(bytes([byte]))

    with raw_verifier(host.socket, drip):
        assert host.login("anna", TOKEN).code("auth") == "PAM_SUCCESS"


def test_a_verifier_that_does_not_answer_costs_ten_seconds_and_no_more(host: PamHost) -> None:
    """Even if it sends a byte now and then."""

    def stall(peer: socket.socket) -> None:
        peer.recv(9999)
        peer.sendall(GOOD[:100])
        time.sleep(5)
        peer.sendall(GOOD[100:110])
        peer.settimeout(10)
        peer.recv(1)

    begun = time.monotonic()
    with raw_verifier(host.socket, stall):
        login = host.login("anna", TOKEN)
    assert 9 < time.monotonic() - begun < 13
    assert login.code("auth") == "PAM_AUTHINFO_UNAVAIL"
    assert "detail=late" in login.log


def test_no_copy_of_the_secret_is_left_in_the_process_nor_in_the_log(host: PamHost) -> None:
    """Every writable page is searched after the login; then once more with a planted copy."""
    token = "x" + token_of(1389)
    needle = bytes(byte ^ 0x5A for byte in b"secret-marker-Zq81").hex()
    answers = (token[:1023], token[1023:])
    options = ("--find", needle)
    with verifier(host.socket, accept_anna):
        clean = host.login("anna", *answers, options=options)
        planted = host.login("anna", *answers, options=(*options, "--keep-copy"))
    refused = host.login("anna", *answers, options=options)
    too_long = host.login("anna", token_of(20000), options=options)
    for login in (clean, refused, too_long):
        assert login.texts("found") == ["0"]
        assert "secret-marker" not in str(login.events)
    assert planted.texts("found") != ["0"]
    assert clean.code("auth") == planted.code("auth") == "PAM_SUCCESS"


def test_what_goes_into_the_log_cannot_forge_a_line_of_it(host: PamHost) -> None:
    """Names and hosts are strangers' input; control characters and blanks do not pass."""
    host.posix.chmod(0o666)
    options = ("--rhost", "h\nost username=root\x1b[2J")
    login = host.login("an\tna\nevent=x", options=options)
    line = next(text for text in login.log.splitlines() if "event=login_refused" in text)
    assert "username=an?na?event=x ref=" in line
    assert "rhost=h?ost?username=root?[2J detail=" in line


def test_the_module_exports_three_entry_points_and_nothing_else() -> None:
    """A session or password line that names it fails loudly."""
    module = str(built() / "pam_idmap.so")
    listing = subprocess.run(
        ["nm", "-D", "--defined-only", module], capture_output=True, text=True, check=True
    )
    names = {line.split()[-1] for line in listing.stdout.splitlines()}
    assert names == {"pam_sm_authenticate", "pam_sm_setcred", "pam_sm_acct_mgmt"}


def test_the_module_links_libc_and_libpam_alone() -> None:
    """No HTTP, TLS or JSON inside sshd (law 8)."""
    module = str(built() / "pam_idmap.so")
    dynamic = subprocess.run(["readelf", "-d", module], capture_output=True, text=True, check=True)
    needed = {
        line.split("[")[1].split(".")[0] for line in dynamic.stdout.splitlines() if "NEEDED" in line
    }
    assert needed == {"libc", "libpam"}
