"""The command line: `idmap …`. Administration speaks to the running service; provisioning and databases are local."""
