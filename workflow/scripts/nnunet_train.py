"""Rule nnunet_train: nnU-Net's training on one fold; one that was killed goes on from its last epoch."""

from lumbarflow.job import run


def main(snakemake):
    import shutil
    from pathlib import Path

    from lumbarflow.learning import gpus, nnunet

    params, preprocessed = snakemake.params, Path(snakemake.input.preprocessed)
    output, settings = Path(snakemake.output.trained), params.settings
    folder = preprocessed / nnunet.DATASET
    # and the labels: the plans alone know no classes
    plans = [folder / f"{nnunet.PLANS}.json", folder / "splits_final.json", *sorted(folder.glob("gt_segmentations/*"))]
    # beside the output, not in it: Snakemake deletes outputs before a rerun
    decisive = {"settings": settings, "code": params.code, "fold": params.fold}
    states = nnunet.resumed(output.with_name("resume"), decisive, plans)
    states.mkdir(parents=True, exist_ok=True)
    command = nnunet.find("nnUNetv2_train")
    if params.device != "cpu":
        gpus.take(gpus.listed())
    arguments = ["1", settings["configuration"], str(params.fold), "-tr", nnunet.TRAINER]
    arguments += ["--c"] if any(states.rglob("checkpoint_*.pth")) else []
    arguments += ["-device", nnunet.device(params.device, command)]
    folders = {"raw": preprocessed, "preprocessed": preprocessed, "results": states}
    told = " ".join(str(settings[name]) for name in ("epochs", "iterations", "batch_size"))
    nnunet.call(command, arguments, folders, snakemake.threads, told)
    shutil.rmtree(output, ignore_errors=True)
    for path in states.rglob("*.part"):  # of a kill while it was written
        path.unlink()
    states.rename(output)
    shutil.rmtree(states.parent, ignore_errors=True)


run(main, globals().get("snakemake"))
