"""The demo site: one private login node on this machine, for `make demo`, `make up` and the tests.

Standard library only. `private_host` is the node, `installation` puts idmap's files in it,
`sshd` and `ssh_client` are its door and somebody at a laptop, `machine_state` proves that the
machine itself did not change.
"""

from demo_site.private_host import Completed, PrivateHost, PrivateHostError, Service, wait_for

__all__ = ["Completed", "PrivateHost", "PrivateHostError", "Service", "wait_for"]
