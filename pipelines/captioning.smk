# Captions of voxels: encoder weights, projected onto a bank of natural images, as sentences.
CAPTIONED = "results/{dataset}/captioning"


rule make_bank_images:
    # Other scenes than those that the subjects saw, drawn with a seed of their own.
    output:
        stimuli="results/simulated/captioning/images/stimuli.json",
    log:
        "logs/simulated/captioning/make_bank_images.log",
    benchmark:
        "logs/benchmarks/make_bank_images/simulated.jsonl"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=1000,
        runtime=60,
    params:
        code=compute_fingerprint("stimuli"),
        n_images=CAPTIONING["n_bank"],
        size_px=config["world"]["size_px"],
        seed=config["seed"] + 7000,
    shell:
        "neurovis stimuli make-world --out $(dirname {output.stimuli}) --n-train {params.n_images} --n-test 0"
        " --size-px {params.size_px} --seed {params.seed} --replace > {log} 2>&1"


rule build_bank:
    input:
        images=lambda wildcards: bank_images_of(wildcards.dataset),
    output:
        index=f"{CAPTIONED}/bank/index.json",
    log:
        "logs/{dataset}/captioning/build_bank.log",
    benchmark:
        "logs/benchmarks/build_bank/{dataset}/all.jsonl"
    conda:
        ENV
    threads: lambda wildcards: resources_of(wildcards, "threads", 1)
    resources:
        mem_mb=memory_of(3000),
        runtime=lambda wildcards: resources_of(wildcards, "runtime", 240),
        gpu=GPU,
    params:
        sources=lambda wildcards, input: bank_options_of(
            wildcards.dataset, input.images
        ),
        space=space_option("features", CAPTIONING["bank_features"]),
        device=config["device"],
    shell:
        "neurovis captioning build-bank {params.space} {params.sources} --device {params.device}"
        " --out $(dirname {output.index}) > {log} 2>&1"


rule caption_voxels:
    input:
        encoding="results/{dataset}/encoding/sub-{subject}_features-%s_encoder-ridge_encoding.nc"
        % CAPTIONING["features"],
        weights="results/{dataset}/encoding/sub-{subject}_features-%s_encoder-ridge_weights.safetensors"
        % CAPTIONING["features"],
        bank=f"{CAPTIONED}/bank/index.json",
        stimuli="results/{dataset}/stimuli/stimuli.json",
    output:
        captions=f"{CAPTIONED}/sub-{{subject}}/random_images.tsv",
    log:
        "logs/{dataset}/captioning/caption_sub-{subject}.log",
    benchmark:
        "logs/benchmarks/caption_voxels/{dataset}/sub-{subject}.jsonl"
    conda:
        ENV
    threads: lambda wildcards: resources_of(wildcards, "threads", 1)
    resources:
        mem_mb=memory_of(3000),
        runtime=lambda wildcards: resources_of(wildcards, "runtime", 240),
        gpu=GPU,
    params:
        code=compute_fingerprint("captioning"),
        regions=" ".join(f"--region {name}" for name in CAPTIONING["regions"]),
        options=command_options(CAPTIONING["options"]),
        captioner=CAPTIONING["captioner"],
        device=config["device"],
        seed=config["seed"],
    shell:
        "neurovis captioning caption --encoding {input.encoding} --weights {input.weights}"
        " --bank $(dirname {input.bank}) --evaluated $(dirname {input.stimuli})"
        " --captioner {params.captioner:q} {params.regions} {params.options} --device {params.device}"
        " --seed {params.seed} --replace --out $(dirname {output.captions}) > {log} 2>&1"


