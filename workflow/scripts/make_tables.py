"""Rule make_tables: every table of the paper, and the summary."""

from lumbarflow.job import run


def main(snakemake):
    from pathlib import Path

    import pandas as pd

    from lumbarflow.report import publish, published, results, table3, tables
    from lumbarflow.report.notes import NOTES

    manifests = results.manifests(snakemake.input.manifests, snakemake.params.experiments)
    found = results.read(snakemake.input.images, snakemake.params.evaluation)
    printed = published.read("table2")
    table2, copied = tables.table2(found.runs, printed), tables.table2(found.copies, printed)
    shown = copied[copied["experiment"] != "paper"]
    table2_all = pd.concat([table2, shown.assign(experiment=shown["experiment"] + ": mask copied")])
    others = (published.read(name) for name in ("table3", "systems"))
    instances = found.instances | results.ceiling(snakemake.input.ceiling)
    made = {
        "summary": tables.summary(found.runs, table2, found.about),
        "table1": tables.table1(manifests, published.read("table1")),
        "table2": tables.order(table2_all),
        "leakage": tables.leakage(found.shares, table2, copied),
        "table3": table3.table3(table2, found.in_3d, instances, *others),
    }
    for name, frame in made.items():
        publish.write(frame, Path(snakemake.output[0]).with_name(name), *NOTES[name])


run(main, globals().get("snakemake"))
