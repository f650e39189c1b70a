"""`make demo`: from an IAM group to an ssh login, told as a transcript in which every claim is checked.

Each scene shows the commands it runs and what they print, and states what must be true; the first thing that is not
ends the demo with exit status 1. Nothing is simulated but the identity provider: sshd, PAM, NSS and every part of
idmap are the real ones, in a private host that leaves the machine as it was.
"""

from __future__ import annotations

import base64
import json
import re
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from demo_site.private_host import Completed, PrivateHost, PrivateHostError
from demo_site.site import (
    ADMIN_AUDIENCE,
    API_AUDIENCE,
    ISSUER,
    SSH_AUDIENCE,
    DemoSite,
    serve,
    start_node_daemons,
    start_site,
)

BAN_SECONDS: Final = 1.0
"""Law 5: a ban reaches every node in contact within a second."""

_FIRST_LINES: Final = 16
_LAST_LINES: Final = 7
"""Of a long output, so many are shown."""


class NotObserved(Exception):
    """Something that must be true was not."""


class Story:
    """Tells scenes and keeps count of what was observed."""

    def __init__(self, site: DemoSite) -> None:
        self.site = site
        self.host = site.host
        self.observed = 0

    def scene(self, title: str) -> None:
        """A new scene."""
        print(f"\n\033[1m== {title}\033[0m" if sys.stdout.isatty() else f"\n== {title}")

    def say(self, text: str) -> None:
        """A remark of the narrator."""
        print(f"   {text}")

    def run(self, *command: str, done: Completed, shown: str | None = None) -> Completed:
        """Shows a command that was run, and what it said."""
        print(f"   $ {shown or shlex.join(command)}")
        text = (done.stdout + done.stderr).replace("\r", "").strip("\n")
        lines = text.splitlines()
        left_out = len(lines) - _FIRST_LINES - _LAST_LINES
        if left_out > 1:
            lines[_FIRST_LINES:-_LAST_LINES] = [f"… {left_out} more lines …"]
        for line in lines:
            print(f"     {line.rstrip()}")
        return done

    def expect(self, what: str, true: object) -> None:
        """States a fact and checks it."""
        if not true:
            raise NotObserved(what)
        self.observed += 1
        print(f"   ✓ {what}")

    def login(
        self, username: str, token: str, shown: str, command: Sequence[str] = ("id",)
    ) -> Completed:
        """A login with a token, shown without it."""
        done = self.site.laptop.with_secret(username, token, command)
        return self.run(
            done=done, shown=f"ssh {username}@login1 {shlex.join(command)}    # {shown}"
        )

    def refused(self, username: str, token: str, shown: str, reason: str) -> None:
        """A login that must be refused for `reason`, which stands in the message or, before proof, in the log."""
        done = self.login(username, token, shown)
        self.expect(f"refused: {reason}", done.returncode != 0 and self.reason_of(done) == reason)

    def reason_of(self, done: Completed) -> str:
        """The reason code: from the message, or by the reference from the verifier's log."""
        found = re.search(r"idmap: ([a-z_]+) \(ref ([0-9a-f]{16})\)", done.stderr)
        if found is None:
            return ""
        code, reference = found.groups()
        if code != "not_accepted":
            return code
        log = self.site.services["verify"].output()
        line = next(line for line in log.splitlines() if reference in line)
        reason = str(json.loads(line)["reason"])
        self.say(f"the person sees only not_accepted; the node's log has {reference}: {reason}")
        return reason


def tell(site: DemoSite) -> int:
    """The whole story; gives the number of things observed. Raises NotObserved."""
    story = Story(site)
    for scene in SCENES:
        scene(story)
    return story.observed


def members_in_the_iam(story: Story) -> None:
    story.scene("The IAM knows people and groups; this node knows neither")
    for person in ("alice", "bob", "erin", "heidi"):
        record = story.site.iam("GET", f"people/{person}").json()
        story.say(
            f"{person}: {', '.join(g['display'] for g in record.get('groups', [])) or 'in no group'}"
        )
    done = story.host.run(["getent", "passwd", "alice"])
    story.run("getent", "passwd", "alice", done=done)
    story.expect("alice has no account here", done.returncode == 2)


