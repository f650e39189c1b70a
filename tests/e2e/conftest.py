"""Fixtures for tests that run real sshd, PAM and NSS in a private host.

`private_host` and what stands on it are shared by all tests of a session, because each login
costs a fifth of a second and a host nearly as much; a test that changes the host for others makes
its own.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from demo_site import PrivateHost
from demo_site.ssh_client import SshClient
from demo_site.sshd import SshServer, start_sshd
from tests.e2e.npm_provider import RunningProvider, node_directory, running_oidc_provider
from tests.e2e.people import LOCAL_PASSWORD, LOCAL_USER


@pytest.fixture(scope="session")
def private_host() -> Iterator[PrivateHost]:
    """A host with one local person, `lena`."""
    with PrivateHost(expose=[node_directory()]) as host:
        host.add_user(LOCAL_USER, 1500, password=LOCAL_PASSWORD)
        yield host


@pytest.fixture(scope="session")
def ssh_server(private_host: PrivateHost) -> SshServer:
    """The sshd of the shared host, with the distribution's own PAM stacks."""
    return start_sshd(private_host)


@pytest.fixture(scope="session")
def ssh_client(ssh_server: SshServer) -> SshClient:
    """Somebody at a laptop who knows the server's key."""
    return SshClient(ssh_server)


@pytest.fixture(scope="session")
def oidc_provider(private_host: PrivateHost) -> Iterator[RunningProvider]:
    """The third-party issuer on the shared host's loopback."""
    with running_oidc_provider(private_host) as provider:
        yield provider
