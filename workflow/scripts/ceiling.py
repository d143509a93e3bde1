"""Rule ceiling: what a perfect class mask scores once its structures are told apart."""

from lumbarflow.job import compile_once, run


def main(snakemake):
    import numpy as np

    from lumbarflow import files
    from lumbarflow.data import labels, masks
    from lumbarflow.measures import instances, structures

    compile_once(structures.label, np.ones((2, 2, 2), np.uint8), (1, 1, 1))
    params = snakemake.params
    truth = masks.read(**params.source)
    found = structures.label(labels.lut(truth.array), truth.spacing)
    common = {"sequence": params.sequence, "patient": params.patient, "volume": snakemake.wildcards.volume}
    rows = instances.instance_rows(found, truth.array, truth.spacing, truth.geometry.swapped_spacing())
    if not masks.tells_structures(params.source.get("scheme")):
        rows = []  # there is no truth to compare them with
    files.write_csv(snakemake.output[0], [{**common, **row} for row in rows], instances.PER_INSTANCE)


run(main, globals().get("snakemake"))