def dry_run(story: Story) -> None:
    story.scene("What would tonight's run do? Nothing is changed by asking")
    done = story.site.provision("--dry-run", "--no-progress")
    story.run("idmap", "provision", "run", "--dry-run", done=done)
    story.expect("the plan opens accounts", "open_account" in done.stdout and done.returncode == 0)
    accounts = story.site.idmap("accounts", "list", "--json").check().stdout
    story.expect("nothing was changed", "alice" not in accounts)


def apply(story: Story) -> None:
    story.scene("The run itself, and the node a moment later")
    done = story.site.provision("--no-progress")
    story.run("idmap", "provision", "run", done=done)
    story.expect("applied", done.returncode == 0)
    revision = story.site.wait_for_revision()
    story.say(f"the node has installed revision {revision}")
    for command in (
        ["getent", "passwd", "alice"],
        ["getent", "group", "demo_compute"],
        ["id", "alice"],
    ):
        done = story.run(*command, done=story.host.run(command))
        story.expect(f"{command[0]} knows", done.returncode == 0 and "alice" in done.stdout)


def log_in(story: Story) -> None:
    story.scene("Logging in with nothing but an access token")
    token = story.site.token("alice", SSH_AUDIENCE)
    done = story.login("alice", token, f"alice's token, {len(token)} bytes")
    expected = story.host.run(["id", "alice"]).stdout
    story.expect(
        "alice is alice, with her groups", done.returncode == 0 and done.stdout == expected
    )
    home = story.login("alice", token, "her home was made at login", ["pwd"])
    story.expect("she is at home", home.stdout.strip() == "/home/alice")
    long = story.site.token("erin", SSH_AUDIENCE, profile="wlcg", groups=True)
    done = story.login(
        "erin", long, f"erin's token, {len(long)} bytes: cut at 1023, the rest asked for"
    )
    story.expect(
        "a token longer than the client can send at once",
        len(long) > 1023 and "(erin)" in done.stdout,
    )


def refusals(story: Story) -> None:
    story.scene("Everything else is refused, each with its reason")
    site = story.site
    story.refused("erin", site.token("alice", SSH_AUDIENCE), "alice's token", "identity_mismatch")
    story.refused(
        "alice", site.token("alice", API_AUDIENCE), "a token for the API", "audience_refused"
    )
    expired = site.token("alice", SSH_AUDIENCE, lifetime_seconds=-3600)
    story.refused("alice", expired, "an expired token", "token_expired")
    token = site.token("alice", SSH_AUDIENCE)
    story.refused("alice", tampered(token), "a tampered token", "signature_invalid")
    other_key = site.token("alice", SSH_AUDIENCE, sign_with="other")
    story.refused("alice", other_key, "signed with another key", "signature_invalid")
    stranger = site.token("alice", SSH_AUDIENCE, extra={"iss": "https://iam.elsewhere.example/"})
    story.refused("alice", stranger, "from an unknown issuer", "issuer_unknown")
    story.refused("alice", "not-a-token", "no token at all", "token_opaque")
    answer = site.api("GET", "/v1/accounts", token)
    story.say(f"the ssh token at the admin door: {answer.status} {answer.json()['code']}")
    story.expect("an ssh token opens no admin door", answer.json()["code"] == "audience_refused")
    answer = site.api("GET", "/v1/accounts", site.token("alice", ADMIN_AUDIENCE))
    story.expect("alice, who is in demo/admins, is an administrator", answer.status == 200)
    answer = site.api("GET", "/v1/accounts", site.token("bob", ADMIN_AUDIENCE))
    story.expect("bob is not", answer.json()["code"] == "role_missing")


