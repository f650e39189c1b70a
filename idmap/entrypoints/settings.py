"""Settings: two typed files, unknown keys refused, secrets only from 0600 files.

`/etc/idmap/idmap.toml` is the service's, `/etc/idmap/agent.toml` a node's. An environment variable
`IDMAP_<SECTION>__<KEY>` overrides one value. Policy (issuers, rules, ranges) is not here: it lives in the
registry, changes over REST and is on the record. Adapters get values, never these objects.
"""

from __future__ import annotations

import ipaddress
import os
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from idmap.domain.errors import IdmapError, InvalidInput
from idmap.domain.issuers import is_loopback_url
from idmap.domain.member_lists import MemberLists, MemberPolicy
from idmap.domain.names import is_local_group
from idmap.domain.reasons import Reason
from idmap.domain.secrets import Secret

SERVICE_FILE: Final = Path("/etc/idmap/idmap.toml")
AGENT_FILE: Final = Path("/etc/idmap/agent.toml")
_PREFIX: Final = "IDMAP_"


def _check_url(value: str) -> str:
    if not value.startswith("https://") and not is_loopback_url(value):
        raise ValueError("https is needed; plain http is for loopback only")
    return value.rstrip("/")


def _check_ldap_url(value: str) -> str:
    if not value.startswith(("ldap://", "ldaps://", "ldapi://")):
        raise ValueError("an ldap, ldaps or ldapi URL is needed")
    return value


def _check_local_groups(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if not is_local_group(name):
            raise ValueError(f"{name[:64]!r} is a group of the system's; nobody is given it")
    return names


def is_loopback_host(host: str) -> bool:
    """Whether listening there is listening to this very host alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


SafeUrl = Annotated[str, AfterValidator(_check_url)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RegistrySettings(_Section):
    """Where the registry lives."""

    url: str = "sqlite:////var/lib/idmap-server/registry.db"
    """SQLite's file, or `postgresql+psycopg://ROLE@HOST/DATABASE?sslmode=verify-full`; no password in it."""
    marks_directory: Path = Path("/var/lib/idmap-server")
    """On PostgreSQL, where this host keeps how far numbers have come; on SQLite that lies beside the database."""


class ServeSettings(_Section):
    """The HTTP door."""

    listen: str = "127.0.0.1"
    port: int = Field(default=8443, ge=1, le=65535)
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    behind_proxy: bool = False
    """A reverse proxy terminates TLS and is the only one who can reach this port."""
    start_children: bool = True
    """Start `work` and `sign` as child processes; the systemd units set this to false."""
    keep_answers_hours: int = Field(default=24, ge=1, le=168)
    """How long the answer to a request with an `Idempotency-Key` is kept and repeated."""

    @model_validator(mode="after")
    def _tls_or_loopback(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key come together")
        if self.tls_key is None and not self.behind_proxy and not is_loopback_host(self.listen):
            raise ValueError("listening beyond loopback needs TLS or behind_proxy = true")
        return self


class SignSettings(_Section):
    """The signer."""

    socket: Path = Path("/run/idmap-sign/sign.sock")
    keys_directory: Path = Path("/var/lib/idmap-sign")
    allowed_users: tuple[str, ...] = ()
    """Users who may ask besides root and the signer's own; under systemd `["idmap-work"]`."""
    max_shrink_percent: int = Field(default=30, ge=0, le=100)
    """A manifest that drops more of the accounts than this is not signed without approval."""


class SnapshotSettings(_Section):
    """What is published, and where."""

    directory: Path = Path("/var/lib/idmap-server/snapshot")
    lifetime_seconds: int = Field(default=72 * 3600, ge=60, le=31 * 86400)


class ScheduleSettings(_Section):
    """The built-in nightly run."""

    enabled: bool = True
    cron: str = "17 2 * * *"
    time_zone: str = "UTC"


class IssuerKeySettings(_Section):
    """The cache of issuers' public keys, shared by `serve` and `work`."""

    directory: Path = Path("/var/lib/idmap-server/issuers")


class GuardSettings(_Section):
    """What one provisioning run may take away."""

    max_percent: int = Field(default=20, ge=0, le=100)
    floor: int = Field(default=3, ge=0)
    canaries: tuple[str, ...] = ()


class IndigoIamSettings(_Section):
    """One INDIGO IAM to read people from."""

    kind: Literal["indigo-iam"]
    issuer: str
    url: SafeUrl
    client_id: str
    client_secret_file: Path
    strategy: Literal["accounts", "scim"] = "accounts"
    """`accounts` reads `/iam/account/find/bygroup` (scope iam:admin.read); `scim` the SCIM API (scim:read)."""
    passes: int = Field(default=2, ge=1, le=3)
    """How often a group is read; all readings must agree before the listing counts as complete."""
    timeout_seconds: float = Field(default=20, gt=0, le=300)


class IntrospectionSettings(_Section):
    """The client by which `serve` asks one issuer about opaque tokens; profiles call it by its name."""

    client_secret_file: Path


class SiteDirectorySettings(_Section):
    """A directory whose numbers no range may issue again; asked when a range is added or checked."""

    url: Annotated[str, AfterValidator(_check_ldap_url)]
    """`ldaps://`, `ldapi://`, or `ldap://`: beyond loopback that starts TLS before anything else."""
    base: str = Field(min_length=1)
    bind_dn: str | None = None
    """Who asks; without it, nobody in particular."""
    bind_password_file: Path | None = None
    ca_file: Path | None = None
    timeout_seconds: int = Field(default=20, ge=1, le=300)

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.bind_dn is None) != (self.bind_password_file is None):
            raise ValueError("bind_dn and bind_password_file come together")
        return self


class SiteSettings(_Section):
    """What else on the site has numbers: new ranges are compared with it."""

    nss: bool = True
    """This host's own users and groups, and whatever its nsswitch.conf names."""
    ldap: SiteDirectorySettings | None = None


class ServiceSettings(_Section):
    """`/etc/idmap/idmap.toml`."""

    realm: str = Field(min_length=1, max_length=63)
    registry: RegistrySettings = RegistrySettings()
    serve: ServeSettings = ServeSettings()
    sign: SignSettings = SignSettings()
    snapshot: SnapshotSettings = SnapshotSettings()
    issuer_keys: IssuerKeySettings = IssuerKeySettings()
    schedule: ScheduleSettings = ScheduleSettings()
    guard: GuardSettings = GuardSettings()
    site: SiteSettings = SiteSettings()
    sources: dict[str, IndigoIamSettings] = {}
    """Name → source."""
    introspection: dict[str, IntrospectionSettings] = {}
    """Name, as in the issuer's profile → secret."""


class ServiceAddress(_Section):
    """How a node reaches the service."""

    url: SafeUrl
    credential_file: Path = Path("/etc/idmap/node.key")
    ca_file: Path | None = None


class TrustSettings(_Section):
    """The pinned keys; the seam at which TUF's root takes over."""

    manifest_keys: tuple[str, ...] = Field(min_length=1)
    bans_keys: tuple[str, ...] = Field(min_length=1)


class NodeFileSettings(_Section):
    """Where node files lie, and who may read trust.db."""

    directory: Path = Path("/var/lib/idmap")
    trust_group: str = "idmap-verify"
    compiler: Path = Path("/usr/lib/idmap/idmap-compile")
    passwd: Path = Path("/etc/passwd")
    group: Path = Path("/etc/group")


class VerifySettings(_Section):
    """`idmap-verify`."""

    socket: Path = Path("/run/idmap/verify.sock")
    credential_file: Path = Path("/etc/idmap/verify.key")
    """The verifier's own, for keys that trust.db does not have and for opaque tokens; without it nobody is asked."""


class MemberSettings(_Section):
    """Member lists of groups on this node; who is in a group, accounts' own lists tell in any case."""

    policy: Literal["full", "empty"] = "full"
    """`empty` withholds the member lists of groups with more members than `above`."""
    above: int | None = None
    """Needed with `empty`, and only there; 0 withholds every list."""

    @model_validator(mode="after")
    def _fit(self) -> Self:
        try:
            self.member_lists()
        except InvalidInput as error:
            raise ValueError(error.detail) from None
        return self

    def member_lists(self) -> MemberLists:
        """The two as one value."""
        return MemberLists(MemberPolicy(self.policy), self.above)


class AgentSettings(_Section):
    """`/etc/idmap/agent.toml`."""

    realm: str = Field(min_length=1, max_length=63)
    node_class: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,30}$")
    service: ServiceAddress
    trust: TrustSettings
    files: NodeFileSettings = NodeFileSettings()
    verify: VerifySettings = VerifySettings()
    members: MemberSettings = MemberSettings()
    local_groups: Annotated[tuple[str, ...], AfterValidator(_check_local_groups)] = ()
    """Groups of this node's own that rules may give to accounts here, at ssh logins; no others, whatever rules say."""
    poll_seconds: int = Field(default=60, ge=1, le=3600)
    """How often the manifest is asked for when no event says so."""


