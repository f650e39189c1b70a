"""The corpus of hostile tokens: one data module per family, run by `test_corpus` and by `tools/mutate.py`."""
