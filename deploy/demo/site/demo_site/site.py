"""The demo site: an IAM, the idmap service and one login node, all in one private host.

What a site's operator would do by hand, in the order of docs/install.md, with the product's own commands: every step is
`site.idmap(...)` or a file that an operator would write. Used by `make demo`, `make up` and the end-to-end tests.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from demo_site.installation import PREFIX, install_idmap
from demo_site.loopback_http import Answer, request
from demo_site.private_host import Completed, PrivateHost, Service
from demo_site.ssh_client import SshClient
from demo_site.sshd import SshServer, start_sshd

IAM_PORT = 8081
IAM_URL = f"http://127.0.0.1:{IAM_PORT}"
ISSUER = f"{IAM_URL}/"
SERVICE_PORT = 8443
SERVICE_URL = f"http://127.0.0.1:{SERVICE_PORT}"
SSH_PORT = 2222
IAM_USER_NUMBER = 892

API_AUDIENCE = "https://idmap.demo/api"
ADMIN_AUDIENCE = "https://idmap.demo/admin"
SSH_AUDIENCE = "ssh://login.demo"
LOCAL_ACCOUNT = "ivan"
"""The node's own account with a federated person's name, there before the node is enrolled."""
LOCAL_NUMBER = 1501
PEOPLE = (200_000, 299_999)
GROUPS = (300_000, 399_999)

ADMIN_KEY = "/var/lib/idmap-server/admin.key"
SERVICE_FILE = "/etc/idmap/idmap.toml"
AGENT_FILE = "/etc/idmap/agent.toml"
RULES_FILE = "/etc/idmap/rules.toml"
IAM_DIRECTORY = "/var/lib/iam"
IAM_SECRET = "/etc/idmap/iam.secret"  # noqa: S105  (the path of a file)

SERVICE_SETTINGS = f"""\
realm = "demo"

[serve]
port = {SERVICE_PORT}

[sources.iam]
kind = "indigo-iam"
issuer = "{ISSUER}"
url = "{IAM_URL}"
client_id = "idmap-admin"
client_secret_file = "{IAM_SECRET}"
"""

RULES = f"""\
format = 1

[classes.personal]
range = "people"
primary_group = "demo"
shell = "/bin/bash"
home = "/home/{{username}}"
grace_days = 30

[[rules]]
id = "compute"
issuer = "{ISSUER}"
group = "demo/compute"
class = "personal"
secondary_groups = ["demo/compute", "demo/gpu"]

[[rules]]
id = "hostile"
issuer = "{ISSUER}"
group = "demo/hostile"
class = "personal"

[[admins]]
issuer = "{ISSUER}"
group = "demo/admins"
"""


def agent_settings(trust: str) -> str:
    """agent.toml with the pinned keys as `idmap init` printed them."""
    return f"""\
realm = "demo"
node_class = "login"

[service]
url = "{SERVICE_URL}"

