"""INDIGO IAM as a source of people.

`translate` is pure: JSON shapes to our own records. `transport` bounds what an answer may weigh and how long
it may take; `talker` speaks HTTP with a client-credentials token; `strategies` knows IAM's two ways of
listing a group; `source` proves a listing complete or raises (law 6).
"""
