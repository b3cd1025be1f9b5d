# Published data sets in the form that the shared rules read, and the study of each one's own question.


rule gather_stimuli:
    output:
        stimuli="results/{dataset}/stimuli/stimuli.json",
    log:
        "logs/{dataset}/gather_stimuli.log",
    benchmark:
        "logs/benchmarks/gather_stimuli/{dataset}.jsonl"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=memory_of(1500),
        runtime=lambda wildcards: resources_of(wildcards, "runtime", 30),
    params:
        code=compute_fingerprint("datasets", "io", "metrics.trials", "metrics.ceilings"),
        name=lambda wildcards: name_of(wildcards.dataset),
        root=lambda wildcards: root_option(wildcards.dataset),
        options=lambda wildcards: json.dumps(
            entry_of(wildcards.dataset).get("options", {}), sort_keys=True
        ),
        subjects=lambda wildcards: ",".join(subjects_of(wildcards.dataset)),
    shell:
        "neurovis data stimuli --dataset {params.name} --subjects {params.subjects} {params.root}"
        " --options {params.options:q} --out $(dirname {output.stimuli}) > {log} 2>&1"


rule load_responses:
    output:
        responses="results/{dataset}/responses/sub-{subject}.nc",
    log:
        "logs/{dataset}/load_responses/sub-{subject}.log",
    benchmark:
        "logs/benchmarks/load_responses/{dataset}/sub-{subject}.jsonl"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=memory_of(1500),
        runtime=lambda wildcards: resources_of(wildcards, "runtime", 30),
    params:
        code=compute_fingerprint("datasets", "io", "metrics.trials", "metrics.ceilings"),
        name=lambda wildcards: name_of(wildcards.dataset),
        root=lambda wildcards: root_option(wildcards.dataset),
        options=lambda wildcards: json.dumps(
            entry_of(wildcards.dataset).get("options", {}), sort_keys=True
        ),
    shell:
        "neurovis data load --dataset {params.name} --subject {wildcards.subject} {params.root}"
        " --options {params.options:q} --out {output.responses} > {log} 2>&1"


rule run_study:
    output:
        table="results/real/{study}/study/table.tsv",
    log:
        "logs/real/{study}/study.log",
    benchmark:
        "logs/benchmarks/run_study/{study}.jsonl"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=3000,
        runtime=60,
    params:
        code=compute_fingerprint("evaluation.studies"),
        root=lambda wildcards: find_real_root(config),
        n_permutations=config["real"]["n_permutations"],
        seed=config["seed"],
    shell:
        "neurovis study run --study {wildcards.study} --root {params.root:q} --seed {params.seed}"
        " --n-permutations {params.n_permutations} --out $(dirname {output.table}) > {log} 2>&1"


rule summarise_studies:
    input:
        tables=lambda wildcards: expand(
            "results/real/{study}/study/table.tsv",
            study=find_available(config, config["real"]["studies"]),
        ),
    output:
        table="results/real/summary/studies.tsv",
    log:
        "logs/real/summarise_studies.log",
    benchmark:
        "logs/benchmarks/summarise_studies/all.jsonl"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        tables=lambda wildcards, input: " ".join(
            f"--table {path}" for path in input.tables
        ),
    shell:
        "neurovis study summarise {params.tables} --out {output.table} > {log} 2>&1"


ruleorder: make_world > gather_stimuli
ruleorder: fit_glm > load_responses
