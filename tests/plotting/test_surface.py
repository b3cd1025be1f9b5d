"""Maps on fsaverage5: values land on their vertices, views look from where they say."""

import numpy as np
import pytest
from matplotlib.collections import LineCollection, TriMesh
from nibabel.freesurfer import write_geometry, write_morph_data
from nilearn.datasets import load_fsaverage, load_fsaverage_data

from neurovis.plotting import plot_surface_categories, plot_surface_map
from neurovis.plotting.surface_mesh import make_panel

N = 20484


def _colours(ax):
    return [c.get_facecolor() for c in ax.collections if isinstance(c, TriMesh)]


def test_a_vertex_with_a_value_is_coloured_and_the_rest_stays_grey():
    ax = plot_surface_map([0.2, 0.8], vertices=[100, 10242 + 7], views=("lateral", "medial"))
    left, left_medial, right, _ = _colours(ax)
    assert len(left) == 10242
    coloured = [
        np.flatnonzero(np.ptp(colours[:, :3], axis=1) > 0.02) for colours in (left, left_medial, right)
    ]
    np.testing.assert_array_equal(coloured[0], [100])
    np.testing.assert_array_equal(coloured[1], [100])
    np.testing.assert_array_equal(coloured[2], [7])


def test_equal_values_have_equal_hues_and_the_scale_is_the_one_asked_for():
    values = np.full(N, np.nan)
    values[:3] = [-2.0, 0.0, 1.0]
    ax = plot_surface_map(values, cmap="RdBu_r", symmetric=True, label="t [1]", views=("dorsal",))
    bar = ax.figure.axes[1]
    assert bar.get_xlabel() == "t [1]"
    assert bar.get_xlim() == (-2.0, 2.0)
    middle = _colours(ax)[0][1, :3]
    assert np.ptp(middle) < 0.02  # zero is white, only shaded


def test_views_look_from_where_they_say():
    xyz = {name: make_panel("left", name) for name in ("lateral", "medial", "ventral", "posterior")}
    right = make_panel("right", "lateral")
    # Lateral shows the outside, with the front at the left of the left hemisphere and mirrored for the right.
    mesh = load_fsaverage("fsaverage5")["inflated"]
    for part, panel, sign in (("left", xyz["lateral"], -1), ("right", right, 1)):
        anterior = np.argmax(mesh.parts[part].coordinates[:, 1])
        assert np.sign(panel.xy[anterior, 0]) == sign
        outermost = np.argmax(sign * mesh.parts[part].coordinates[:, 0])
        assert panel.facing[outermost] > 0.9
    coordinates = mesh.parts["left"].coordinates
    assert xyz["medial"].facing[np.argmax(-coordinates[:, 0])] < 0
    assert xyz["ventral"].facing[np.argmin(coordinates[:, 2])] > 0.8
    assert xyz["posterior"].facing[np.argmin(coordinates[:, 1])] > 0.8
    # From below with the front up, the left hemisphere's outer side lies to the right.
    outermost = np.argmin(coordinates[:, 0])
    assert xyz["ventral"].xy[outermost, 0] > 0


def test_faces_are_painted_from_back_to_front_and_only_the_front():
    panel = make_panel("left", "lateral")
    corners = panel.xy[panel.faces]
    area = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert (area > 0).all()
    assert 0.3 < len(panel.faces) / 20480 < 0.7


def test_flat_map_is_cropped_around_the_values():
    vertices = np.flatnonzero(make_panel("left", "flat").xy[:, 0] > 130)
    vertices = np.concatenate([vertices, vertices + 10242])
    whole = plot_surface_map(np.zeros(N), views=("flat",))
    ax = plot_surface_map(np.arange(float(vertices.size)), vertices=vertices, views=("flat",))
    assert np.ptp(ax.get_xlim()) < 0.7 * np.ptp(whole.get_xlim())
    assert [text.get_text() for text in ax.texts if text.get_text()] == [
        "left hemisphere",
        "right hemisphere",
    ]


def test_category_map_has_a_legend_and_fixed_colours():
    labels = np.full(N, "", dtype=object)
    labels[:4000], labels[10242:14000] = "face", "place"
    ax = plot_surface_categories(labels, colours={"place": "#009e73", "face": "#d55e00"}, views=("flat",))
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["place", "face"]
    left, right = _colours(ax)
    used = np.unique(make_panel("left", "flat").faces)
    np.testing.assert_allclose(left[used[used < 4000][0], :3], [0xD5 / 255, 0x5E / 255, 0], atol=1e-6)
    assert np.ptp(right[-1, :3]) < 1e-6