_Settings = TypeVar("_Settings", bound=BaseModel)


def load_service_settings(
    path: Path | None = None, environment: Mapping[str, str] | None = None
) -> ServiceSettings:
    """The service's settings. Raises InvalidInput(CONFIGURATION_INVALID) naming file and setting."""
    return _load(ServiceSettings, path or SERVICE_FILE, environment)


def load_agent_settings(
    path: Path | None = None, environment: Mapping[str, str] | None = None
) -> AgentSettings:
    """A node's settings. Raises InvalidInput(CONFIGURATION_INVALID) naming file and setting."""
    return _load(AgentSettings, path or AGENT_FILE, environment)


def read_secret_file(path: Path) -> Secret:
    """The one line of a file that only its owner may read.

    Raises InvalidInput(CONFIGURATION_INVALID) when it is missing, empty, not a regular file, or open to others.
    """
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_mode & 0o077:
                raise _invalid(path, "a secret file must be a regular file with mode 0600 or 0400")
            value = file.read(4096).decode("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise _invalid(path, f"cannot be read: {type(error).__name__}") from None
    if not value:
        raise _invalid(path, "is empty")
    return Secret(value)


def _load(kind: type[_Settings], path: Path, environment: Mapping[str, str] | None) -> _Settings:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise _invalid(path, f"cannot be read: {type(error).__name__}") from None
    except tomllib.TOMLDecodeError as error:
        raise _invalid(path, str(error)) from None
    _override(document, environment if environment is not None else os.environ)
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        setting = ".".join(str(part) for part in first["loc"]) or "document"
        raise _invalid(path, f"{setting}: {first['msg']}") from None


def _override(document: dict[str, Any], environment: Mapping[str, str]) -> None:
    """`IDMAP_SERVE__PORT=8444` sets `serve.port`; values are TOML where they parse as such."""
    for name, text in environment.items():
        if not name.startswith(_PREFIX) or "__" not in name:
            continue
        *sections, key = name.removeprefix(_PREFIX).lower().split("__")
        table = document
        for section in sections:
            table = table.setdefault(section, {})
        table[key] = _toml_value(text)


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _invalid(path: Path, detail: str) -> IdmapError:
    return InvalidInput(Reason.CONFIGURATION_INVALID, f"{path}: {detail}")
