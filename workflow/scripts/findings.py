"""Rule findings: the first page of the report."""

from lumbarflow.job import run


def main(snakemake):
    from pathlib import Path

    from lumbarflow.files import replacing
    from lumbarflow.report import findings, frames

    params = snakemake.params
    tables = {Path(path).stem: frames.read_table(path) for path in snakemake.input.tables}
    lines = findings.lines(tables, params.data, params.sequence)
    texts = (findings.page(lines, snakemake.input.picture, params.sequence), findings.markdown(lines))
    for name, text in zip(snakemake.output, texts, strict=True):
        with replacing(name) as path:
            path.write_text(text, encoding="utf-8")


run(main, globals().get("snakemake"))
