"""Rule draw_network: the network of an experiment as it was built (paper, Figure 7)."""

from lumbarflow.job import run


def main(snakemake):
    from lumbarflow.learning import device

    device.choose("cpu", snakemake.threads)
    from pathlib import Path

    from lumbarflow.learning import networks, prediction
    from lumbarflow.report import charts, figures

    model = prediction.load(snakemake.input.model, network=snakemake.params.network)
    title = f"{snakemake.wildcards.experiment}: network {model.name}, {model.count_params():,} parameters"
    figure = charts.network(*networks.outline(model), title)
    figures.save(figure, Path(snakemake.output[0]).with_suffix(""))


run(main, globals().get("snakemake"))
