"""Rule check_model: whether a package is sound, and segments its test case as it did when it was made."""

from lumbarflow.job import PROGRESS, run


def main(snakemake):
    from lumbarflow.learning import device

    device.choose("cpu", snakemake.threads)
    import logging

    from lumbarflow import DataError
    from lumbarflow.learning import models

    for path in snakemake.input:
        found = models.check(path, snakemake.params.modules)
        logging.getLogger(PROGRESS).info("%s: %s", path, models.verdict(found))
        if not found["passed"]:
            raise DataError(f"{path}: {models.verdict(found)}; do not use it on this machine")


run(main, globals().get("snakemake"))
