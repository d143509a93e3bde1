"""Metrics of predictions, their intervals, and leakage."""
