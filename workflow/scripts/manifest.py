"""Rule manifest: every image of a sequence, with the decision of the filter."""

from lumbarflow.job import run


def main(snakemake):
    import logging
    from collections import Counter

    from lumbarflow import DataError, files
    from lumbarflow.data import dataset, schemes
    from lumbarflow.images import weights

    rows = [row for path in snakemake.input.weights for row in files.read_csv(path)]
    pictures, patients = {}, {row["volume"]: row["patient"] for row in rows}
    for row in rows:
        pictures.setdefault(row["volume"], []).append(row["image_sha256"])
    for names in dataset.duplicates({volume: tuple(digests) for volume, digests in pictures.items()}):
        text = f"volumes {' and '.join(names)} hold the same pictures"
        if len({patients[name] for name in names}) > 1:
            raise DataError(
                f"{text}, but are said to be of different patients, which a split by patients would take for new ones; "
                "remove all but one, or give them one patient in a sample sheet"
            )
        logging.warning("%s", text)
    masks = [row for path in snakemake.input.labels for row in files.read_csv(path)]
    planes = ([int(label) for label in row["labels"].split()] for row in masks)
    schemes.check_found(planes, snakemake.params.scheme, f"sequence {snakemake.wildcards.sequence}")
    decisions = weights.select(rows, **snakemake.params.filter)
    for row, (kept, reason) in zip(rows, decisions, strict=True):
        row |= {"kept": kept, "reason": reason}
    files.write_csv(snakemake.output[0], rows, list(rows[0]))
    logging.info("%d images: %s", len(rows), dict(Counter(reason or "kept" for _, reason in decisions)))


run(main, globals().get("snakemake"))
