"""The agent over TLS with the site's own CA: a real handshake, and every certificate that must not do."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from idmap.domain.errors import InvalidInput, NodeInstallFailed
from idmap.domain.reasons import Reason
from idmap.entrypoints.agent.assemble import Agent
from tests.support.snapshot_site import SnapshotSite, installed_users

DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Authority:
    """A CA of a test."""

    name: str
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def make(cls, name: str) -> Authority:
        """A new one, signed by itself."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _named(name)
        builder = _builder(subject, subject, key.public_key(), -DAY, DAY)
        builder = builder.add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        usage = x509.KeyUsage(
            digital_signature=False,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        builder = builder.add_extension(usage, critical=True)
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        builder = builder.add_extension(identifier, critical=False)
        return cls(name, key, builder.sign(key, hashes.SHA256()))

    def ca_file(self, directory: Path) -> Path:
        """What `service.ca_file` names."""
        path = directory / f"{self.name}.pem"
        path.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))
        return path

    def server_files(
        self, directory: Path, address: str = "127.0.0.1", until: datetime.timedelta = DAY
    ) -> Path:
        """Certificate and key of a server at that address, in one file."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(
            _named("server"), self.certificate.subject, key.public_key(), -2 * DAY, until
        )
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        builder = builder.add_extension(names, critical=False)
        own = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        certificate = builder.add_extension(own, critical=False).sign(self.key, hashes.SHA256())
        path = directory / "server.pem"
        path.write_bytes(
            certificate.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return path


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"idmap test {name}")])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    begins: datetime.timedelta,
    ends: datetime.timedelta,
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(tz=datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
    )


@pytest.fixture
def authority() -> Authority:
    """The site's own CA."""
    return Authority.make("site-ca")


def served(site: SnapshotSite, server_files: Path) -> str:
    """Turns the site's server to TLS; gives its URL."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server_files)
    server = site.server._server
    server.socket = context.wrap_socket(server.socket, server_side=True)
    return site.server.url.replace("http://", "https://")


def agent_for(site: SnapshotSite, url: str, ca_file: Path | None) -> Agent:
    """An agent with this URL and CA in its agent.toml."""
    service = {"url": url, "credential_file": str(site.credential_file)}
    if ca_file is not None:
        service["ca_file"] = str(ca_file)
    return site.agent(service=service)


def test_an_agent_fetches_everything_over_tls_with_the_sites_own_ca(
    site: SnapshotSite, authority: Authority, tmp_path: Path
) -> None:
    """Ban list, manifest, public and restricted chunks."""
    url = served(site, authority.server_files(tmp_path))
    agent = agent_for(site, url, authority.ca_file(tmp_path))
    agent.bans.fetch()
    assert agent.installer.sync()
    assert set(installed_users(site.node)) == {"alice", "bob"}
    assert any(path.startswith("/v1/snapshot/trust/") for path in site.server.asked)


def refused(site: SnapshotSite, agent: Agent) -> None:
    """Nothing comes, nothing is installed, and nothing (so no credential) was sent."""
    for action in (agent.bans.fetch, agent.installer.sync):
        with pytest.raises(NodeInstallFailed) as caught:
            action()
        assert caught.value.reason is Reason.DOWNLOAD_FAILED
    assert site.server.asked == []
    assert not (site.node / "posix.db").exists()
    assert not (site.node / "bans.db").exists()


def test_another_ca_is_refused_whatever_its_name(
    site: SnapshotSite, authority: Authority, tmp_path: Path
) -> None:
    """Same common name, another key."""
    url = served(site, authority.server_files(tmp_path))
    other = Authority.make("site-ca")
    refused(site, agent_for(site, url, other.ca_file(tmp_path)))


def test_without_a_ca_file_the_machines_own_authorities_count(
    site: SnapshotSite, authority: Authority, tmp_path: Path
) -> None:
    """A private CA is none of them."""
    refused(site, agent_for(site, served(site, authority.server_files(tmp_path)), None))


@pytest.mark.parametrize(
    "wrong",
    [{"address": "127.0.0.2"}, {"until": -datetime.timedelta(hours=1)}],
    ids=["host", "expired"],
)
def test_a_certificate_for_another_host_or_from_yesterday_is_refused(
    site: SnapshotSite, authority: Authority, tmp_path: Path, wrong: dict[str, object]
) -> None:
    """By the right CA, all the same."""
    files = authority.server_files(tmp_path, **wrong)  # type: ignore[arg-type]
    refused(site, agent_for(site, served(site, files), authority.ca_file(tmp_path)))


def test_plain_http_at_a_tls_port_and_a_missing_ca_file_are_said(
    site: SnapshotSite, authority: Authority, tmp_path: Path
) -> None:
    """One fails to fetch, the other stops the start."""
    url = served(site, authority.server_files(tmp_path))
    refused(site, agent_for(site, url.replace("https://", "http://"), None))
    with pytest.raises(InvalidInput):
        agent_for(site, url, tmp_path / "absent.pem")
