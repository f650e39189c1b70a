"""The pure centre: nouns, rules and decisions.

Standard library only. No clock, no randomness, no logging, no I/O: time and chance arrive as
arguments. Everything else in the product is arranged around these modules and may change;
these say what idmap *means*.
"""
