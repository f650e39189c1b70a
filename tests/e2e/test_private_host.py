"""The private host: real inside, harmless outside, gone afterwards."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from demo_site import PrivateHost, PrivateHostError, wait_for
from demo_site.machine_state import differences, machine_state
from demo_site.sshd import start_sshd

RUNNER = """
import sys, time
from demo_site import PrivateHost
from demo_site.sshd import start_sshd
with PrivateHost() as host:
    start_sshd(host)
    host.start("sleeper", ["sh", "-c", "trap '' TERM; setsid sleep 600 & sleep 600"])
    print(host.marker, host.pid, flush=True)
    time.sleep(600)
"""


def test_after_a_host_the_machine_is_as_before() -> None:
    before = machine_state()
    with PrivateHost() as host:
        marker = host.marker
        host.add_user("visitor", 1700, password="secret")
        host.write("/etc/idmap/idmap.toml", "secret = 1\n", mode=0o600)
        start_sshd(host)
        host.start("stubborn", ["sh", "-c", "trap '' TERM; setsid sleep 600 & sleep 600"])
        during = differences(before, machine_state(), [marker])
        assert any("sleep 600" in line for line in during), "a difference would be seen"
    assert differences(before, machine_state(), [marker]) == []


def test_after_its_runner_is_killed_nothing_of_a_host_is_left() -> None:
    before = machine_state()
    runner = subprocess.Popen(
        [sys.executable, "-c", RUNNER], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert runner.stdout is not None
    with runner.stdout:
        marker, pid = runner.stdout.readline().split()
    assert Path(f"/proc/{pid}").exists()
    runner.send_signal(signal.SIGKILL)
    runner.wait(10)
    wait_for(lambda: not Path(f"/proc/{pid}").exists(), 10, "process 1 to end")
    wait_for(lambda: differences(before, machine_state(), [marker]) == [], 5, "the rest to end")


def test_a_change_in_the_hosts_etc_is_not_a_change_in_the_machines(
    private_host: PrivateHost,
) -> None:
    private_host.write("/etc/idmap-was-here", "inside\n")
    assert private_host.read("/etc/idmap-was-here") == "inside\n"
    assert not Path("/etc/idmap-was-here").exists()


@pytest.mark.parametrize("directory", ["/usr", "/usr/bin", "/boot", "/var"])
def test_root_in_the_host_cannot_write_to_the_machine(
    private_host: PrivateHost, directory: str
) -> None:
    done = private_host.run(["touch", f"{directory}/idmap-was-here"])
    assert "Read-only file system" in done.stderr
    assert not Path(directory, "idmap-was-here").exists()


def test_an_unprivileged_user_of_the_host_runs_the_projects_python(
    private_host: PrivateHost,
) -> None:
    code = "import os, cryptography, idmap; print(os.getuid(), idmap.__path__ is not None)"
    done = private_host.run([private_host.python, "-c", code], user="lena")
    assert (done.returncode, done.stdout) == (0, "1500 True\n"), done.stderr


def test_the_machines_host_keys_are_not_in_a_host() -> None:
    with PrivateHost() as host:
        assert host.run(["sh", "-c", "ls /etc/ssh/ssh_host_*"]).returncode != 0


def test_a_host_has_its_own_name_processes_and_loopback(private_host: PrivateHost) -> None:
    assert private_host.run(["hostname"]).stdout == "login1\n"
    inside = private_host.run(["sh", "-c", "ls -d /proc/[0-9]*"]).stdout.split()
    assert len(inside) < 30
    interfaces = private_host.run(["cat", "/proc/net/dev"]).stdout.splitlines()[2:]
    assert [line.split(":")[0].strip() for line in interfaces] == ["lo"]
    assert private_host.run(["bash", "-c", "echo > /dev/tcp/127.0.0.1/9"]).stderr.count("refused")


def test_without_a_network_of_its_own_a_host_shares_the_machines() -> None:
    with PrivateHost(net=False) as host:
        ours = str(Path("/proc/self/ns/net").readlink())
        assert host.run(["readlink", "/proc/self/ns/net"]).stdout.strip() == ours


def test_a_command_that_does_not_end_is_ended(private_host: PrivateHost) -> None:
    started = time.monotonic()
    with pytest.raises(PrivateHostError, match="ran longer than"):
        private_host.run(["sh", "-c", "sleep 601 & sleep 601"], timeout=0.5)
    assert time.monotonic() - started < 5
    assert private_host.run(["pgrep", "-f", "^sleep 601"]).stdout == ""


def test_waiting_for_a_service_that_ended_shows_its_log(private_host: PrivateHost) -> None:
    service = private_host.start("failing", ["sh", "-c", "echo no such port; exit 3"])
    with pytest.raises(PrivateHostError, match=r"(?s)failing ended with 3.*no such port"):
        private_host.wait_for(lambda: False, 5, "never", service)


def test_a_service_is_stopped_with_its_children(private_host: PrivateHost) -> None:
    script = "trap '' TERM; sleep 602 & sleep 602; sleep 602"
    service = private_host.start("stubborn", ["sh", "-c", script], user="lena")
    assert service.pid > 1
    service.stop(timeout=0.5)
    assert service.returncode is not None
    wait_for(lambda: private_host.run(["pgrep", "-f", "^sleep 602"]).stdout == "", 5, "the end")


def test_what_is_logged_in_a_host_is_read_there(private_host: PrivateHost) -> None:
    private_host.run(["logger", "-t", "idmap-test", "a line for syslog"]).check()
    log = wait_for(lambda: private_host.read("/var/log/syslog"), 5)
    assert "idmap-test: a line for syslog" in log


def test_a_file_is_written_with_its_owner_and_mode(private_host: PrivateHost) -> None:
    private_host.write("/srv/deep/er/file", b"\x00bytes", mode=0o640, owner="lena:lena")
    stated = private_host.run(["stat", "-c", "%a %U:%G %s", "/srv/deep/er/file"]).stdout
    assert stated == "640 lena:lena 6\n"


def test_an_unknown_user_is_named_in_the_refusal(private_host: PrivateHost) -> None:
    done = private_host.run(["id"], user="nobody-here")
    assert done.returncode == 127
    assert "no user nobody-here" in done.stderr
