"""Rule describe_volume: one volume's grid, greys and labels, and the paper's four defects in it."""

from lumbarflow.job import run


def main(snakemake):
    from lumbarflow import files
    from lumbarflow.data import survey, volumes

    params = snakemake.params
    row = survey.describe(*(volumes.read(**params[kind]) for kind in ("image", "mask")))
    row |= {"volume": snakemake.wildcards.volume, "patient": params.patient, "sequence": params.sequence}
    row["corrected"] = bool(params.image["override"])
    files.write_csv(snakemake.output[0], [row], survey.DESCRIPTION)


run(main, globals().get("snakemake"))
