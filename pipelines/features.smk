# Feature spaces: one job per (stimulus set, feature space), shared by every subject.


rule extract_features:
    input:
        stimuli="results/{dataset}/stimuli/stimuli.json",
    output:
        features="results/{dataset}/features/{features}.nc",
    log:
        "logs/{dataset}/features/{features}.log",
    benchmark:
        "logs/benchmarks/extract_features/{dataset}/{features}.jsonl"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=2500,
        runtime=60,
    params:
        code=compute_fingerprint("features"),
    shell:
        "neurovis features extract --stimuli $(dirname {input.stimuli}) --features {wildcards.features}"
        " --out {output.features} > {log} 2>&1"
