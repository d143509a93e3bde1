"""Rule provenance: where the results are from."""

from lumbarflow.job import run, software, versions


def main(snakemake):
    from lumbarflow import files
    from lumbarflow.report import provenance

    given = snakemake.input
    results = {kind: given[kind] for kind in ("splits", "models", "tables")}
    found = provenance.collect(software(), versions(), snakemake.config, given.manifests, results)
    files.write_json(snakemake.output.data, found)
    with files.replacing(snakemake.output.page) as path:
        path.write_text(provenance.page(found), encoding="utf-8")


run(main, globals().get("snakemake"))
