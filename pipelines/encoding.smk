# Voxel encoders: one job per subject and model; regions and neuroids are loops inside.


rule fit_encoder:
    input:
        stimuli="results/{dataset}/stimuli/stimuli.json",
        features=lambda wildcards: expand(
            "results/{{dataset}}/features/{space}.nc",
            space=wildcards.features.split("+"),
        ),
        responses="results/{dataset}/responses/sub-{subject}.nc",
    output:
        result="results/{dataset}/encoding/sub-{subject}_features-{features}_encoder-{encoder}_encoding.nc",
        prediction="results/{dataset}/encoding/sub-{subject}_features-{features}_encoder-{encoder}_prediction.nc",
        weights="results/{dataset}/encoding/sub-{subject}_features-{features}_encoder-{encoder}_weights.safetensors",
    log:
        "logs/{dataset}/encoding/sub-{subject}_features-{features}_encoder-{encoder}.log",
    benchmark:
        "logs/benchmarks/fit_encoder/{dataset}/sub-{subject}_{features}_{encoder}.jsonl"
    conda:
        ENV
    threads: lambda wildcards: resources_of(wildcards, "threads", 1)
    resources:
        mem_mb=memory_of(2500),
        runtime=lambda wildcards: resources_of(wildcards, "runtime", 120),
        gpu=GPU,
    params:
        code=compute_fingerprint(
            "encoding", "evaluation.encoding", "evaluation.preparation", "metrics"
        ),
        features=lambda wildcards, input: parts_of(input.features),
        options=lambda wildcards: options_of(
            config["encoding"]["options"], wildcards.encoder
        ),
        n_permutations=config["encoding"]["n_permutations"],
        fdr=config["encoding"]["fdr"],
        device=config["device"],
        seed=config["seed"],
    shell:
        "neurovis encoding fit --stimuli $(dirname {input.stimuli}) {params.features}"
        " --responses {input.responses} --encoder {wildcards.encoder} --options {params.options:q}"
        " --n-permutations {params.n_permutations} --fdr {params.fdr} --device {params.device}"
        " --seed {params.seed} --out {output.result} --prediction {output.prediction}"
        " --weights {output.weights} > {log} 2>&1"


rule compare_models:
    input:
        encoding=lambda wildcards: encoding_of(wildcards.dataset, wildcards.subject),
        predictions=lambda wildcards: encoding_of(
            wildcards.dataset, wildcards.subject, "prediction.nc"
        ),
    output:
        table="results/{dataset}/figures/sub-{subject}_comparison.tsv",
    log:
        "logs/{dataset}/compare_models/sub-{subject}.log",
    benchmark:
        "logs/benchmarks/compare_models/{dataset}/sub-{subject}.jsonl"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=memory_of(1500),
        runtime=30,
    params:
        code=compute_fingerprint(
            "evaluation.comparison",
            "evaluation.encoding",
            "evaluation.preparation",
            "metrics",
            "cli.encoding",
        ),
        files=lambda wildcards, input: " ".join(
            [f"--encoding {path}" for path in input.encoding]
            + [f"--prediction {path}" for path in input.predictions]
        ),
        reference=lambda wildcards: reference_option(wildcards.dataset),
        section=lambda wildcards: section_of(wildcards.dataset, "Encoding"),
        n_bootstraps=config["rsa"]["n_bootstraps"],
        seed=config["seed"],
    shell:
        "neurovis encoding compare {params.files} {params.reference} --n-bootstraps {params.n_bootstraps}"
        " --subject {wildcards.subject} --section '{params.section}' --seed {params.seed}"
        " --out {output.table} > {log} 2>&1"


rule partition_variance:
    input:
        stimuli="results/{dataset}/stimuli/stimuli.json",
        features=lambda wildcards: expand(
            "results/{{dataset}}/features/{space}.nc",
            space=wildcards.features.split("+"),
        ),
        responses="results/{dataset}/responses/sub-{subject}.nc",
    output:
        table="results/{dataset}/figures/sub-{subject}_features-{features}_partition.tsv",
    log:
        "logs/{dataset}/partition_variance/sub-{subject}_features-{features}.log",
    benchmark:
        "logs/benchmarks/partition_variance/{dataset}/sub-{subject}_{features}.jsonl"
    conda:
        ENV
    threads: lambda wildcards: resources_of(wildcards, "threads", 1)
    resources:
        mem_mb=memory_of(2500),
        runtime=lambda wildcards: resources_of(wildcards, "runtime", 120),
        gpu=GPU,
    params:
        code=compute_fingerprint(
            "encoding",
            "evaluation.partitioning",
            "evaluation.encoding",
            "evaluation.preparation",
            "metrics",
        ),
        features=lambda wildcards, input: parts_of(input.features),
        options=options_of(config["encoding"]["options"], "banded-ridge"),
        section=lambda wildcards: section_of(wildcards.dataset, "Encoding"),
        n_permutations=config["encoding"]["n_permutations"],
        n_bootstraps=config["rsa"]["n_bootstraps"],
        device=config["device"],
        seed=config["seed"],
    shell:
        "neurovis encoding partition --stimuli $(dirname {input.stimuli}) {params.features}"
        " --responses {input.responses} --options {params.options:q} --n-permutations {params.n_permutations}"
        " --n-bootstraps {params.n_bootstraps} --device {params.device}"
        " --subject {wildcards.subject} --section '{params.section}' --seed {params.seed}"
        " --out {output.table} > {log} 2>&1"
