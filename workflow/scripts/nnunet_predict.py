"""Rule nnunet_predict: label volumes of the test volumes of a fold."""

from lumbarflow.job import run


def main(snakemake):
    import tempfile
    from pathlib import Path

    from lumbarflow import files
    from lumbarflow.learning import gpus, nnunet

    params, raw, output = snakemake.params, Path(snakemake.input.raw), Path(snakemake.output.predictions)
    rows = files.read_csv(snakemake.input.split[0])
    tested = sorted({row["volume"] for row in rows if row["subset"] == "test"})
    command = nnunet.find("nnUNetv2_predict")
    if params.device != "cpu":
        gpus.take(gpus.listed())
    arguments = ["-d", "1", "-c", params.settings["configuration"], "-f", str(params.fold), "-tr", nnunet.TRAINER]
    arguments += ["-device", nnunet.device(params.device, command), "-npp", "1", "-nps", "1", "--disable_progress_bar"]
    with tempfile.TemporaryDirectory() as folder:
        for name in tested:
            file = f"{name}_0000{nnunet.ENDING}"
            found = next(raw.glob(f"{nnunet.DATASET}/images*/{file}"))
            Path(folder, file).symlink_to(found.resolve())
        folders = {"raw": raw, "preprocessed": raw, "results": snakemake.input.trained}
        arguments += ["-i", folder, "-o", str(output)]
        nnunet.call(command, arguments, folders, snakemake.threads)


run(main, globals().get("snakemake"))
