"""Rule segment: the end of a run over new scans; fails if one of them failed."""

from lumbarflow.job import PROGRESS, run


def main(snakemake):
    import logging
    import shutil
    from pathlib import Path

    from lumbarflow import DataError, files

    rows = files.read_csv(snakemake.input.table)
    failed, flagged = ([row for row in rows if row[key]] for key in ("failed", "flags"))
    log = logging.getLogger(PROGRESS)
    told = (files.counted(len(rows), "scan"), len(failed), len(flagged), snakemake.input.gallery)
    log.info("%s, %d failed, %d to be looked at: %s", *told)
    if failed:
        for folder in snakemake.params.folders:
            if Path(folder).name in {row["scan"] for row in failed}:
                shutil.rmtree(folder)  # so that the next run tries it again; its reason stands in the summary
        reasons = "; ".join(f"{row['scan']}: {row['failed']}" for row in failed[:5])
        raise DataError(f"{len(failed)} of {len(rows)} scans could not be segmented. {reasons}")


run(main, globals().get("snakemake"))
