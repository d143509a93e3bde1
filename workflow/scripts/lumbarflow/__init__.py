"""Pure functions behind the workflow: volumes in, segmentation tables out. Knows no Snakemake."""

CLASSES = ("background", "vertebrae", "spinal_canal", "ivd")


class DataError(ValueError):
    """Something about the user's data or settings is wrong; the message says what and what to do."""
