"""`idmap-verify`: on every login node, own user; tells PAM whose token it is."""
