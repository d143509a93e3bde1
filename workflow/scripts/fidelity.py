"""Rule fidelity: APTA's masks of a sequence against the exact ones, slice by slice."""

from lumbarflow.job import run

SHOWN = 4


def main(snakemake):
    from pathlib import Path

    import numpy as np
    import pandas as pd

    from lumbarflow import files
    from lumbarflow.data import survey, volumes
    from lumbarflow.images import class_masks, png, slices
    from lumbarflow.report import audit, figures

    rows = []
    for sliced, exact, repaired in zip(
        snakemake.input.slices, snakemake.input.exact, snakemake.input.repaired, strict=True
    ):
        tables = [files.read_csv(path) for path in (sliced, exact, repaired)]
        for row, *masks in zip(*tables, strict=True):
            row = {key: row[key] for key in ("volume", "patient", "sequence", "index", *slices.PLACE)}
            name = f"{int(row['index']):03d}.png"
            pair = [
                png.read(Path(path).with_suffix("") / name, mask["sha256"])
                for path, mask in zip((exact, repaired), masks, strict=True)
            ]
            rows.append(
                {**row, **survey.compare(*pair), "pair": [Path(p).with_suffix("") / name for p in (exact, repaired)]}
            )
    files.write_csv(
        snakemake.output.table, [{key: row[key] for key in survey.FIDELITY} for row in rows], survey.FIDELITY
    )
    frame = pd.DataFrame(rows)
    dice = {name: audit.slice_dice(frame, name) for name in survey.FOREGROUND}
    # the canal suffers most; of its worst slices the ones where most of it is at stake
    ranked = frame.assign(dice=dice["spinal_canal"]).dropna(subset="dice")
    ranked = ranked.sort_values(["dice", "exact_spinal_canal"], ascending=[True, False], kind="stable")
    examples = []
    for row in ranked.head(SHOWN).to_dict("records"):
        mask = volumes.read(**snakemake.params.sources[row["volume"]])
        grey = class_masks.render(mask.array[int(row["index"])], snakemake.params.recipe["stretch"])
        place = slices.Placement.of(row)
        grey = slices.to_canvas(grey, place, snakemake.params.canvas_size, snakemake.params.recipe["resize"])
        caption = f"{row['volume']}, slice {row['index']}: canal Dice {row['dice']:.3f}"
        examples.append((caption, grey, *map(png.read, row["pair"])))
    names = snakemake.wildcards
    title = f"What APTA changes: {names.sequence}, {names.labels} against exact labels, {len(frame)} slices"
    gone = {n: int(((frame[f"exact_{n}"] > 0) & (frame[f"repaired_{n}"] == 0)).sum()) for n in survey.FOREGROUND}
    figure = figures.repair_costs({name: np.array(values) for name, values in dice.items()}, gone, examples, title)
    figures.save(figure, Path(snakemake.output.figure[0]).with_suffix(""))


run(main, globals().get("snakemake"))
