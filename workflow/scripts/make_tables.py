"""Rule make_tables: every table of the paper, and the summary."""

from lumbarflow.job import run, software


def main(snakemake):
    from pathlib import Path

    from lumbarflow.report import notes, provenance, published, results, table3, tables

    made_by = provenance.line(software(), snakemake.config)
    manifests = results.manifests(snakemake.input.manifests, snakemake.params.experiments)
    found = results.read(snakemake.input.images, snakemake.params.evaluation, snakemake.params.trains)
    printed = published.read("table2")
    table2 = tables.table2(found.runs, printed)
    on_network = (results.on_network(each) for each in (found.runs, found.copies))
    others = (published.read(name) for name in ("table3", "systems"))
    instances = found.instances | results.ceiling(snakemake.input.ceiling)
    made = {
        "summary": tables.summary(found.runs, table2, found.about),
        "table1": tables.table1(manifests, published.read("table1")),
        "table2": table2,
        "leakage": tables.leakage(found.shares, *on_network, printed),
        "table3": table3.table3(table2, found.in_3d, instances, *others),
    }
    for name, frame in made.items():
        notes.write(name, frame, Path(snakemake.output[0]).parent, made_by)


run(main, globals().get("snakemake"))