rule evaluate_captions:
    input:
        captions=f"{CAPTIONED}/sub-{{subject}}/random_images.tsv",
        encoding="results/{dataset}/encoding/sub-{subject}_features-%s_encoder-ridge_encoding.nc"
        % CAPTIONING["features"],
        weights="results/{dataset}/encoding/sub-{subject}_features-%s_encoder-ridge_weights.safetensors"
        % CAPTIONING["features"],
        features="results/{dataset}/features/%s.nc" % CAPTIONING["features"],
        stimuli="results/{dataset}/stimuli/stimuli.json",
        truth=lambda wildcards: truth_of(wildcards.dataset, wildcards.subject),
    output:
        table=f"{CAPTIONED}/figures/sub-{{subject}}/summary.tsv",
    log:
        "logs/{dataset}/captioning/evaluate_sub-{subject}.log",
    benchmark:
        "logs/benchmarks/evaluate_captions/{dataset}/sub-{subject}.jsonl"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=memory_of(2500),
        runtime=lambda wildcards: resources_of(wildcards, "runtime", 120),
    params:
        code=compute_fingerprint("captioning", "evaluation.captions", "plotting"),
        truth=lambda wildcards, input: (
            f"--truth {Path(input.truth[0]).parent} --bank-stimuli results/simulated/captioning/images"
            if input.truth
            else ""
        ),
        texts=space_option("texts", CAPTIONING["texts"]),
        seed=config["seed"],
    shell:
        "neurovis captioning evaluate --captions $(dirname {input.captions}) --encoding {input.encoding}"
        " --weights {input.weights} --features {input.features} --stimuli $(dirname {input.stimuli})"
        " {params.texts} {params.truth} --subject {wildcards.subject} --seed {params.seed}"
        " --out $(dirname {output.table}) > {log} 2>&1"


rule illustrate_captions:
    # Neither the captioned encoder nor its backbone judges: the held-out encoder is that of guided images.
    input:
        captions=f"{CAPTIONED}/sub-{{subject}}/random_images.tsv",
        encoding="results/{dataset}/encoding/sub-{subject}_features-%s_encoder-ridge_encoding.nc"
        % CAPTIONING["features"],
        weights="results/{dataset}/encoding/sub-{subject}_features-%s_encoder-ridge_weights.safetensors"
        % CAPTIONING["features"],
        held_out=f"{GENERATED}_role-judge_weights.safetensors",
        stimuli="results/{dataset}/stimuli/stimuli.json",
        truth=lambda wildcards: truth_of(wildcards.dataset, wildcards.subject),
    output:
        table=f"{CAPTIONED}/illustrations/sub-{{subject}}/summary.tsv",
    log:
        "logs/{dataset}/captioning/illustrate_sub-{subject}.log",
    benchmark:
        "logs/benchmarks/illustrate_captions/{dataset}/sub-{subject}.jsonl"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=memory_of(3000),
        runtime=lambda wildcards: resources_of(wildcards, "runtime", 120),
        gpu=GPU,
    params:
        code=compute_fingerprint(
            "generation",
            "evaluation.illustrations",
            "evaluation.generation",
            "cli.illustration",
        ),
        spaces=" ".join(
            [
                space_option("features", CAPTIONING["features"]),
                space_option("held-out", GENERATION["judge"]),
            ]
        ),
        truth=lambda wildcards, input: (
            f"--truth {Path(input.truth[0]).parent}" if input.truth else ""
        ),
        categories=CATEGORIES,
        prompts=json.dumps(GENERATION["prompts"]),
        viewer=GENERATION["viewer"],
        model=GENERATION["model"],
        options=command_options(CAPTIONING["illustrations"]),
        device=config["device"],
        seed=config["seed"],
    shell:
        "neurovis captioning illustrate --captions $(dirname {input.captions}) --encoding {input.encoding}"
        " --weights {input.weights} --held-out-weights {input.held_out} {params.spaces}"
        " --stimuli $(dirname {input.stimuli}) --categories {params.categories:q}"
        " --prompts {params.prompts:q} --judge {params.viewer} --model {params.model:q} {params.truth}"
        " {params.options} --subject {wildcards.subject} --device {params.device} --seed {params.seed}"
        " --replace --out $(dirname {output.table}) > {log} 2>&1"
