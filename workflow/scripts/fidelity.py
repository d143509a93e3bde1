"""Rule fidelity: APTA's masks of a sequence against the exact ones, slice by slice."""

from lumbarflow.job import run


def main(snakemake):
    from pathlib import Path

    import numpy as np
    import pandas as pd

    from lumbarflow import FOREGROUND, files
    from lumbarflow.data import survey
    from lumbarflow.report import audit, figures, pictures

    tables, params, names = snakemake.input, snakemake.params, snakemake.wildcards
    rows = audit.compare_masks(zip(tables.slices, tables.exact, tables.repaired, strict=True))
    columns = [{key: row[key] for key in survey.FIDELITY} for row in rows]
    files.write_csv(snakemake.output.table, columns, survey.FIDELITY)
    frame = pd.DataFrame(rows)
    dice = {name: np.array(audit.slice_dice(frame, name)) for name in FOREGROUND}
    examples = pictures.repaired(frame, params.sources, params.recipe, params.canvas_size)
    title = f"What APTA changes: {names.sequence}, {names.labels} against exact labels, {len(frame)} slices"
    figure = figures.repair_costs(dice, pictures.vanished(frame), examples, title)
    figures.save(figure, Path(snakemake.output.figure[0]).with_suffix(""))


run(main, globals().get("snakemake"))
