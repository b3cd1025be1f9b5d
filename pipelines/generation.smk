# Images that regions prefer: an encoder of one half of the training stimuli guides, others judge.
GENERATED = "results/{dataset}/generation/sub-{subject}"


rule fit_role:
    # guide: what the images follow; judge: another backbone, fitted to the stimuli that the guide never saw.
    input:
        stimuli="results/{dataset}/stimuli/stimuli.json",
        features=lambda wildcards: f"results/{wildcards.dataset}/features/{GENERATION[wildcards.role]}.nc",
        responses="results/{dataset}/responses/sub-{subject}.nc",
    output:
        result=f"{GENERATED}_role-{{role}}_encoding.nc",
        weights=f"{GENERATED}_role-{{role}}_weights.safetensors",
    log:
        "logs/{dataset}/generation/fit_sub-{subject}_role-{role}.log",
    benchmark:
        "logs/benchmarks/fit_role/{dataset}/sub-{subject}_{role}.jsonl"
    wildcard_constraints:
        role="guide|judge",
    conda:
        ENV
    threads: lambda wildcards: resources_of(wildcards, "threads", 1)
    resources:
        mem_mb=memory_of(2500),
        runtime=lambda wildcards: resources_of(wildcards, "runtime", 120),
    params:
        code=compute_fingerprint(
            "encoding", "evaluation.encoding", "evaluation.preparation", "metrics"
        ),
        part=lambda wildcards: {"guide": "1/2", "judge": "2/2"}[wildcards.role],
        n_permutations=config["encoding"]["n_permutations"],
        seed=config["seed"],
    shell:
        "neurovis encoding fit --stimuli $(dirname {input.stimuli}) --features {input.features}"
        " --responses {input.responses} --part {params.part} --n-permutations {params.n_permutations}"
        " --seed {params.seed} --out {output.result} --weights {output.weights} > {log} 2>&1"


rule find_subregions:
    # The guide's space, but encoders of all training stimuli and all subjects: parts are named alike in them.
    input:
        encoding=lambda wildcards: guide_encoders_of(wildcards.dataset, "encoding.nc"),
        weights=lambda wildcards: guide_encoders_of(
            wildcards.dataset, "weights.safetensors"
        ),
        features="results/{dataset}/features/%s.nc" % GENERATION["guide"],
        stimuli="results/{dataset}/stimuli/stimuli.json",
        truth=lambda wildcards: [
            path
            for subject in subjects_of(wildcards.dataset)
            for path in truth_of(wildcards.dataset, subject)
        ],
    output:
        table="results/{dataset}/generation/subregions/neuroids.tsv",
    log:
        "logs/{dataset}/generation/find_subregions.log",
    benchmark:
        "logs/benchmarks/find_subregions/{dataset}/all.jsonl"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=memory_of(2500),
        runtime=lambda wildcards: resources_of(wildcards, "runtime", 60),
    params:
        code=compute_fingerprint(
            "generation.subregions", "evaluation.subregions", "cli.subregions"
        ),
        files=lambda wildcards, input: " ".join(
            [
                *(f"--encoding {path}" for path in input.encoding),
                *(f"--weights {path}" for path in input.weights),
                *(f"--truth {Path(path).parent}" for path in input.truth),
            ]
        ),
        regions=" ".join(
            f"--region {name}" for name in GENERATION["subregions"]["regions"]
        ),
        options=command_options(GENERATION["subregions"]["options"]),
        seed=config["seed"],
    shell:
        "neurovis generation subregions {params.files} --features {input.features}"
        " --stimuli $(dirname {input.stimuli}) {params.regions} {params.options} --seed {params.seed}"
        " --out $(dirname {output.table}) > {log} 2>&1"


rule guide_images:
    input:
        encoding=f"{GENERATED}_role-guide_encoding.nc",
        weights=f"{GENERATED}_role-guide_weights.safetensors",
    output:
        images=f"{GENERATED}/region-{{region}}/stimuli.json",
    log:
        "logs/{dataset}/generation/guide_sub-{subject}_region-{region}.log",
    benchmark:
        "logs/benchmarks/guide_images/{dataset}/sub-{subject}_{region}.jsonl"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=memory_of(3000),
        runtime=lambda wildcards: resources_of(wildcards, "runtime", 240),
        gpu=GPU,
    params:
        code=compute_fingerprint(
            "generation", "features.differentiable", "encoding.torch_bridge"
        ),
        space=space_option("features", GENERATION["guide"]),
        options=lambda wildcards: command_options(
            {**GENERATION["options"], **REGIONS[wildcards.region].get("options", {})}
        ),
        scales=lambda wildcards: " ".join(
            f"--scale {scale}"
            for scale in REGIONS[wildcards.region].get("scales", GENERATION["scales"])
        ),
        controls=" ".join(f"--control '{name}'" for name in GENERATION["controls"]),
        model=GENERATION["model"],
        n_seeds=GENERATION["n_seeds"],
        device=config["device"],
        seed=config["seed"],
    shell:
        "neurovis generation guide --encoding {input.encoding} --weights {input.weights} {params.space}"
        " --region {wildcards.region} --model {params.model:q} {params.scales} {params.controls}"
        " --n-seeds {params.n_seeds} {params.options} --device {params.device} --seed {params.seed} --replace"
        " --out $(dirname {output.images}) > {log} 2>&1"


rule judge_images:
    input:
        images=lambda wildcards: expand(
            f"{GENERATED}/region-{{region}}/stimuli.json",
            region=REGIONS,
            allow_missing=True,
        ),
        stimuli="results/{dataset}/stimuli/stimuli.json",
        encoding=f"{GENERATED}_role-guide_encoding.nc",
        weights=f"{GENERATED}_role-guide_weights.safetensors",
        held_out=f"{GENERATED}_role-judge_weights.safetensors",
        responses="results/{dataset}/responses/sub-{subject}.nc",
        truth=lambda wildcards: truth_of(wildcards.dataset, wildcards.subject),
    output:
        table="results/{dataset}/generation/figures/sub-{subject}/summary.tsv",
    log:
        "logs/{dataset}/generation/judge_sub-{subject}.log",
    benchmark:
        "logs/benchmarks/judge_images/{dataset}/sub-{subject}.jsonl"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=memory_of(3000),
        runtime=lambda wildcards: resources_of(wildcards, "runtime", 120),
        gpu=GPU,
    params:
        code=compute_fingerprint(
            "evaluation.generation", "features.world_judge", "plotting"
        ),
        images=lambda wildcards, input: " ".join(
            f"--images {Path(path).parent}" for path in input.images
        ),
        truth=lambda wildcards, input: (
            f"--truth {Path(input.truth[0]).parent}" if input.truth else ""
        ),
        spaces=" ".join(
            [
                space_option("features", GENERATION["guide"]),
                space_option("held-out", GENERATION["judge"]),
            ]
        ),
        categories=CATEGORIES,
        prompts=json.dumps(GENERATION["prompts"]),
        viewer=GENERATION["viewer"],
        n_views=GENERATION["options"].get("n_views", 1),
        device=config["device"],
        seed=config["seed"],
    shell:
        "neurovis generation evaluate {params.images} --stimuli $(dirname {input.stimuli})"
        " --encoding {input.encoding} --weights {input.weights} --held-out-weights {input.held_out}"
        " {params.spaces} --categories {params.categories:q} --prompts {params.prompts:q}"
        " --judge {params.viewer} --n-views {params.n_views} --responses {input.responses} {params.truth}"
        " --subject {wildcards.subject} --device {params.device} --seed {params.seed} --out $(dirname {output.table}) > {log} 2>&1"
