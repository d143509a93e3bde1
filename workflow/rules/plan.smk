# The config and the plan that follows from it: everything that is to be run.
import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.cli import get_argument_parser
from snakemake.logging import logger

# root of the project, whether it runs from there, through workflow/Snakefile, or as a module
ROOT = Path(workflow.current_basedir.get_path_or_uri(secret_free=True)).parents[1]
if not (ROOT / "workflow" / "scripts").is_dir():
    raise WorkflowError(
        f"{ROOT} is no local folder, but the rules need the library beside them: clone the project, and "
        "name that clone's workflow/Snakefile as the module's `snakefile:`"
    )
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

from lumbarflow import DataError, progress, settings, source
from lumbarflow.data import dataset, schemes
from lumbarflow.plan import LISTING, SPECIAL, Plan


def get_targets():
    """Targets that the user or, in a cluster job, the main process gave to Snakemake.

    Snakemake does not know them yet while it reads the rules; its own parser separates targets from option values.
    """
    asked, _ = get_argument_parser().parse_known_args(sys.argv[1:])
    return {*asked.targets, *(job.rulename for job in asked.target_jobs or ())}


try:
    settings.check_cut(sys.argv)
    TARGETS = get_targets() if any(map(SPECIAL.search, sys.argv)) else set()
    config = settings.with_defaults(config, ROOT / "config" / "config.yaml")
    settings.check_container(config["container"], map(str, workflow.deployment_settings.deployment_method))
    PLAN = Plan.make(config, ROOT / "workflow" / "schemas", TARGETS)
except DataError as error:
    # a WorkflowError would add positions in the Snakefile, which mean nothing to a user
    logger.error(f"Error: {error}")
    sys.exit(1)

if PLAN.models and not config["model"] and any("segment" in target or "check_model" in target for target in TARGETS):
    logger.info(
        f"No model is given: {', '.join(PLAN.models[''])} comes with the software; models/README.md says what it is."
    )
for scan in PLAN.replaced("results/segmentations") if workflow.is_main_process else []:
    logger.warning(f"Scan {scan}: the result in results/segmentations/{scan} is of another file; it is replaced.")
if PLAN.missing:
    logger.info(
        f"The dataset cannot be read, so that packages are made of the results alone, and name no scanners ({PLAN.missing})."
    )
EXPERIMENTS = PLAN.experiments
# as wildcards: experiments that have a network, and those that score predictions of another program
LEARNT, IMPORTED = ("|".join(n for n in EXPERIMENTS if PLAN.imports(n) == each) or "(?!)" for each in (False, True))
VOLUMES = PLAN.sources
for sequence in [s for s in config["sequences"] if VOLUMES and s not in PLAN.sequences]:
    logger.info(
        f"Sequence {sequence}: no volumes with masks in {config['sheet'] or config['root']}; left out of all tables."
    )
if PLAN.unlabelled:
    logger.info(
        f"Without a mask: {len(PLAN.unlabelled)} of {len(VOLUMES)} volumes, such as {next(iter(PLAN.unlabelled))}; they are "
        "described and shown, but not trained or tested on."
    )
for sequence in PLAN.left_out:
    logger.info(f"Sequence {sequence}: in the dataset, but not in config.sequences; left out.")
for kind in schemes.lacking(PLAN.scheme) if PLAN.scheme else []:
    logger.info(f"The label scheme {PLAN.scheme['name']} has no {kind}: tables will have no value for this class.")
for name, scheme in PLAN.predicted_as.items():
    for kind in schemes.lacking(scheme) if scheme else []:
        logger.info(f"Experiment {name}: its label scheme has no {kind}, for which it scores 0.")
    for sequence in [s for s in PLAN.sequences if all(run.sequence != s for run in PLAN.runs_of(name))]:
        logger.info(f"Experiment {name}: no predictions of sequence {sequence}; left out.")
if not config["baseline"]:
    logger.info("The baseline is not among the experiments that are run: the ablation table will have no rows.")
