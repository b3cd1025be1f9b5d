# Models of motion: their physiology, their flow beside the truth, and movies in the simulated cortex.
MOTION = "results/simulated/motion"


rule examine_motion:
    output:
        table=f"{MOTION}/physiology/stages.tsv",
    log:
        "logs/simulated/motion/examine_motion.log",
    benchmark:
        "logs/benchmarks/examine_motion/all.jsonl"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=compute_fingerprint("motion", "cli.motion"),
        seed=config["seed"],
    shell:
        "neurovis motion physiology --seed {params.seed} --out $(dirname {output.table}) > {log} 2>&1"


rule compare_flow:
    output:
        table=f"{MOTION}/flow/flow.tsv",
    log:
        "logs/simulated/motion/compare_flow.log",
    benchmark:
        "logs/benchmarks/compare_flow/all.jsonl"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=compute_fingerprint("motion", "stimuli", "cli.motion"),
        n_movies=config["motion"]["n_flow_movies"],
    shell:
        "neurovis motion compare-flow --n-movies {params.n_movies} --out $(dirname {output.table}) > {log} 2>&1"


rule encode_movies:
    output:
        table=f"{MOTION}/movies/seed-{{seed}}.tsv",
    log:
        "logs/simulated/motion/encode_movies_seed-{seed}.log",
    benchmark:
        "logs/benchmarks/encode_movies/seed-{seed}.jsonl"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=2500,
        runtime=60,
    params:
        code=compute_fingerprint(
            "motion", "datasets.simulated", "encoding", "evaluation", "metrics"
        ),
        n_movies=config["motion"]["n_movies"],
    shell:
        "neurovis motion encode-movies --seed {wildcards.seed} --n-movies {params.n_movies}"
        " --out {output.table} > {log} 2>&1"


rule summarise_movies:
    input:
        tables=expand(
            f"{MOTION}/movies/seed-{{seed}}.tsv", seed=config["motion"]["seeds"]
        ),
    output:
        table=f"{MOTION}/movies/movies.tsv",
    log:
        "logs/simulated/motion/summarise_movies.log",
    benchmark:
        "logs/benchmarks/summarise_movies/all.jsonl"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        tables=lambda wildcards, input: " ".join(
            f"--recovery {path}" for path in input.tables
        ),
    shell:
        "neurovis motion summarise-movies {params.tables} --out $(dirname {output.table}) > {log} 2>&1"


rule decode_flow:
    output:
        table=f"{MOTION}/decoding/decoding.tsv",
    log:
        "logs/simulated/motion/decode_flow.log",
    benchmark:
        "logs/benchmarks/decode_flow/all.jsonl"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=1500,
        runtime=20,
    params:
        code=compute_fingerprint(
            "decoding", "datasets.simulated.flow", "evaluation.flow_decoding"
        ),
        seed=config["seed"],
    shell:
        "neurovis motion decode-flow --seed {params.seed} --out $(dirname {output.table}) > {log} 2>&1"
