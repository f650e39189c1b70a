"""idmap: federated identities to stable HPC accounts, and one answer at every door."""

__version__ = "0.1.0"
