# Voxel encoders: one job per subject and feature space; regions and neuroids are loops inside.


rule fit_encoder:
    input:
        stimuli="results/{dataset}/stimuli/stimuli.json",
        features="results/{dataset}/features/{features}.nc",
        responses="results/{dataset}/responses/sub-{subject}.nc",
    output:
        result="results/{dataset}/encoding/sub-{subject}_features-{features}_encoding.nc",
    log:
        "logs/{dataset}/encoding/sub-{subject}_features-{features}.log",
    benchmark:
        "logs/benchmarks/fit_encoder/{dataset}/sub-{subject}_{features}.jsonl"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=2500,
        runtime=120,
    params:
        code=compute_fingerprint(
            "encoding", "evaluation.encoding", "evaluation.preparation", "metrics"
        ),
        n_permutations=config["encoding"]["n_permutations"],
        fdr=config["encoding"]["fdr"],
        seed=config["seed"],
    shell:
        "neurovis encoding fit --stimuli $(dirname {input.stimuli}) --features {input.features}"
        " --responses {input.responses} --n-permutations {params.n_permutations} --fdr {params.fdr}"
        " --seed {params.seed} --out {output.result} > {log} 2>&1"
