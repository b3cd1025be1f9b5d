# Visual search by models, beside people: the search-asymmetry experiments.
rule search_asymmetry:
    output:
        table="results/simulated/gaze/search/asymmetry.tsv",
    log:
        "logs/simulated/gaze/search_asymmetry.log",
    benchmark:
        "logs/benchmarks/search_asymmetry/all.jsonl"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=2500,
        runtime=120,
        gpu=GPU,
    params:
        code=compute_fingerprint("gaze", "foveation", "stimuli", "cli.gaze"),
        searchers=" ".join(
            f"--searcher '{name}'" for name in config["gaze"]["searchers"]
        ),
        conditions=" ".join(
            f"--condition {name}" for name in config["gaze"]["conditions"]
        ),
        n_trials=config["gaze"]["n_trials"],
        weights=config["gaze"]["weights"],
        device=config["device"],
        seed=config["seed"],
    shell:
        "neurovis gaze search-asymmetry {params.searchers} {params.conditions} --n-trials {params.n_trials}"
        " --weights {params.weights} --device {params.device} --seed {params.seed}"
        " --out $(dirname {output.table}) > {log} 2>&1"
