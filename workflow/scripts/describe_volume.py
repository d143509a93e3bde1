"""Rule describe_volume: one volume's grid, greys and labels, the paper's four defects in it, and what is odd."""

from lumbarflow.job import run


def main(snakemake):
    import logging

    from lumbarflow import DataError, files
    from lumbarflow.data import labels, masks, schemes, survey, volumes

    params = snakemake.params
    image, mask, classes, odd = volumes.read(**params.image), None, None, ["no mask"]
    scheme = params.mask.get("scheme")
    if path := params.mask["path"]:
        mask = masks.stored(path, params.mask["override"], params.mask.get("image"))
        try:
            truth = masks.translated(mask, path, scheme)
            truth.geometry.check_same(image.geometry, path)
            classes, odd = labels.lut(truth.array), []
        except DataError as error:
            logging.warning("%s", error)
            odd = ["mask cannot be used"]
    known = schemes.labels(scheme, "vertebrae") if scheme else labels.LABELS["vertebrae"]
    row = survey.describe(image, mask, known)
    row |= {"volume": snakemake.wildcards.volume, "patient": params.patient, "sequence": params.sequence}
    row |= {"corrected": bool(params.image["override"])}
    row["remarks"] = "; ".join(odd + survey.remarks(image, classes))
    if row["remarks"]:
        logging.warning("%s: %s", params.image["path"], row["remarks"])
    files.write_csv(snakemake.output[0], [row], survey.DESCRIPTION)


run(main, globals().get("snakemake"))
