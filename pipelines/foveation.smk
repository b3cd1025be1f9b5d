# Foveated vision: what a log-polar retina changes in rotation, zoom and localisation.
rule compare_foveation:
    output:
        table="results/simulated/foveation/robustness.tsv",
    log:
        "logs/simulated/foveation/compare_foveation.log",
    benchmark:
        "logs/benchmarks/compare_foveation/all.jsonl"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=2500,
        runtime=60,
    params:
        code=compute_fingerprint("foveation", "cli.foveation"),
        n_images=config["foveation"]["n_images"],
        worlds=" ".join(f"--world-seed {seed}" for seed in config["foveation"]["seeds"]),
        seed=config["seed"],
    shell:
        "neurovis foveation compare --n-images {params.n_images} {params.worlds} --seed {params.seed}"
        " --out $(dirname {output.table}) > {log} 2>&1"
