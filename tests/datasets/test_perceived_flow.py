import numpy as np
import pandas as pd
import pytest
from miniature_perceived_flow import make_perceived_flow
from scipy.io import loadmat, savemat

from neurovis.datasets.perceived_flow import MODULATIONS, load_perceived_flow


@pytest.fixture
def root(tmp_path):
    return make_perceived_flow(tmp_path)


def test_tables_hold_what_the_files_do(root):
    found = load_perceived_flow(root=root)
    raw = pd.read_csv(root / "perceived_flow" / "huperflow_probes.csv")
    assert len(found.probes) == 800
    np.testing.assert_array_equal(found.probes["human_v"], -raw["Resp_v"])  # v comes upwards
    np.testing.assert_array_equal(found.probes["true_u"], raw["GT_u"])
    np.testing.assert_array_equal(found.probes["x_px"], raw["x_coordinate"] - 1)
    assert found.probes["source"].iloc[0] == "KITTI"

    folder = root / "perceived_flow" / "temporal"
    responses = loadmat(folder / "Temporal_Response_raw_participants1-3.mat")["Temporal_Response_raw"]
    row = found.temporal.query("location == 3 and flip == 2 and play == 1 and timing == 5 and movie == 4")
    row = row.set_index("participant").loc[2]
    assert row[["human_u", "human_v"]].tolist() == responses[:, 2, 1, 0, 4, 3, 1].tolist()
    flow = loadmat(folder / "Temporal_FN2.mat")["Temporal_FN2"]
    keys = (
        "source == 'flownet2' and location == 4 and play == 2 and timing == 1 and movie == 5 and frame == 9"
    )
    assert found.temporal_flow.query(keys)[["u", "v"]].iloc[0].tolist() == flow[:, 3, 1, 0, 4, 8].tolist()
    assert len(found.temporal) == 4 * 4 * 2 * 5 * 5 * 3
    assert len(found.temporal_flow) == 4 * 2 * 5 * 5 * (15 + 14)

    second = pd.read_csv(root / "perceived_flow" / "second_order" / "participant2.csv")
    own = found.second_order.query(f"participant == '2' and modulation == '{MODULATIONS[4]}'")
    np.testing.assert_array_equal(own["human_u"], second["Mod5_avg_res_X"])
    np.testing.assert_array_equal(own["true_v"], second["Avg_gt_Y"])


def test_sintel_probes_lie_on_their_grids(root):
    table = load_perceived_flow(root=root).sintel_slow
    raw = loadmat(root / "perceived_flow" / "sintel_slow" / "sintel_slow.mat")
    row = table.query("movie == 'ambush_4' and row == 2 and column == 1").iloc[0]
    assert row[["y_px", "x_px"]].tolist() == [350 - 1 + 2 * 25, 1500 - 1 + 25]
    assert row[["human_u", "human_v"]].tolist() == raw["HumanResp"][:, 6 + 2, 1].tolist()
    assert row["frame"] == 95


def test_wrong_files_are_refused(root):
    folder = root / "perceived_flow"
    probes = pd.read_csv(folder / "huperflow_probes.csv")
    probes.drop(columns="GT_u").to_csv(folder / "huperflow_probes.csv", index=False)
    with pytest.raises(ValueError, match=r"none of \['GT_u'\]"):
        load_perceived_flow(root=root)
    pd.concat([probes, probes[:1]]).to_csv(folder / "huperflow_probes.csv", index=False)
    with pytest.raises(ValueError, match="each probe once"):
        load_perceived_flow(root=root)
    probes.assign(GT_u=np.nan).to_csv(folder / "huperflow_probes.csv", index=False)
    with pytest.raises(ValueError, match="finite"):
        load_perceived_flow(root=root)
    probes.to_csv(folder / "huperflow_probes.csv", index=False)
    savemat(folder / "temporal" / "Temporal_GT.mat", {"Temporal_GT": np.zeros((2, 4, 2, 5, 5, 3))})
    with pytest.raises(ValueError, match=r"Temporal_GT\.mat must have shape"):
        load_perceived_flow(root=root)
    for path in (folder / "second_order").iterdir():
        path.unlink()
    savemat(folder / "temporal" / "Temporal_GT.mat", {"Temporal_GT": np.zeros((2, 4, 2, 5, 5, 15))})
    with pytest.raises(FileNotFoundError, match="participant"):
        load_perceived_flow(root=root)
    with pytest.raises(FileNotFoundError, match="KUCognitiveInformaticsLab"):
        load_perceived_flow(root=root / "elsewhere")


def test_real_v_points_down_when_driving_forwards(shared_data):
    """What lies low and right in a camera that drives forwards moves down and to the right."""
    table = load_perceived_flow(root=shared_data).probes
    assert len(table) == 1600
    for kind in ("true", "human"):
        kitti = table[table["source"] == "KITTI"]
        assert np.corrcoef(kitti["y_px"], kitti[f"{kind}_v"])[0, 1] > 0.3
        assert np.corrcoef(kitti["x_px"], kitti[f"{kind}_u"])[0, 1] > 0.3
