# From lumbar MRI volumes to segmentation tables. Each stage's rules stand in the file of its name.
# plan.smk reads config/config.yaml first and lays every other config over it, however this workflow is started.
from snakemake.utils import min_version

min_version("9.17")


report: "workflow/report/workflow.rst"


include: "workflow/rules/plan.smk"  # the config, and what is to be run
include: "workflow/rules/common.smk"  # what several stages use
include: "workflow/rules/running.smk"  # how many at a time, and what the terminal shows
include: "workflow/rules/data.smk"  # 0 the phantom dataset, or a download
include: "workflow/rules/slices.smk"  # 1 sagittal slices as PNG
include: "workflow/rules/labels.smk"  # 2 class masks: the paper's APTA, or exact
include: "workflow/rules/manifest.smk"  # 3, 4 class weights and the filter
include: "workflow/rules/audit.smk"  # the dataset and its defects, what APTA costs
include: "workflow/rules/train.smk"  # 5, 6 split and training
include: "workflow/rules/evaluate.smk"  # 7, 8 prediction and metrics
include: "workflow/rules/nnunet.smk"  # nnU-Net on the same patients
include: "workflow/rules/rivals.smk"  # predictions of other programs, in their place
include: "workflow/rules/report.smk"  # 9 tables and figures
include: "workflow/rules/models.smk"  # trained models as files
include: "workflow/rules/scans.smk"  # new scans, segmented by such files
include: "workflow/rules/wildcards.smk"  # what their names look like


rule all:
    default_target: True
    input:
        rules.tables.input,
        rules.figures.input,
