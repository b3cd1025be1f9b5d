# The embedded default: a world of images, subjects scanned into BIDS files, single-trial betas.


rule make_world:
    output:
        stimuli="results/simulated/stimuli/stimuli.json",
    log:
        "logs/simulated/make_world.log",
    benchmark:
        "logs/benchmarks/make_world/simulated.jsonl"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        code=compute_fingerprint("stimuli"),
        n_train=config["world"]["n_train"],
        n_test=config["world"]["n_test"],
        size_px=config["world"]["size_px"],
        seed=config["seed"],
    shell:
        "neurovis stimuli make-world --out $(dirname {output.stimuli}) --n-train {params.n_train}"
        " --n-test {params.n_test} --size-px {params.size_px} --seed {params.seed} --replace"
        " > {log} 2>&1"


rule make_bids_dataset:
    input:
        stimuli="results/simulated/stimuli/stimuli.json",
    output:
        description="results/simulated/bids/dataset_description.json",
    log:
        "logs/simulated/make_bids_dataset.log",
    benchmark:
        "logs/benchmarks/make_bids_dataset/simulated.jsonl"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        subjects=",".join(SIMULATED["subjects"]),
        t_r=SIMULATED["t_r"],
        seed=config["seed"],
    shell:
        "neurovis simulate bids-dataset --stimuli $(dirname {input.stimuli}) --out $(dirname {output.description})"
        " --subjects {params.subjects} --t-r {params.t_r} --seed {params.seed} > {log} 2>&1"


rule scan_subject:
    input:
        stimuli="results/simulated/stimuli/stimuli.json",
        description="results/simulated/bids/dataset_description.json",
    output:
        truth="results/simulated/truth/sub-{subject}/truth.json",
    log:
        "logs/simulated/scan_subject/sub-{subject}.log",
    benchmark:
        "logs/benchmarks/scan_subject/sub-{subject}.jsonl"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=2500,
        runtime=60,
    params:
        code=compute_fingerprint("datasets.simulated"),
        n_train=SIMULATED["n_train"],
        n_test=SIMULATED["n_test"],
        n_test_repeats=SIMULATED["n_test_repeats"],
        n_runs=SIMULATED["n_runs"],
        t_r=SIMULATED["t_r"],
        bold=SIMULATED["bold"],
        seed=config["seed"],
    shell:
        "neurovis simulate bids-subject --subject {wildcards.subject} --stimuli $(dirname {input.stimuli})"
        " --bids $(dirname {input.description}) --truth $(dirname {output.truth}) --n-train {params.n_train}"
        " --n-test {params.n_test} --n-test-repeats {params.n_test_repeats} --n-runs {params.n_runs}"
        " --t-r {params.t_r} --bold {params.bold} --seed {params.seed} --replace > {log} 2>&1"


rule fit_glm:
    # The truth marks a complete subject; the GLM itself reads the BIDS data set alone.
    input:
        scanned="results/simulated/truth/sub-{subject}/truth.json",
        description="results/simulated/bids/dataset_description.json",
    output:
        betas="results/simulated/responses/sub-{subject}.nc",
    log:
        "logs/simulated/fit_glm/sub-{subject}.log",
    benchmark:
        "logs/benchmarks/fit_glm/sub-{subject}.jsonl"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=2500,
        runtime=60,
    params:
        code=compute_fingerprint(
            "datasets.bids", "datasets.bids_mask", "datasets.single_trial", "io"
        ),
        method=config["glm"]["method"],
        noise_model=config["glm"]["noise_model"],
        space="--space fsaverage5" if SIMULATED["bold"] == "surface" else "",
    shell:
        "neurovis fmri glm --bids $(dirname {input.description}) --subject {wildcards.subject} {params.space}"
        " --regions regions --method {params.method} --noise-model {params.noise_model}"
        " --out {output.betas} > {log} 2>&1"


rule score_truth:
    input:
        truth="results/simulated/truth/sub-{subject}/truth.json",
        encoding=expand(
            "results/simulated/encoding/sub-{{subject}}_features-{features}_encoder-ridge_encoding.nc",
            features=config["features"],
        ),
        responses="results/simulated/responses/sub-{subject}.nc",
        preference="results/simulated/preference/sub-{subject}.tsv",
        stimuli="results/simulated/stimuli/stimuli.json",
    output:
        table="results/simulated/truth_scores/sub-{subject}.tsv",
    log:
        "logs/simulated/score_truth/sub-{subject}.log",
    benchmark:
        "logs/benchmarks/score_truth/sub-{subject}.jsonl"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=1500,
        runtime=30,
    params:
        code=compute_fingerprint("evaluation.truth"),
        encoding=lambda wildcards, input: " ".join(
            f"--encoding {path}" for path in input.encoding
        ),
        fdr=config["encoding"]["fdr"],
    shell:
        "neurovis evaluation truth --truth $(dirname {input.truth}) {params.encoding}"
        " --responses {input.responses} --stimuli $(dirname {input.stimuli}) --preference {input.preference}"
        " --fdr {params.fdr} --out {output.table} > {log} 2>&1"


rule recover_seed:
    input:
        stimuli="results/simulated/stimuli/stimuli.json",
        features=expand(
            "results/simulated/features/{features}.nc",
            features=config["recovery"]["features"],
        ),
    output:
        table="results/simulated/recovery/seed-{seed}.tsv",
    log:
        "logs/simulated/recovery/seed-{seed}.log",
    benchmark:
        "logs/benchmarks/recover_seed/seed-{seed}.jsonl"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=2500,
        runtime=60,
    params:
        code=compute_fingerprint(
            "datasets.simulated", "evaluation", "encoding", "metrics"
        ),
        features=lambda wildcards, input: " ".join(
            f"--features {path}" for path in input.features
        ),
        n_test_repeats=config["recovery"]["n_test_repeats"],
        n_permutations=config["encoding"]["n_permutations"],
    shell:
        "neurovis evaluation recovery --stimuli $(dirname {input.stimuli}) {params.features}"
        " --seed {wildcards.seed} --n-test-repeats {params.n_test_repeats}"
        " --n-permutations {params.n_permutations} --out {output.table} > {log} 2>&1"


rule summarise_recovery:
    input:
        tables=expand(
            "results/simulated/recovery/seed-{seed}.tsv",
            seed=config["recovery"]["seeds"],
        ),
    output:
        checks="results/simulated/recovery/checks.tsv",
        table="results/simulated/recovery/recovery.tsv",
    log:
        "logs/simulated/recovery/summarise.log",
    benchmark:
        "logs/benchmarks/summarise_recovery/all.jsonl"
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
        "neurovis evaluation summarise-recovery {params.tables} --out $(dirname {output.checks}) > {log} 2>&1"
