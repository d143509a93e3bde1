"""Titles of the tables, what a reader must know of each, and how they are laid out."""

from pathlib import Path

import pandas as pd

from . import publish
from .publish import Layout

SURFACE = (
    " ASD, NSD: distances between surfaces, a surface being the pixels of a class with a neighbour over an edge "
    "outside it, each counted once (as the paper and its release). By area: the elements between pixel centres, each "
    "counted by its length (in 3-D its area), as DeepMind's surface-distance does."
)

LAYOUTS = {
    "summary": Layout(block="sequence"),
    "table1": Layout(block="sequence"),
    "table2": Layout(block="sequence", footnotes=["how"], marked="experiment"),
    "table3": Layout(block="class", footnotes=["comparable with", "source"], marked="system"),
    "leakage": Layout(block="sequence", footnotes=["measured"], marked="experiment"),
    "ladder": Layout(block="sequence", footnotes=["changed"], marked="experiment"),
    "rivals": Layout(block="sequence", footnotes=["data"], marked="experiment"),
    "intervals": Layout(block="sequence"),
    "ablation": Layout(block="sequence"),
    "subgroups": Layout(block="sequence"),
    "variants": Layout(block="sequence", left_out=["grid"]),  # its unit says it
    "volumes": Layout(block="sequence", left_out=["image_sha256"]),
    "paper_comparison": Layout(block="table", heading="Table {}"),
    "rivals_cost": Layout(block="sequence"),
}

