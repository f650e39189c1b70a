"""OpenID Connect on the verifying side: discovery, public keys, signatures."""
