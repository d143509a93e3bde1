"""Rule segment_scan: one new scan, from its file to labels, measurements, flags and a picture."""

from lumbarflow.job import run, software


def main(snakemake):
    from lumbarflow.learning import device

    device.choose("cpu", snakemake.threads)
    import logging

    from lumbarflow import DataError, files, source
    from lumbarflow.application import segment
    from lumbarflow.data.new_scans import Scan

    name, scan = snakemake.wildcards.scan, Scan(**snakemake.params.scan)
    with files.replacing_folder(snakemake.output[0]) as folder:
        try:
            named = iter(snakemake.input.models)
            paths = [source.shipped_model() if shipped else next(named) for shipped in snakemake.params.shipped]
            models = segment.load(paths, snakemake.params.modules)
        except DataError as error:
            failed, reasons = str(error), []
            segment.write_failure(folder, name, failed, software())
        else:
            options = segment.Options(**snakemake.params.options)
            failed, reasons = segment.segment_into(folder, name, scan, models, options, software())
        for text in [f"failed: {failed}"] * bool(failed) + [f"needs a look: {reason}" for reason in reasons]:
            logging.warning(text)


run(main, globals().get("snakemake"))