NOTES = {
    "summary": (
        "What was run, and how well it did",
        "Macro Dice is the mean over vertebrae, canal and discs of the Dice pooled over all test slices of a training, "
        "and over folds and seeds, each experiment against its own truth, on the grid of its evaluation: the ladder "
        "compares them. A slice split tests on patients it was trained on; only a patient split says how well new "
        "patients are segmented.",
    ),
    "table1": (
        "Table 1: dataset and class imbalance ratio",
        "Enough classes: as many as the experiment's filter asks for with `min_classes`, all four in the paper. Ratio: "
        "highest over lowest class weight, pooled over these images, and over those that are kept. The paper prints it "
        "with a percent sign.",
    ),
    "table2": (
        "Table 2: metrics of each class and sequence",
        "The paper's and the released rows leak: their test slices have neighbours in training. Their ASD and NSD "
        "match surfaces across the whole stack of test images, which makes them too good. Missed counts images in "
        "which a class is only in the truth or only in the prediction; ASD leaves those out; a class that was never "
        "found, be it in one of several trainings, has none. Detection: of the images that show a class, the share in "
        "which the prediction reaches a Dice of 0.1." + SURFACE,
    ),
    "leakage": (
        "Leakage: what training knew of the test set",
        "Neighbour within 1 or 2: share of test slices with a training slice of the same volume that near. Same mask: "
        "a training image has byte for byte the same mask. Copied mask: Dice of a predictor that learns nothing and "
        "copies the mask of the nearest training slice, or of the most similar picture where the volume is new. Dice "
        "is pooled over the test images, on the network grid. ASD: mean over the three classes, as the experiment "
        "measures it: of `released` over the whole stack of test images." + SURFACE,
    ),
    "table3": (
        "Table 3: comparison with published systems",
        "Pixels of a 256 x 256 picture and millimetres of a volume cannot be compared, nor can scores on different "
        "patients: the notes below the table say which can. 3-D rows score each vertebra, disc and canal by itself. "
        "Official: as SPIDER's program: the predicted structure that covers most of a true one is its match; Dice "
        "over structures with a Dice of at least 0.1, the others are missed; ASD over all, unknown for a case in "
        "which one is not overlapped at all, and with the spacing of one axis laid on another. Corrected: distances "
        "by the right spacing, over the structures that are overlapped. Strict: a missed structure's Dice is 0, its "
        "distance does not count. True classes: what a perfect class mask reaches once its structures are told apart."
        + SURFACE,
    ),
    "intervals": (
        "95% intervals of Table 2",
        "Student's t over the test patients, with the jackknife's standard error, on the logit scale (ASD: logarithm); "
        "none for fewer than 6 patients. As reported: as Table 2, but over the patients of all folds and seeds "
        "together, where Table 2 has the mean of trainings. Yardstick: as in the ladder, so that "
        "experiments can be compared. For a split of slices the patients are no sample of "
        "new patients, so its interval says nothing about them." + SURFACE,
    ),
    "variants": (
        "Every variant of the metrics",
        "assd (average symmetric surface distance), nsd_paper: the paper's formulas of ASD and NSD (true surface, "
        "closer than tau); asd_mean_of_means: the release's; nsd_symmetric: both surfaces, within tau; hd95: larger of "
        "the directed 95th percentiles. Stack: the release's ASD and NSD, over all test slices as one volume, in the "
        "shuffled order of its split, as the release has them, and sorted by volume and index. "
        "Distances leave out images in which the class is missed (in one of prediction and truth only) or absent (in "
        "neither)." + SURFACE,
    ),
    "ladder": (
        "Ladder: what each step from the paper to a sound protocol costs",
        "Reported: as each experiment measures itself (Table 2). The other columns measure all of them by one "
        "yardstick: hard Dice and ASD a slice in mm on the source grid against exact labels, all slices of the test "
        "volumes (of a split of slices: its test slices), mean over patients. So a row differs from the one above by "
        "its step alone, unless `test slices` says that it was tested on others: then part of the change is theirs. "
        "ASD leaves out the slices in which a class is missed (`missed`, each once): with more of them it can fall."
        + SURFACE,
    ),
    "rivals": (
        "Rivals on the same patients",
        "Dice of each class by the ladder's yardstick (2-D, source grid, exact labels, mean over patients), and their "
        "mean; difference: of that mean to the baseline, over the patients that both were tested on (`shared`), with a "
        "95% interval (none for fewer than 6) and p as in `ablation`. Official: SPIDER's Dice of each vertebra, disc "
        "and canal by itself in 3-D, mean over volumes; corrected ASD by the right spacing, found: the share of "
        "structures that are found as what they are (strict), both means over the classes. Published systems stand "
        "below, on other patients, and rank nothing here. A program that was trained for a part of what its makers "
        "plan (nnU-Net: 250,000 iterations) is no measure of it.",
    ),
    "rivals_cost": (
        "What each experiment cost",
        "Means over its trainings, of this machine: minutes of a training as Snakemake measured its job (of one that "
        "was cut off, the last part), its device, seconds and peak memory of the prediction, in which a volume is "
        "read, segmented and written. A dash: not known, as of predictions that were made elsewhere.",
    ),
    "ablation": (
        "Ablation: each experiment against the baseline",
        "Mean difference over the patients that both were tested on, with a 95% interval (Student's t; none for fewer "
        "than 6 patients), and Wilcoxon's signed-rank test, its p corrected for the number of tests in this table "
        "(Holm); the verdict is by that, below 0.05. By the ladder's yardstick: "
        "dice pooled over a patient's slices, asd in mm, only of slices that both were tested on, asd only of those in "
        "which neither misses the class. An experiment with a "
        "split of slices had these patients in training." + SURFACE,
    ),
    "subgroups": (
        "Subgroups of patients",
        "Dice by the ladder's yardstick: pooled over a patient's slices on the source grid, exact labels, mean over "
        "the patients of the group; interval: 95%, of the mean over classes. Groups of a few patients show where to "
        "look, not what is so.",
    ),
    "paper_comparison": (
        "The paper's tables, cell by cell",
        "Printed, made again by the authors' protocol on these data (released), and by a sound one. ASD of `sound` is "
        "in mm a slice on the source grid, the printed one in px over the stack of test slices; NSD has a tolerance of "
        "1 of them, or of as many as `units` says: no difference is taken between units." + SURFACE,
    ),
    "paper_audit": (
        "The paper's rows against the paper's formulas",
        "An identity holds where rounding to four decimals can explain the difference. Where it fails, the row is not "
        "one computation's result.",
    ),
    "dataset": (
        "The dataset",
        "The paper's four defects are counted on the stored files (the rows 1 to 4 say how). All four vanish where the "
        "header's direction cosines and integer labels are used as they stand.",
    ),
    "volumes": (
        "Volumes",
        "As stored, and where `corrected`, with what config.overrides says of the header. "
        "Hidden: labels of vertebrae that a viewer shows as black. Remarks: volumes that are not sagittal, and masks "
        "that would explain their greys better 6 or 12 mm away, or mirrored: these may be of another patient.",
    ),
    "apta_fidelity": (
        "What APTA costs",
        "APTA's masks against the exact lookup on the same canvas. Vanished: slices whose mask lost the class "
        "altogether; appeared: slices that show a class which is not there. Masks that came out of APTA before (a "
        "dataset published by the paper's authors, say) agree with themselves: there the comparison is circular.",
    ),
    "cross_sequence": (
        "Across sequences",
        "Dice pooled over all test slices, on the grid of the experiment's evaluation; the mean over folds and seeds. "
        "Where the two sequences differ, the network never saw a series of that kind (trained on all: it did), "
        "nor any of these patients.",
    ),
}


def write(name: str, frame: pd.DataFrame, folder: str | Path, made: str) -> None:
    """Write a table in each format, with its title, note and layout. made: from provenance.line."""
    publish.write(frame, Path(folder) / name, *NOTES[name], LAYOUTS.get(name, publish.PLAIN), made=made)