def hostile_names(story: Story) -> None:
    story.scene("People named root, slurm, ubuntu, ../x, 300 letters, and аlice with a Cyrillic а")
    found = story.host.run(["getent", "passwd"]).stdout
    generated = [line for line in found.splitlines() if re.match(r"u2\d{5}:", line)]
    story.say("the seventh such name is ivan's, of whom more below")
    story.expect("each has an account under a name made from its number", len(generated) == 7)
    mine = story.site.token("root", SSH_AUDIENCE)
    done = story.login("root", mine, "the token of the person named root")
    story.expect("the hostile name is answered by no door", done.returncode != 0)
    name = story.site.api("GET", "/v1/me", story.site.token("root", API_AUDIENCE)).json()
    username = name["account"]["username"]
    done = story.login(username, mine, f"the same person, as {username}")
    story.expect("that works", done.returncode == 0 and f"({username})" in done.stdout)


def local_account(story: Story) -> None:
    story.scene("A local account with a federated person's name")
    host = story.host
    local, federated = host.run(["id", "ivan"]), host.run(["getent", "passwd"]).stdout
    story.run("id", "ivan", done=local)
    story.expect(
        "ivan was local when the node was enrolled: the federated ivan has a generated name",
        "uid=1501(ivan)" in local.stdout
        and not re.search(r"^ivan:.*:200\d{3}:", federated, re.MULTILINE),
    )
    line = "bob:x:1500:1500::/home/bob:/bin/bash"
    host.run(["sh", "-c", 'printf "%s\\n" "$1" >>/etc/passwd', "sh", line]).check()
    story.say(f"somebody now writes {line!r} into /etc/passwd, which comes first")
    done = story.login("bob", story.site.token("bob", SSH_AUDIENCE), "the federated bob's token")
    story.expect("the local account never receives the login", done.returncode != 0)
    host.run(["sed", "-i", "/^bob:x:1500:/d", "/etc/passwd"]).check()
    story.say("the line is taken out again")
    host.wait_for(
        lambda: "200" in story.host.run(["id", "-u", "bob"]).stdout or None,
        15,
        "bob to be unmasked",
    )


def newcomer(story: Story) -> None:
    story.scene("A newcomer does not wait for tonight")
    site = story.site
    site.iam("POST", "changes", {"action": "join", "person": "heidi", "group": "demo/compute"})
    story.say("heidi joined demo/compute at the IAM just now")
    token = site.token("heidi", API_AUDIENCE, include_authn_info=True)
    answer = site.api("POST", "/v1/me/account", token, body={})
    story.say(f"POST /v1/me/account: {answer.status} {json.dumps(answer.json())[:160]}")
    story.expect("an account, published at once", answer.status == 202)
    story.host.wait_for(
        lambda: story.host.run(["getent", "passwd", "heidi"]).returncode == 0 or None, 10, "heidi"
    )
    done = story.login("heidi", site.token("heidi", SSH_AUDIENCE), "her first login")
    story.expect("heidi is in", done.returncode == 0 and "(heidi)" in done.stdout)


def leaving(story: Story) -> None:
    story.scene("Somebody leaves the group")
    site = story.site
    site.iam("POST", "changes", {"action": "leave", "person": "bob", "group": "demo/compute"})
    done = story.run("idmap", "provision", "run", done=site.provision("--no-progress"))
    until = (datetime.now(UTC) + timedelta(days=30)).date()
    story.expect("bob's account is in grace, with its date", str(until) in done.stdout)
    site.wait_for_revision()
    done = story.login("bob", site.token("bob", SSH_AUDIENCE), "bob, in grace")
    story.expect("until then it is usable", done.returncode == 0)
    later = str(until + timedelta(days=1))
    done = site.provision("--as-of", later, "--no-progress")
    story.run("idmap", "provision", "run", "--as-of", later, done=done)
    story.expect("the run after that date plans suspension", "suspend_account" in done.stdout)


def nothing_left(story: Story) -> None:
    story.scene("A second run")
    done = story.run(
        "idmap", "provision", "run", done=story.site.provision("--no-progress", "--json")
    )
    report = json.loads(done.stdout)
    story.expect("changes nothing", report["outcome"] == "nothing_to_do")


def explained(story: Story) -> None:
    story.scene("Why has carol no account?")
    subject = story.site.iam("GET", "people/carol").json()["id"]
    command = ("explain", "--issuer", ISSUER, "--subject", subject)
    done = story.run("idmap", *command, done=story.site.idmap(*command))
    story.expect("it is told, rule by rule", "no_rule_matches" in done.stdout + done.stderr)


