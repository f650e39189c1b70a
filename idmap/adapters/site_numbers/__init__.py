"""What else on the site has numbers: the host's NSS (`nss`), a directory (`directory`)."""
