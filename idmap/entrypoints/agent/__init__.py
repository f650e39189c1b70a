"""`idmap-agent`: root on every node; sees only signed data; installs files."""
