"""Fakes of the ports, for tests of the use cases; each passes its port's contract suite."""
