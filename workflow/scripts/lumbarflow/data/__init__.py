"""Volumes, their headers and labels: what a dataset holds."""