def ban(story: Story) -> None:
    story.scene("A ban is for now, at every door")
    site, host = story.site, story.host
    keys = {name: site.laptop.make_key(f"{name}_key") for name in ("alice", "erin")}
    for name, key in keys.items():
        site.sshd.authorize(name, key.public)
        done = site.laptop.with_key(name, key)
        story.expect(f"{name} can log in with an ssh key", done.returncode == 0)
    body = {"account": "alice", "reason": "key found in a public repository"}
    answer = site.api("POST", "/v1/bans", site.admin_key(), body)
    began = time.monotonic()
    story.say(f"POST /v1/bans {json.dumps(body)}: {answer.status}")
    while host.run(["idmap-principals", "alice"]).returncode == 0:
        if time.monotonic() - began > 10:
            raise NotObserved("the ban reaches the node")
    seconds = time.monotonic() - began
    story.say(f"the node refuses after {seconds:.2f} s")
    story.expect("within a second", answer.status < 300 and seconds <= BAN_SECONDS)
    done = story.login("alice", site.token("alice", SSH_AUDIENCE), "alice's token, still valid")
    story.expect("refused: banned", done.returncode != 0 and "banned" in done.stderr)
    done = story.run(
        done=site.laptop.with_key("alice", keys["alice"]), shown="ssh -i alice_key alice@login1"
    )
    story.expect("her ssh key too", done.returncode != 0 and "banned" in done.stderr)
    for name in ("agent", "verify"):
        site.services[name].stop()
    story.say("idmap-agent and idmap-verify are stopped")
    done = site.laptop.with_key("alice", keys["alice"])
    story.expect("the ban stands without them", done.returncode != 0 and "banned" in done.stderr)
    done = site.laptop.with_key("erin", keys["erin"])
    story.expect("and erin's key still opens", done.returncode == 0)
    done = story.login("erin", site.token("erin", SSH_AUDIENCE), "a token, with no verifier")
    story.expect("a token needs the verifier", "agent_unavailable" in done.stderr)
    start_node_daemons(site)


def alone(story: Story) -> None:
    story.scene("The provider and the service are down")
    site = story.site
    token = site.token("erin", SSH_AUDIENCE)
    for name in ("serve", "iam"):
        site.services[name].stop()
    story.say("the IAM, idmap serve, work and sign are stopped")
    done = story.login("erin", token, "a token issued before, still valid")
    story.expect("the node stands alone", done.returncode == 0 and "(erin)" in done.stdout)
    done = story.host.run(["getent", "passwd", "erin"])
    story.expect("names resolve", done.returncode == 0)
    serve(site)


def tampered(token: str) -> str:
    """The token with another subject and the old signature."""
    head, payload, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    claims["sub"] = "00000000-0000-4000-8000-000000000000"
    changed = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"{head}.{changed}.{signature}"


SCENES: Final[tuple[Callable[[Story], None], ...]] = (
    members_in_the_iam,
    dry_run,
    apply,
    log_in,
    refusals,
    hostile_names,
    local_account,
    newcomer,
    leaving,
    nothing_left,
    explained,
    ban,
    alone,
)


def main() -> int:
    """Starts the site, tells the story, leaves nothing behind. The exit status says whether all was observed."""
    began = time.monotonic()
    print("A private host with its own /etc, processes and network; the machine stays as it is.")
    with PrivateHost(hostname="login1") as host:
        try:
            site = start_site(host)
            print(f"IAM, idmap and one login node are running ({time.monotonic() - began:.0f} s).")
            observed = tell(site)
        except (NotObserved, PrivateHostError) as problem:
            print(f"\n✗ not observed: {problem}", file=sys.stderr)
            for name in ("serve", "agent", "verify"):
                log = host.run(["tail", "-n", "15", f"/var/log/{name}.log"]).stdout
                print(f"\n--- {name}.log\n{log}", file=sys.stderr)
            return 1
    print(f"\n{observed} things were claimed and observed in {time.monotonic() - began:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
