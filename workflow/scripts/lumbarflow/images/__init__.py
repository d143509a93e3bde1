"""Slices and class masks as pictures."""
