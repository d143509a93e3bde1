"""Rule draw_comparisons: every test patient, the ladder, reliability and the canary, of one sequence."""

from lumbarflow.job import run


def main(snakemake):
    from pathlib import Path

    import pandas as pd

    from lumbarflow.report import charts, comparison, figures, frames, results

    sequence, found = snakemake.wildcards.tested, {}
    for experiment, tested, images in results.by_sequence(snakemake.input.images):
        if tested == sequence:
            found.setdefault(experiment, []).append(images)
    dice = {}
    for experiment, parts in found.items():
        classes = dict(list(pd.concat(parts).groupby("class")))
        dice[experiment] = comparison.patient_scores(classes)["dice"]
    tables = [frames.read_table(path) for path in snakemake.input.tables]
    ladder, leakage = (table[table["sequence"] == sequence] for table in tables)
    title = "Dice of each test patient, pooled over its slices on the source grid, exact labels"
    sure, offsets = results.reliability(snakemake.input.reliability, snakemake.input.decisions, sequence)
    drawn = {
        "distributions": charts.distributions(dice, f"{sequence}: {title}"),
        "ladder": charts.ladder(ladder, f"{sequence}: what each step from the paper to a sound protocol costs"),
        "reliability": charts.reliability(sure, offsets, f"{sequence}: how often what a network says is true"),
        "canary": charts.canary(leakage, f"{sequence}: the network (filled) beside copying the nearest training mask"),
    }
    for name, figure in drawn.items():
        figures.save(figure, Path(snakemake.output[0]).parent / name)


run(main, globals().get("snakemake"))
