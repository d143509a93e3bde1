"""Rule nnunet_plan: nnU-Net's own check of its dataset, its plan, and the preprocessed volumes."""

from lumbarflow.job import run


def main(snakemake):
    import shutil
    from pathlib import Path

    from lumbarflow.learning import nnunet

    raw, preprocessed = Path(snakemake.input.raw), Path(snakemake.output.preprocessed)
    arguments = ["-d", "1", "-c", snakemake.wildcards.configuration, "--verify_dataset_integrity", "--no_pbar"]
    processes = str(snakemake.threads)
    arguments += ["-np", processes, "-npfp", processes]
    folders = {"raw": raw, "preprocessed": preprocessed, "results": preprocessed}
    preprocessed.mkdir(parents=True, exist_ok=True)
    nnunet.call(nnunet.find("nnUNetv2_plan_and_preprocess"), arguments, folders, snakemake.threads)
    shutil.copy(raw / "splits_final.json", preprocessed / nnunet.DATASET)


run(main, globals().get("snakemake"))
