"""A small fabricated copy of the perceived-flow data, with deviations from the truth that people share."""

import numpy as np
import pandas as pd
from scipy.io import savemat


def make_perceived_flow(root, *, effect=1.0, seed=0):
    """``effect`` scales what reports know: of the truth, and of each other's deviations."""
    rng = np.random.default_rng(seed)
    folder = root / "perceived_flow"
    for name in ("sintel_slow", "temporal", "second_order"):
        (folder / name).mkdir(parents=True)

    def report(truth, shared, noise=0.3):
        return effect * (truth + shared) + noise * rng.normal(size=truth.shape)

    _write_probes(folder, rng, report)
    truth = rng.normal(scale=2, size=(2, 36, 3))
    human = report(truth, rng.normal(size=truth.shape))
    arrays = {"HumanResp": human, "SintelGT": truth, "movie_index": np.array([[1, 2, 3]])}
    savemat(folder / "sintel_slow" / "sintel_slow.mat", arrays)

    truth = rng.normal(scale=2, size=(2, 4, 2, 5, 5, 15))
    probed = truth[..., 7]
    shared = rng.normal(size=probed.shape)
    raw = np.stack([[report(probed, shared) for _ in range(4)] for _ in range(3)])
    raw = np.moveaxis(raw, (0, 1), (6, 2))
    savemat(folder / "temporal" / "Temporal_GT.mat", {"Temporal_GT": truth})
    flownet = truth[..., :14] + shared[..., None] + 0.5 * rng.normal(size=(*shared.shape, 14))
    savemat(folder / "temporal" / "Temporal_FN2.mat", {"Temporal_FN2": flownet})
    path = folder / "temporal" / "Temporal_Response_raw_participants1-3.mat"
    savemat(path, {"Temporal_Response_raw": raw})

    truth, shared = rng.normal(scale=5, size=(40, 2)), rng.normal(size=(7, 40, 2))
    for person in (1, 2):
        columns = {"Avg_gt_X": truth[:, 0], "Avg_gt_Y": truth[:, 1]}
        for number in range(1, 8):
            values = report(truth, shared[number - 1])
            columns |= {f"Mod{number}_avg_res_X": values[:, 0], f"Mod{number}_avg_res_Y": values[:, 1]}
        pd.DataFrame(columns).to_csv(folder / "second_order" / f"participant{person}.csv", index=False)
    return root


def _write_probes(folder, rng, report):
    keys = pd.MultiIndex.from_product(
        [range(1, 11), range(1, 5), (1, 2), range(1, 11)], names=["dataset", "session", "movie", "location"]
    ).to_frame(index=False)
    truth = rng.normal(scale=6, size=(len(keys), 2))
    human = report(truth, rng.normal(size=truth.shape))
    table = keys.assign(
        count=np.arange(len(keys)), y_coordinate=rng.integers(1, 300, len(keys)),
        x_coordinate=rng.integers(1, 900, len(keys)), Resp_u=human[:, 0], Resp_v=-human[:, 1],
        GT_u=truth[:, 0], GT_v=-truth[:, 1],
    )  # fmt: skip
    table.to_csv(folder / "huperflow_probes.csv", index=False)
