# One page for people; a failing run gets a partial page that names the branches that stopped.
CONFIG_USED = "results/config.yaml"
REPORT_OF_ONE = r"results/real/[a-z0-9_]+/report[.]html"


rule record_config:
    output:
        config=CONFIG_USED,
    log:
        "logs/record_config.log",
    localrule: True
    conda:
        ENV
    params:
        text=lambda wildcards: json.dumps(config, indent=2),
    shell:
        "printf '%s\\n' {params.text:q} > {output.config} 2> {log}"


rule report_simulated:
    input:
        config=CONFIG_USED,
        recovery="results/simulated/recovery/recovery.tsv",
        stimuli="results/simulated/figures/stimuli.png",
        rsa="results/simulated/rsa/rsa.tsv",
        subjects=expand(
            [
                "results/simulated/figures/sub-{subject}_preference.png",
                "results/simulated/brainscore/sub-{subject}.tsv",
                "results/simulated/truth_scores/sub-{subject}.tsv",
            ],
            subject=SIMULATED["subjects"],
        ),
        motion=[
            f"{MOTION}/physiology/stages.tsv",
            f"{MOTION}/flow/flow.tsv",
            f"{MOTION}/movies/movies.tsv",
            f"{MOTION}/decoding/decoding.tsv",
        ],
        models=[
            figure
            for subject in SIMULATED["subjects"]
            for figure in figures_of("simulated", subject)
        ],
        generation=preferred_of("simulated"),
        gaze="results/simulated/gaze/search/asymmetry.tsv",
        foveation="results/simulated/foveation/robustness.tsv",
    output:
        report="results/report.html",
    log:
        "logs/report_simulated.log",
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=compute_fingerprint("plotting", "cli.report"),
    shell:
        "neurovis report build --results results/simulated --kind simulated --benchmarks logs/benchmarks"
        " --logs logs/simulated --config {input.config} --out {output.report} > {log} 2>&1"


# One data set alone, e.g. a large one on a cluster: snakemake results/real/nsd/report.html
rule report_dataset:
    input:
        config=CONFIG_USED,
        results=lambda wildcards: targets_of(f"real/{wildcards.name}"),
    output:
        report="results/real/{name}/report.html",
    log:
        "logs/real/{name}/report.log",
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=compute_fingerprint("plotting", "cli.report"),
    shell:
        "neurovis report build --results results/real/{wildcards.name} --kind real"
        " --benchmarks logs/benchmarks --logs logs/real/{wildcards.name} --config {input.config}"
        " --out {output.report} > {log} 2>&1"


rule report_real:
    input:
        config=CONFIG_USED,
        summary="results/real/summary/studies.tsv",
        datasets=lambda wildcards: [
            target for dataset in published() for target in targets_of(dataset)
        ],
    output:
        report="results/report_real.html",
    log:
        "logs/report_real.log",
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=compute_fingerprint("plotting", "cli.report"),
    shell:
        "neurovis report build --results results/real --kind real --benchmarks logs/benchmarks --logs logs/real"
        " --config {input.config} --out {output.report} > {log} 2>&1"


onerror:
    # The page of the target that was asked for: one data set, all published ones, or the simulated one.
    alone = [Path(item) for item in sys.argv if re.fullmatch(REPORT_OF_ONE, item)]
    kind = "real" if alone or "real" in sys.argv else "simulated"
    folder = alone[0].parent if alone else Path("results", kind)
    page = {"real": "results/report_real.html", "simulated": "results/report.html"}
    shell(
        f"mkdir -p {folder} && neurovis report build --results {folder} --kind {kind}"
        f" --benchmarks logs/benchmarks --logs logs/{folder.relative_to('results')}"
        f" --out {alone[0] if alone else page[kind]} || true"
    )
