"""The library behind the workflow: volumes in, segmentation tables out. It does not use Snakemake."""

CLASSES = ("background", "vertebrae", "spinal_canal", "ivd")
FOREGROUND = CLASSES[1:]


class DataError(ValueError):
    """The user's data or settings are wrong; the message says what is wrong and what to do."""
