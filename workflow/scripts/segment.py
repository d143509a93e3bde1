"""Rule segment: the end of a run over new scans; fails if one of them failed."""

from lumbarflow.job import PROGRESS, run


def main(snakemake):
    import logging
    import shutil
    from pathlib import Path

    from lumbarflow import DataError, files

    rows = files.read_csv(snakemake.input[0])
    failed, flagged = ([row for row in rows if row[key]] for key in ("failed", "flags"))
    log = logging.getLogger(PROGRESS)
    log.info("%d scans, %d of them need a look: %s", len(rows), len(flagged), snakemake.input[0])
    if failed:
        for folder in snakemake.params.folders:
            if Path(folder).name in {row["scan"] for row in failed}:
                shutil.rmtree(folder)  # so that the next run tries it again; its reason stands in the summary
        reasons = "; ".join(f"{row['scan']}: {row['failed']}" for row in failed[:5])
        raise DataError(f"{len(failed)} of {len(rows)} scans could not be segmented; the others are done. {reasons}")


run(main, globals().get("snakemake"))
