"""World folders: what is written, that a killed run goes on, and that another world is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurovis.stimuli import world_files
from neurovis.stimuli.world import make_scene
from neurovis.stimuli.world_files import decode_mask, encode_mask, make_world, read_annotations


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world"), n_images=14, seed=3)


def test_folder_holds_the_scenes(world):
    assert world.stimulus_ids[:2] == ["world-00000", "world-00001"]
    assert world.size_dva == (8.0, 8.0)
    for index in (0, 13):
        scene = make_scene(3, index)
        np.testing.assert_array_equal(world.load(f"world-{index:05d}"), scene.image)
        row = world.table.loc[f"world-{index:05d}"]
        assert row["caption"] == scene.caption
        assert (row["category"], row["subtype"]) == (scene.objects[0].category, scene.objects[0].subtype)


def test_annotations_give_the_masks_back_and_agree_with_the_areas(world):
    annotations = read_annotations(world.root)
    assert list(annotations) == world.stimulus_ids
    for index, things in enumerate(annotations.values()):
        scene = make_scene(3, index)
        for thing, truth in zip(things, scene.objects, strict=True):
            np.testing.assert_array_equal(thing.mask, truth.mask)
            assert thing.box == truth.box
            assert thing.attributes["phrase"] == truth.attributes["phrase"]
        covered = sum(thing.mask.mean() for thing in things)
        areas = world.table.iloc[index][[name for name in world.table if name.startswith("area_")]]
        assert areas.sum() == pytest.approx(covered, abs=1e-5)


def test_killed_run_goes_on_without_making_finished_parts_again(tmp_path, monkeypatch):
    monkeypatch.setattr(world_files, "_PART", 4)
    made = []

    def make_until_killed(seed, index, *, size_px):
        if index == 6 and len(made) == 6:
            raise KeyboardInterrupt
        made.append(index)
        return make_scene(seed, index, size_px=size_px)

    monkeypatch.setattr(world_files, "make_scene", make_until_killed)
    with pytest.raises(KeyboardInterrupt):
        make_world(tmp_path, n_images=10, seed=0)
    assert not (tmp_path / "stimuli.json").exists()
    made.append(-1)
    resumed = make_world(tmp_path, n_images=10, seed=0)
    assert made == [0, 1, 2, 3, 4, 5, -1, 4, 5, 6, 7, 8, 9]
    assert len(resumed) == 10
    made.clear()
    assert len(make_world(tmp_path, n_images=12, seed=0)) == 12
    assert made == [8, 9, 10, 11]
    assert len(make_world(tmp_path, n_images=3, seed=0)) == 3
    assert set(read_annotations(tmp_path)) == {f"world-{index:05d}" for index in range(3)}


def test_another_world_in_the_folder_is_refused(world):
    with pytest.raises(ValueError, match=r"seed: 3 there, 4 asked.*choose another folder"):
        make_world(world.root, n_images=14, seed=4)


@given(st.lists(st.booleans(), min_size=12, max_size=12))
def test_run_lengths_equal_a_slow_loop_and_round_trip(pixels):
    mask = np.array(pixels).reshape(3, 4)
    runs, value = [0], False
    for column in range(4):
        for row in range(3):
            if mask[row, column] != value:
                runs.append(0)
                value = not value
            runs[-1] += 1
    assert encode_mask(mask) == runs
    np.testing.assert_array_equal(decode_mask(runs, (3, 4)), mask)


def test_runs_of_another_size_are_refused():
    with pytest.raises(ValueError, match="counts must add up to 12 pixels"):
        decode_mask([3, 4], (3, 4))
