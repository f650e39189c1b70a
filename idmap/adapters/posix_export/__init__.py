"""A snapshot's content in the forms that other programs read: passwd(5), group(5), libnss-cache, systemd's userdb."""
