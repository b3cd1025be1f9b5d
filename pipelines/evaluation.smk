# What the models are worth: figures of the encoders, preference, RSA and Brain-Score's own metrics.


rule plot_stimuli:
    input:
        stimuli="results/{dataset}/stimuli/stimuli.json",
    output:
        figure="results/{dataset}/figures/stimuli.png",
    log:
        "logs/{dataset}/plot_stimuli.log",
    benchmark:
        "logs/benchmarks/plot_stimuli/{dataset}.jsonl"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        section=lambda wildcards: section_of(wildcards.dataset, "Stimuli"),
    shell:
        "neurovis plot stimuli --stimuli $(dirname {input.stimuli}) --section '{params.section}'"
        " --out {output.figure} > {log} 2>&1"


rule plot_encoding:
    input:
        encoding=lambda wildcards: encoding_of(wildcards.dataset, wildcards.subject),
    output:
        figure="results/{dataset}/figures/sub-{subject}_features.png",
    log:
        "logs/{dataset}/plot_encoding/sub-{subject}.log",
    benchmark:
        "logs/benchmarks/plot_encoding/{dataset}/sub-{subject}.jsonl"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=1500,
        runtime=10,
    params:
        code=compute_fingerprint("plotting", "cli.plot"),
        encoding=lambda wildcards, input: " ".join(
            f"--encoding {path}" for path in input.encoding
        ),
        section=lambda wildcards: section_of(wildcards.dataset, "Encoding"),
        fdr=config["encoding"]["fdr"],
    shell:
        "neurovis plot encoding {params.encoding} --subject {wildcards.subject} --section '{params.section}'"
        " --fdr {params.fdr} --out $(dirname {output.figure}) > {log} 2>&1"


rule find_preference:
    input:
        stimuli="results/simulated/stimuli/stimuli.json",
        responses="results/simulated/responses/sub-{subject}.nc",
    output:
        table="results/simulated/preference/sub-{subject}.tsv",
        figure="results/simulated/figures/sub-{subject}_preference.png",
    log:
        "logs/simulated/find_preference/sub-{subject}.log",
    benchmark:
        "logs/benchmarks/find_preference/sub-{subject}.jsonl"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=1500,
        runtime=30,
    params:
        code=compute_fingerprint("evaluation.preference", "evaluation.preparation"),
        fdr=config["encoding"]["fdr"],
        seed=config["seed"],
    shell:
        "(neurovis evaluation preference --responses {input.responses} --stimuli $(dirname {input.stimuli})"
        " --seed {params.seed} --out {output.table} &&"
        " neurovis plot preference --preference {output.table} --responses {input.responses}"
        " --subject {wildcards.subject} --fdr {params.fdr} --out {output.figure}) > {log} 2>&1"


rule run_rsa:
    input:
        features=lambda wildcards: expand(
            "results/{dataset}/features/{features}.nc",
            dataset=wildcards.dataset,
            features=features_of(wildcards.dataset),
        ),
        responses=lambda wildcards: expand(
            "results/{dataset}/responses/sub-{subject}.nc",
            dataset=wildcards.dataset,
            subject=rsa_subjects_of(wildcards.dataset),
        ),
        stimuli="results/{dataset}/stimuli/stimuli.json",
    output:
        table="results/{dataset}/rsa/rsa.tsv",
    log:
        "logs/{dataset}/run_rsa.log",
    benchmark:
        "logs/benchmarks/run_rsa/{dataset}.jsonl"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=memory_of(2000),
        runtime=lambda wildcards: resources_of(wildcards, "runtime", 60),
    params:
        code=compute_fingerprint("evaluation.rsa", "metrics"),
        features=lambda wildcards, input: " ".join(
            f"--features {path}" for path in input.features
        ),
        responses=lambda wildcards, input: " ".join(
            f"--responses {path}" for path in input.responses
        ),
        n_permutations=config["rsa"]["n_permutations"],
        n_bootstraps=config["rsa"]["n_bootstraps"],
        section=lambda wildcards: section_of(
            wildcards.dataset, "Representational similarity"
        ),
        seed=config["seed"],
    shell:
        "neurovis evaluation rsa {params.features} {params.responses} --stimuli $(dirname {input.stimuli})"
        " --n-permutations {params.n_permutations} --n-bootstraps {params.n_bootstraps} --seed {params.seed}"
        " --section '{params.section}' --out $(dirname {output.table}) > {log} 2>&1"


rule score_brainscore:
    input:
        features=expand(
            "results/simulated/features/{features}.nc",
            features=config["brainscore"]["features"],
        ),
        responses="results/simulated/responses/sub-{subject}.nc",
        stimuli="results/simulated/stimuli/stimuli.json",
    output:
        table="results/simulated/brainscore/sub-{subject}.tsv",
    log:
        "logs/simulated/score_brainscore/sub-{subject}.log",
    benchmark:
        "logs/benchmarks/score_brainscore/sub-{subject}.jsonl"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=2500,
        runtime=60,
    params:
        code=compute_fingerprint(
            "evaluation.brainscore", "evaluation.brainscore_scoring"
        ),
        features=lambda wildcards, input: " ".join(
            f"--features {path}" for path in input.features
        ),
        regions=",".join(config["brainscore"]["regions"]),
        metrics=",".join(config["brainscore"]["metrics"]),
    shell:
        "neurovis evaluation brainscore {params.features} --responses {input.responses}"
        " --stimuli $(dirname {input.stimuli}) --regions {params.regions} --metrics {params.metrics}"
        " --out {output.table} > {log} 2>&1"
