"""Rule download: the real dataset, checked and unpacked."""

from lumbarflow.job import run


def main(snakemake):
    from lumbarflow.data import download
    from lumbarflow.files import replacing

    params = snakemake.params
    lines = []
    for name, md5 in params.files.items():
        download.fetch(params.address, name, md5, params.root)
        lines.append(f"{md5}  {name}\n")
    with replacing(snakemake.output.marker) as temporary:
        temporary.write_text("".join(lines), encoding="utf-8")


run(main, globals().get("snakemake"))
