"""Rule compare: intervals, variants, the ladder, ablation, subgroups, and the paper against us and its own formulas."""

from lumbarflow.job import run, software


def main(snakemake):
    from pathlib import Path

    from lumbarflow.report import comparison, frames, notes, provenance, published, results, rivals

    made_by = provenance.line(software(), snakemake.config)
    settings = snakemake.params.settings
    ours = {Path(path).stem: frames.read_table(path) for path in snakemake.input.tables}
    printed = {name: published.read(name) for name in ("table1", "table2", "table3")}
    overview = [frames.read_given(path) for path in snakemake.input.overview]
    found = results.by_sequence(snakemake.input.images)
    runs = [(experiment, *rest[:1], settings[experiment]["evaluation"], *rest[1:]) for experiment, *rest in found]
    splits = {experiment: each["split"]["kind"] for experiment, each in settings.items()}
    made = {
        "intervals": comparison.interval_table(runs),
        "variants": comparison.variants(runs, results.stacks(snakemake.input.stacks)),
        "ladder": comparison.ladder(runs, snakemake.params.ladder, settings, ours["table2"]),
        "ablation": comparison.ablation(runs, snakemake.params.baseline, splits),
        "subgroups": comparison.subgroups(runs, overview[0] if overview else None),
        "paper_comparison": comparison.paper_comparison(*(ours[name] for name in ("table1", "table2", "table3"))),
        "paper_audit": comparison.paper_audit(printed),
    }
    given = (made["intervals"], made["ablation"], ours["table3"], published.read("systems"))
    made["rivals"] = rivals.rivals(*given, settings)
    for name, frame in made.items():
        notes.write(name, frame, Path(snakemake.output[0]).parent, made_by)


run(main, globals().get("snakemake"))
