"""Rule segment_scan: one new scan, from its file to labels, measurements, flags and a picture."""

from lumbarflow.job import run, software


def main(snakemake):
    from lumbarflow.learning import device

    device.choose("cpu", snakemake.threads)
    import logging

    from lumbarflow import DataError, files
    from lumbarflow.application import segment
    from lumbarflow.data.new_scans import Scan

    name, scan = snakemake.wildcards.scan, Scan(**snakemake.params.scan)
    with files.replacing_folder(snakemake.output[0]) as folder:
        try:
            result = segment.attempt(scan, segment.load(snakemake.input.models, snakemake.params.modules))
        except DataError as error:
            result = str(error)
        if isinstance(result, str):
            logging.warning("failed: %s", result)
            segment.write_failure(folder, name, result, software())
            return
        for flag in result.flags:
            logging.warning("needs a look: %s", flag.reason)
        segment.write(folder, name, scan, result, segment.Options(**snakemake.params.options), software())


run(main, globals().get("snakemake"))
