"""Rule make_tables: every table of the paper, and the summary."""

from lumbarflow.job import run

NOTES = {
    "summary": (
        "What was run, and how well it did",
        "Macro Dice is the mean over vertebrae, canal and discs of the Dice pooled over all test slices, each "
        "experiment against its own truth. A slice split tests on patients it was trained on; only a patient split "
        "says how well new patients are segmented.",
    ),
    "table1": (
        "Table 1: dataset and class imbalance ratio",
        "Ratio: highest over lowest class weight, pooled over the images. The paper prints it with a percent sign.",
    ),
    "table2": (
        "Table 2: metrics of each class and sequence",
        "The paper's and the released rows leak: their test slices have neighbours in training. Their ASD and NSD "
        "match surfaces across the whole stack of test images, which makes them too good. Missed counts images in "
        "which a class is only in the truth or only in the prediction; ASD leaves those out.",
    ),
    "leakage": (
        "Leakage: what training knew of the test set",
        "Neighbour within 1 or 2: share of test slices with a training slice of the same volume that near. Same mask: "
        "a training image has byte for byte the same mask. Copied mask: Dice of a predictor that learns nothing and "
        "copies the mask of the nearest training slice, or of the most similar picture where the volume is new. Dice "
        "is pooled over the test images, the network's on the grid of its experiment.",
    ),
    "table3": (
        "Table 3: comparison with published systems",
        "Pixels of a 256 x 256 picture and millimetres of a volume cannot be compared, nor can scores on different "
        "patients.",
    ),
}


def main(snakemake):
    from pathlib import Path

    import pandas as pd

    from lumbarflow import files
    from lumbarflow.report import publish, tables

    stems = {Path(path).stem: str(Path(path).with_suffix("")) for path in snakemake.output}
    published = {Path(path).stem: pd.read_csv(path) for path in snakemake.input.published}
    manifests = []
    for path, experiments in zip(snakemake.input.manifests, snakemake.params.experiments, strict=True):
        *_, slices, labels, name, file = Path(path).parts
        recipes = {"slices": slices, "labels": labels, "filter": name}
        manifests.append((recipes, Path(file).stem, experiments, pd.read_csv(path)))
    runs, copies, about, in_3d, instances, shares = [], [], {}, {}, {}, {}
    for path in snakemake.input.images:
        folder = Path(path).parent
        experiment, trained_on = folder.parts[-4:-2]
        settings = snakemake.params.evaluation[experiment]
        names = ("metrics", "metrics_stack", "metrics_3d", "metrics_instances", "copied", "copied_stack", "leakage")
        frames = {name: dict(list(pd.read_csv(folder / f"{name}.csv").groupby("sequence"))) for name in names}
        model = {**files.read_json(folder / "model.json"), "trained_on": trained_on}
        for sequence, images in frames["metrics"].items():
            key = (experiment, sequence)
            runs.append((*key, settings, images, frames["metrics_stack"][sequence]))
            copied = (frames["copied"][sequence], frames["copied_stack"][sequence])
            copies.append((*key, {**settings, "grid": "network"}, *copied))
            about.setdefault(key, []).append(model)
            shares.setdefault(key, []).append(frames["leakage"][sequence])
            if sequence in frames["metrics_3d"]:
                in_3d.setdefault(key, []).append(frames["metrics_3d"][sequence])
                instances.setdefault(key, []).append(frames["metrics_instances"][sequence])
    table2 = tables.table2(runs, published["table2"])
    copied = tables.table2(copies, published["table2"])
    shares, in_3d, instances = (
        {key: pd.concat(parts) for key, parts in found.items()} for found in (shares, in_3d, instances)
    )
    shown = copied[copied["experiment"] != "paper"]
    table2_all = pd.concat([table2, shown.assign(experiment=shown["experiment"] + ": mask copied")])
    made = {
        "summary": tables.summary(runs, table2, about),
        "table1": tables.table1(manifests, published["table1"]),
        "table2": tables.order(table2_all),
        "leakage": tables.leakage(shares, table2, copied),
        "table3": tables.table3(table2, in_3d, instances, published["table3"], published["systems"]),
    }
    for name, frame in made.items():
        publish.write(frame, stems[name], *NOTES[name])


run(main, globals().get("snakemake"))
