"""Rule draw_network: the network of an experiment as it was built (paper, Figure 7)."""

from lumbarflow.job import run


def main(snakemake):
    from pathlib import Path

    from lumbarflow import files
    from lumbarflow.report import charts, figures

    about = files.read_json(snakemake.input.about)
    name = about["settings"]["network"]["name"]
    title = f"{snakemake.wildcards.experiment}: network {name}, {about['parameters']:,} parameters"
    figures.save(charts.network(about["layers"], about["links"], title), Path(snakemake.output[0]).with_suffix(""))


run(main, globals().get("snakemake"))
