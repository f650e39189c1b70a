"""Builders that tests share. Nothing here stands in for a real part in an end-to-end test."""
