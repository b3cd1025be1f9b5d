# Feature spaces: one job per (stimulus set, feature space), shared by every subject.


rule extract_features:
    input:
        stimuli="results/{dataset}/stimuli/stimuli.json",
    output:
        features="results/{dataset}/features/{space}.nc",
    log:
        "logs/{dataset}/features/{space}.log",
    benchmark:
        "logs/benchmarks/extract_features/{dataset}/{space}.jsonl"
    conda:
        ENV
    threads: lambda wildcards: resources_of(wildcards, "threads", 1)
    resources:
        mem_mb=memory_of(2500),
        runtime=lambda wildcards: resources_of(wildcards, "runtime", 60),
        gpu=GPU,
    params:
        code=lambda wildcards: compute_fingerprint(*code_of(wildcards.space)),
        name=lambda wildcards: space_of(wildcards.space)["space"],
        options=lambda wildcards: json.dumps(
            space_of(wildcards.space).get("options", {}), sort_keys=True
        ),
        extract=lambda wildcards: " ".join(
            f"--{key} {shlex.quote(str(value))}"
            for key, values in space_of(wildcards.space).get("extract", {}).items()
            for value in (values if isinstance(values, list) else [values])
        ),
        device=config["device"],
        seed=config["seed"],
    shell:
        "neurovis features extract --stimuli $(dirname {input.stimuli}) --features {params.name}"
        " --options {params.options:q} {params.extract} --device {params.device}"
        " --seed {params.seed} --out {output.features} > {log} 2>&1"
