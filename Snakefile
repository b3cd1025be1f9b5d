# The main job: `snakemake --cores 2` simulates, analyses and reports; `snakemake real` runs the published data.
from snakemake.utils import min_version, validate

min_version("9.18")


configfile: f"{workflow.basedir}/pipelines/config/config.yaml"


validate(config, "pipelines/schemas/config.schema.yaml")


include: "pipelines/common.smk"
include: "pipelines/simulated.smk"
include: "pipelines/published.smk"
include: "pipelines/features.smk"
include: "pipelines/encoding.smk"
include: "pipelines/evaluation.smk"
include: "pipelines/motion.smk"
include: "pipelines/generation.smk"
include: "pipelines/captioning.smk"
include: "pipelines/foveation.smk"
include: "pipelines/gaze.smk"
include: "pipelines/report.smk"


rule all:
    default_target: True
    input:
        "results/report.html",
    localrule: True


rule real:
    input:
        "results/report_real.html",
    localrule: True
