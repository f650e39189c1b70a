"""Use cases, one verb per file, and the ports (Protocols) they need.

Knows the domain and nothing else. Adapters implement the ports; entry points put them together.
"""
