# What wildcards look like. Included last: Snakemake puts these patterns into the paths of the rules that it has read,
# and only there do the path variables (common.smk) have their wildcards by now.


wildcard_constraints:
    number=r"[1-9]\d*",
    volume=r"[A-Za-z0-9][A-Za-z0-9_-]*",
    sequence="|".join([*config["sequences"], "all"]),  # all: a training on all sequences together
    tested="|".join(config["sequences"]),
    slices=r"[A-Za-z0-9_]+",
    labels=r"[A-Za-z0-9_]+",
    filter=r"[A-Za-z0-9_]+",
    experiment=r"[A-Za-z0-9_]+",
    fold=r"\d+",
    seed=r"\d+",
    scan=r"[A-Za-z0-9][A-Za-z0-9_-]*",
