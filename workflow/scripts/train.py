"""Rule train: one network on one split."""

import os

from lumbarflow.job import run


def main(snakemake):
    from lumbarflow.learning import device

    os.environ["KERAS_BACKEND"] = snakemake.params.backend  # which some executors do not pass on
    used = device.choose(snakemake.params.device, snakemake.threads)
    import shutil
    from pathlib import Path

    from lumbarflow import files
    from lumbarflow.learning import experiment, training

    split, params = Path(snakemake.input.split), snakemake.params
    rows, settings = files.read_csv(split), {name: params[name] for name in experiment.SETTINGS}
    if folds := snakemake.input.get("folds"):  # rule train_on_everyone
        rows, settings = experiment.on_everyone(rows, settings, [files.read_json(path) for path in folds])
    # beside the model, but not an output: Snakemake deletes outputs before a rerun
    states = Path(snakemake.output.model).parent / "resume"
    model, history, about = experiment.run(
        rows,
        settings,
        int(snakemake.wildcards.seed),
        used,
        Path(snakemake.input.slices[0]).parent,
        Path(snakemake.input.labels[0]).parent,
        experiment.resume_file(states, settings, params.code, split, used),
        snakemake.threads,
    )
    about["slices"] = params.slices
    about["inputs"] = {"split.csv": files.sha256(split.read_bytes())}
    files.write_csv(snakemake.output.history, history, training.HISTORY)
    files.write_json(snakemake.output.about, about)
    with files.replacing(snakemake.output.model) as temporary:
        model.save(temporary)
    shutil.rmtree(states, ignore_errors=True)


run(main, globals().get("snakemake"))