def test_regions_are_outlined_and_named():
    panel = make_panel("left", "lateral")
    patch = np.flatnonzero((np.hypot(*panel.xy.T) < 25) & (panel.facing > 0.6))
    ax = plot_surface_map(
        np.ones(patch.size), vertices=patch, regions=["LO"] * patch.size, views=("lateral",)
    )
    assert "LO" in [text.get_text() for text in ax.texts]
    borders = [c for c in ax.collections if isinstance(c, LineCollection)]
    assert len(borders[0].get_segments()) > 20
    assert len(borders[1].get_segments()) == 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """fsaverage5 as the surf folder of a FreeSurfer subject."""
    path = tmp_path_factory.mktemp("surf")
    meshes = load_fsaverage("fsaverage5")["inflated"]
    sulci = load_fsaverage_data(mesh="fsaverage5", data_type="sulcal", mesh_type="inflated")
    for part, prefix in (("left", "lh"), ("right", "rh")):
        mesh = meshes.parts[part]
        write_geometry(path / f"{prefix}.inflated", np.asarray(mesh.coordinates), np.asarray(mesh.faces))
        write_morph_data(path / f"{prefix}.sulc", np.asarray(sulci.data.parts[part], dtype="f4"))
    return path


def test_full_resolution_is_drawn_at_the_shared_vertices(rng):
    full = rng.normal(size=2 * 163842)
    shared = np.concatenate([full[:10242], full[163842 : 163842 + 10242]])
    settings = {"views": ("ventral",), "vmin": -1.0, "vmax": 1.0}
    expected = _colours(plot_surface_map(shared, **settings))
    np.testing.assert_array_equal(_colours(plot_surface_map(full, **settings)), expected)
    where = np.array([7, 20_000, 163842 + 9])
    ax = plot_surface_map([0.0, 1.0, 2.0], vertices=where, mesh="fsaverage", views=("medial",))
    coloured = [np.flatnonzero(np.ptp(colours[:, :3], axis=1) > 0.02) for colours in _colours(ax)]
    np.testing.assert_array_equal(coloured, [[7], [9]])


def test_a_freesurfer_folder_draws_the_same_map(folder, rng):
    values, names = rng.normal(size=N), np.where(np.arange(N) % 10242 < 5000, "in", "")
    expected = plot_surface_map(values, regions=names, views=("lateral",))
    ax = plot_surface_map(values, regions=names, views=("lateral",), mesh=folder)
    for own, other in zip(_colours(ax), _colours(expected), strict=True):
        np.testing.assert_allclose(own, other, atol=1e-4)
    labels = _colours(plot_surface_categories(names, views=("lateral",), mesh=folder))
    np.testing.assert_allclose(
        labels, _colours(plot_surface_categories(names, views=("lateral",))), atol=1e-4
    )
    with pytest.raises(ValueError, match="only fsaverage5 has a flat sheet"):
        plot_surface_map(values, views=("flat",), mesh=folder)
    with pytest.raises(FileNotFoundError, match=r"surf folder .* without lh.inflated"):
        plot_surface_map(values, mesh=folder / "nowhere")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"values": np.zeros(5)}, r"values must have shape \(20484,\).*got \(5,\); pass vertices"),
        ({"values": np.full(N, np.nan)}, "values must hold a finite number"),
        ({"values": [1.0, 2.0], "vertices": [3, 3]}, "vertices must not repeat"),
        ({"values": [1.0], "vertices": [N]}, "vertices must be at most 20483"),
        ({"values": np.zeros(N), "views": ("front",)}, "views must be"),
        ({"values": np.zeros(N), "views": ("flat", "medial")}, "draw the flat map on its own"),
        ({"values": np.zeros(N), "regions": ["V1"]}, "regions must have one entry for each of the 20484"),
    ],
)
def test_surface_map_refuses_wrong_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        plot_surface_map(**arguments)


def test_empty_category_map_is_refused():
    with pytest.raises(ValueError, match="labels must hold a name"):
        plot_surface_categories([""] * N)