{trust}
[files]
compiler = "{PREFIX}/bin/idmap-compile"
"""


class DemoSite:
    """A running site. Make it with `start_site`."""

    def __init__(self, host: PrivateHost) -> None:
        self.host = host
        self.services: dict[str, Service] = {}
        self.sshd: SshServer
        self.laptop: SshClient

    def idmap(self, *arguments: str, timeout: float = 60.0) -> Completed:
        """An `idmap` command as the site's administrator."""
        return self.host.run(["idmap", *arguments], env=self.administrator, timeout=timeout)

    @property
    def administrator(self) -> dict[str, str]:
        """Where the service is and the key that opens its admin door."""
        return {"IDMAP_URL": SERVICE_URL, "IDMAP_KEY_FILE": ADMIN_KEY, "NO_COLOR": "1"}

    def provision(self, *arguments: str, timeout: float = 120.0) -> Completed:
        """`idmap provision run` as the service's own user."""
        command = ["idmap", "provision", "run", *arguments]
        return self.host.run(command, user="idmap", env={"NO_COLOR": "1"}, timeout=timeout)

    def token(self, person: str, audience: str | None, **options: Any) -> str:
        """An access token of the IAM for a person; `options` as in the simulator's TokenSpec."""
        body = {"person": person, **({"audience": audience} if audience else {}), **options}
        answer = self.iam("POST", "token", body)
        return str(answer.json()["access_token"])

    def iam(self, method: str, name: str, body: object = None) -> Answer:
        """The IAM's control door: what its users and managers would do."""
        answer = request(self.host, method, f"{IAM_URL}/simulator/{name}", body=body)
        if answer.status >= 300:
            raise RuntimeError(f"the IAM answered {answer.status}: {answer.text}")
        return answer

    def api(self, method: str, path: str, token: str | None = None, body: object = None) -> Answer:
        """A request to the service's REST door."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return request(self.host, method, f"{SERVICE_URL}{path}", headers=headers, body=body)

    def admin_key(self) -> str:
        """The bootstrap key."""
        return self.host.read(ADMIN_KEY).strip()

    def wait_for_revision(self, timeout: float = 20.0) -> int:
        """Waits until the node has installed what the registry has now; gives the revision."""

        def installed() -> int | None:
            wanted = self.api("GET", "/readyz").json().get("revision")
            status = self.host.run(["idmap-agent", "status", "--json"])
            found = json.loads(status.stdout).get("revision") if status.stdout else None
            return wanted if wanted == found and found else None

        return self.host.wait_for(installed, timeout, "the node installs the newest revision")

    def start_service(self, name: str, argv: Sequence[str], user: str | None = None) -> Service:
        """Starts a daemon and remembers it by name."""
        self.services[name] = self.host.start(name, argv, user=user)
        return self.services[name]


def start_site(host: PrivateHost, *, population: str = "small") -> DemoSite:
    """Installs and starts everything; returns when the node has its first snapshot."""
    site = DemoSite(host)
    install_idmap(host, arguments=f"window={PEOPLE[0]}-{PEOPLE[1]}")
    start_iam(site, population)
    start_service(site)
    write_policy(site)
    host.add_user(LOCAL_ACCOUNT, LOCAL_NUMBER)
    start_node(site)
    site.sshd = start_sshd(host, port=SSH_PORT)
    site.laptop = SshClient(site.sshd)
    return site


def start_iam(site: DemoSite, population: str) -> None:
    """The simulated INDIGO IAM, as its own user; its client's secret becomes the source's."""
    host = site.host
    host.add_user("iam", IAM_USER_NUMBER, system=True)
    host.run(["install", "-d", "-m", "700", "-o", "iam", "-g", "iam", IAM_DIRECTORY]).check()
    clients = f"{IAM_DIRECTORY}/clients.json"
    argv = [host.python, "-m", "iam_simulator", "--port", str(IAM_PORT), "--issuer", ISSUER]
    argv += ["--clients-file", clients, "--key-file", f"{IAM_DIRECTORY}/keys.json", "--control"]
    service = site.start_service("iam", [*argv, "--population", population], user="iam")
    host.wait_for(lambda: _answers(site, f"{IAM_URL}/simulator/health"), 30, "the IAM", service)
    made = json.loads(host.read(clients))["clients"]
    secret = next(c["client_secret"] for c in made if c["client_id"] == "idmap-admin")
    host.write(IAM_SECRET, f"{secret}\n", mode=0o600, owner="idmap:idmap")


def start_service(site: DemoSite) -> None:
    """`idmap init` and `idmap serve`, which starts `work` and `sign` as its children."""
    host = site.host
    host.write(SERVICE_FILE, SERVICE_SETTINGS)
    for directory in ("/var/lib/idmap-sign", "/run/idmap-sign"):
        host.run(["install", "-d", "-m", "700", "-o", "idmap", "-g", "idmap", directory]).check()
    made = host.run(["idmap", "init", "--key-file", ADMIN_KEY], user="idmap").check().stdout
    host.write(AGENT_FILE, agent_settings(made[made.index("[trust]") :]))
    serve(site)


def serve(site: DemoSite) -> None:
    """Starts the service and waits until it answers."""
    service = site.start_service("serve", ["idmap", "serve"], user="idmap")
    site.host.wait_for(lambda: _answers(site, f"{SERVICE_URL}/healthz"), 30, "the service", service)


def write_policy(site: DemoSite) -> None:
    """Ranges, the issuer with an audience per door, and the rules."""
    why = ("--reason", "setting up the demo site")
    for name, purpose, (first, last) in (
        ("people", "people", PEOPLE),
        ("groups", "groups", GROUPS),
    ):
        ends = ["--first", str(first), "--last", str(last)]
        site.idmap("ranges", "add", name, "--purpose", purpose, *ends, *why).check()
    doors = {"api": API_AUDIENCE, "admin": ADMIN_AUDIENCE, "ssh:login": SSH_AUDIENCE}
    audiences = [f"--audience={door}={audience}" for door, audience in doors.items()]
    site.idmap("issuers", "add", ISSUER, "--record-groups", *audiences, *why).check()
    site.host.write(RULES_FILE, RULES)
    site.idmap("rules", "apply", RULES_FILE, *why).check()


def start_node(site: DemoSite) -> None:
    """Enrols the node, starts agent and verifier, waits for the first snapshot."""
    host = site.host
    enrol = ["nodes", "enrol", "login1", "--class", "login", "--out", "/etc/idmap/node.key"]
    site.idmap(*enrol, "--reason", "first login node").check()
    start_node_daemons(site)
    host.wait_for(
        lambda: host.exists("/var/lib/idmap/posix.db") or None,
        30,
        "the first snapshot",
        site.services["agent"],
    )
    site.wait_for_revision()


def start_node_daemons(site: DemoSite) -> None:
    """The agent as root, the verifier as its own user."""
    site.start_service("agent", ["idmap-agent", "run"])
    verifier = site.start_service("verify", ["idmap-verify"], user="idmap-verify")
    site.host.wait_for(
        lambda: site.host.exists("/run/idmap/verify.sock") or None, 20, "the verifier", verifier
    )


def _answers(site: DemoSite, url: str) -> bool | None:
    try:
        return request(site.host, "GET", url, timeout=2).status == 200 or None
    except Exception:
        return None
