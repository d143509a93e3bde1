"""Splits, networks and their training."""
