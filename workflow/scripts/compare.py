"""Rule compare: intervals, variants, the ladder, experiment against experiment, and the paper against itself."""

from lumbarflow.job import run

NOTES = {
    "intervals": (
        "95% intervals of Table 2",
        "Percentile bootstrap over the test patients, 2000 draws. For a split of slices the patients are no sample of "
        "new patients, so its interval says nothing about them.",
    ),
    "variants": (
        "Every variant of the metrics",
        "assd (average symmetric surface distance), nsd_paper: the paper's formulas of ASD and NSD (true surface, "
        "closer than tau); asd_mean_of_means: the release's; nsd_symmetric: both surfaces, within tau; hd95: larger of "
        "the directed 95th percentiles. "
        "Distances leave out images in which the class is missed (in one of prediction and truth only) or absent (in "
        "neither).",
    ),
    "ladder": (
        "Ladder: what each step from the paper to a sound protocol costs",
        "Numbered steps share one yardstick (argmax on the network grid, Dice pooled over images, ASD and NSD a slice "
        "in px), so that a row differs from the one above by its step alone. Dice as printed and as reported first is "
        "soft.",
    ),
    "ablation": (
        "Ablation: each experiment against the baseline",
        "Mean difference over the patients that both were tested on, with a 95% bootstrap interval; dice: pooled over "
        "a patient's slices, asd in px, on the network grid. An experiment with a split of slices had these patients "
        "in training.",
    ),
    "subgroups": (
        "Subgroups of patients",
        "Dice pooled over a patient's slices, mean over the patients of the group; interval: 95%, bootstrap, of the "
        "mean over classes. Groups of a few patients show where to look, not what is so.",
    ),
    "paper_comparison": (
        "The paper's tables, cell by cell",
        "Printed, made again by the authors' protocol on these data (released), and by a sound one. ASD of `sound` is "
        "in mm a slice on the source grid, the printed one in px over the stack of test slices: not comparable.",
    ),
    "paper_audit": (
        "The paper's rows against the paper's formulas",
        "An identity holds where rounding to four decimals can explain the difference. Where it fails, the row is not "
        "one computation's result.",
    ),
}


def main(snakemake):
    from pathlib import Path

    import pandas as pd

    from lumbarflow.report import comparison, publish

    settings, tables = snakemake.params.settings, {}
    for path in (*snakemake.input.tables, *snakemake.input.published):
        tables[Path(path).parent.name, Path(path).stem] = pd.read_csv(path)
    overview = [pd.read_csv(path, dtype=str) for path in snakemake.input.overview]
    runs = []
    for path in snakemake.input.images:
        experiment = Path(path).parts[2]
        evaluation = settings[experiment]["evaluation"]
        for sequence, images in pd.read_csv(path).groupby("sequence", sort=False):
            runs.append((experiment, sequence, evaluation, images))
    ours = [tables["tables", name] for name in ("table1", "table2", "table3")]
    splits = {experiment: each["split"]["kind"] for experiment, each in settings.items()}
    made = {
        "intervals": comparison.interval_table(runs),
        "variants": comparison.variants(runs),
        "ladder": comparison.ladder(runs, snakemake.params.ladder, settings, tables["tables", "table2"]),
        "ablation": comparison.ablation(runs, snakemake.params.baseline, splits),
        "subgroups": comparison.subgroups(runs, overview[0] if overview else None),
        "paper_comparison": comparison.paper_comparison(*ours),
        "paper_audit": comparison.paper_audit(
            {name: tables["published", name] for name in ("table1", "table2", "table3")}
        ),
    }
    folder = Path(snakemake.output[0]).parent
    for name, frame in made.items():
        publish.write(frame, str(folder / name), *NOTES[name])


run(main, globals().get("snakemake"))
