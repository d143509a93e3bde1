# How a run goes: trainings at a time, jobs a second, and what it says on the terminal.
import gc

# Planning makes millions of objects that stay: by default Python searches them for garbage so often that it takes a
# tenth of the planning's time.
gc.set_threshold(100_000, 50, 1000)

# On one machine, as many trainings run at a time as the command line gives GPUs, or one without --resources gpu.
if workflow.nodes is None and "training" not in workflow.global_resources:
    limit = workflow.global_resources["gpu"].value if "gpu" in workflow.global_resources else 1
    workflow.register_resource("training", max(limit, 1))


onstart:
    # Snakemake limits jobs per second (--max-jobs-per-timespan) with a timer that each check of the queue starts again:
    # n finished jobs cause n checks per second, half a core after 300 jobs. No option turns the limit off.
    limit = workflow.scheduling_settings.max_jobs_per_timespan
    if workflow.nodes is None and limit and (limit.max_jobs, limit.timespan) == (100, 1):  # the default
        workflow.scheduler.job_rate_limiter = None
    told = workflow.output_settings
    quiet = {each.name for each in told.quiet or ()} & {"ALL", "PROGRESS", "RULES"}
    chosen = bool(quiet or told.verbose or told.printshellcmds or told.debug_dag)
    jobs = {name: count for name, count in workflow.dag.stats()[1].items() if name != "total"}
    progress.show(logger, jobs, chosen)


onsuccess:
    if {"all", "tables", "findings"} & set(map(str, workflow.dag.targetrules)):
        logger.info(
            "Look at results/findings.html, then at results/tables. For the report: the same command, and --report FILE."
        )


onerror:
    progress.end(logger)
