"""Side-by-side measurements against the peers and against the limits: `make bench`.

Every comparison is interleaved in one run and reported as a ratio with its interval, because the
absolute figures belong to the machine of the day. Not part of what is installed.
"""
