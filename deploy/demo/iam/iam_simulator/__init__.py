"""A small, honest stand-in for an INDIGO IAM 1.12 instance.

It answers the OpenID Connect, SCIM and `/iam/…` requests a provisioner makes, with IAM's real shapes, page caps,
missing orders and error pages, so that code tested against it meets what it will meet at a site.

It does not log people in, keep a database, write over SCIM, or run IAM's account lifecycle. Nothing in it is copied
from IAM; every oddity it plays is listed in the README with the place where it was read.
"""
