import numpy as np
import pytest

from neurovis.captioning.bank import draw_repeats, read_bank
from neurovis.captioning.bank_building import build_bank
from neurovis.core import OtherConfigurationError


def test_rows_are_the_embeddings_in_order(make_bank, make_images, embed):
    bank = make_bank(40, shard_images=16)
    assert [shard.n_rows for shard in bank.shards] == [16, 16, 8]
    expected = embed(make_images(40))
    rows = np.array([39, 0, 16, 15, 31, 32])
    assert np.allclose(bank.read_embeddings(rows), expected[rows], rtol=2e-3)
    images = bank.read_images(rows)
    assert list(images["image_id"]) == [f"listed-{row:04d}" for row in rows]
    norms = np.concatenate([tile.norms for tile in bank.iterate_tiles(tile_rows=7)])
    # Norms are not rounded to half precision.
    assert np.allclose(norms, np.linalg.norm(expected, axis=1), rtol=1e-6)


@pytest.mark.parametrize("n", [16, 17, 32, 33])
def test_every_shard_boundary_maps_to_its_own_row(make_bank, n):
    bank = make_bank(n, shard_images=16)
    everything = np.concatenate([t.directions for t in bank.iterate_tiles()])
    for row in range(n):
        (tile,) = bank.iterate_tiles([row])
        assert np.array_equal(tile.directions[0], everything[row])


def test_repeats_are_disjoint_and_use_every_row(make_bank):
    bank = make_bank(43, shard_images=10)
    repeats = draw_repeats(bank, 5, seed=1)
    assert sorted(len(rows) for rows in repeats) == [8, 8, 9, 9, 9]
    assert sorted(np.concatenate(repeats)) == list(range(43))
    again = draw_repeats(bank, 5, seed=1)
    assert all(np.array_equal(a, b) for a, b in zip(repeats, again, strict=True))
    assert any(
        len(a) != len(b) or (a != b).any() for a, b in zip(repeats, draw_repeats(bank, 5), strict=True)
    )
    some = draw_repeats(bank, 3, rows_per_repeat=4)
    assert [len(rows) for rows in some] == [4, 4, 4]
    assert len(set(np.concatenate(some))) == 12


def test_repeats_spread_over_the_whole_bank(make_bank):
    bank = make_bank(200, shard_images=64)
    means = [rows.mean() for seed in range(10) for rows in draw_repeats(bank, 2, seed=seed)]
    assert abs(np.mean(means) - 99.5) < 1
    assert np.std(means) < 15


def test_some_sources_are_drawn_anew_each_time(tmp_path, make_images, embed, listed):
    sources = [listed(list(make_images(21, 1)), "large"), listed(list(make_images(10, 2)), "small")]
    bank = build_bank(tmp_path / "bank", sources, embed, shard_images=8)
    repeats = draw_repeats(bank, 4, redrawn={"small": 0.5})
    small = set(bank.find_rows("small"))
    assert small == set(range(21, 31))
    shared = [small & set(rows) for rows in repeats]
    assert all(len(rows) == 5 for rows in shared)
    assert len(set(map(frozenset, shared))) > 1
    own = [set(rows) - small for rows in repeats]
    assert sum(map(len, own)) == 21 == len(set.union(*own))


def test_dropped_rows_come_no_more(make_bank):
    bank = make_bank(20, shard_images=8).drop([3, 8]).drop([19])
    assert len(bank) == 17
    assert sum(len(t.norms) for t in bank.iterate_tiles()) == 17
    assert not set(np.concatenate(draw_repeats(bank, 3))) & {3, 8, 19}
    with pytest.raises(ValueError, match="must not hold dropped rows"):
        list(bank.iterate_tiles([2, 3]))


def test_a_killed_build_goes_on_where_it_was(tmp_path, make_images, embed, listed):
    images = list(make_images(50))

    def build(folder, embedder):
        return build_bank(tmp_path / folder, [listed(images)], embedder, shard_images=12, batch_size=4)

    class Killed(type(embed)):
        def __call__(self, images):
            if self.n_images >= 30:
                raise KeyboardInterrupt
            return super().__call__(images)

    with pytest.raises(KeyboardInterrupt):
        build("bank", Killed())
    assert len(list((tmp_path / "bank" / "shards").iterdir())) == 2
    with pytest.raises(FileNotFoundError, match=r"index\.json"):
        read_bank(tmp_path / "bank")
    resumed = build("bank", embed)
    assert embed.n_images == 50 - 24
    straight = build("other", type(embed)())
    for ours, theirs in zip(resumed.iterate_tiles(), straight.iterate_tiles(), strict=True):
        assert np.array_equal(ours.directions, theirs.directions)
        assert np.array_equal(ours.norms, theirs.norms)
    before = embed.n_images
    build("bank", embed)
    assert embed.n_images == before


def test_failed_images_are_dropped_and_listed(tmp_path, make_images, listed):
    images = list(make_images(6))
    images[1] = np.zeros((8, 8, 3), dtype=np.uint8)
    images[2] = None
    images[3] = b"no image"
    images[4] = np.zeros((8, 8, 4), dtype=np.uint8)

    def embed(batch):
        found = np.ones((len(batch), 4))
        found[batch[0][0, 0, 0] == images[5][0, 0, 0]] = 0
        return found

    class Zero:
        space = "zero"

        def __call__(self, batch):
            found = np.random.default_rng(0).normal(size=(len(batch), 4))
            found[[np.array_equal(image, images[5]) for image in batch]] = 0
            return found

    bank = build_bank(tmp_path / "bank", [listed(images)], Zero(), shard_images=4)
    assert len(bank) == 1
    lines = (tmp_path / "bank" / "failed.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in lines[1:]] == [f"listed-{i:04d}" for i in (1, 2, 3, 4, 5)]
    reasons = [line.split("\t")[1] for line in lines[1:]]
    for reason, part in zip(reasons, ("the same", "no content", "readable", "RGB", "norm 0"), strict=True):
        assert part in reason


def test_bad_input_is_named(tmp_path, make_bank, make_images, embed, listed):
    bank = make_bank(10)
    with pytest.raises(ValueError, match=r"n_repeats x rows_per_repeat.*10 rows.*got 4 x 3"):
        draw_repeats(bank, 4, rows_per_repeat=3)
    with pytest.raises(ValueError, match="got 11 x 0"):
        draw_repeats(bank, 11)
    with pytest.raises(ValueError, match=r"source must be one of \('listed',\), got 'laion'"):
        draw_repeats(bank, 2, redrawn={"laion": 0.5})
    with pytest.raises(ValueError, match=r"redrawn shares must be in \(0, 1\], got 2"):
        draw_repeats(bank, 2, redrawn={"listed": 2})
    with pytest.raises(ValueError, match="rows must lie in 0 to 9, got 3 to 10"):
        list(bank.iterate_tiles([3, 10]))
    with pytest.raises(ValueError, match="rows must not repeat"):
        list(bank.iterate_tiles([3, 3]))
    with pytest.raises(ValueError, match="rows must be a list of row numbers"):
        list(bank.iterate_tiles([0.5]))
    with pytest.raises(OtherConfigurationError, match="shard_images differ"):
        make_bank(10, shard_images=5)
    with pytest.raises(ValueError, match="different names"):
        build_bank(tmp_path / "b", [listed([]), listed([])], embed)
    with pytest.raises(ValueError, match="space must name"):
        build_bank(tmp_path / "b", [listed([])], lambda images: images)
    with pytest.raises(ValueError, match=r"shape \(3, d\) for 3 images, got \(2, 12\)"):
        build_bank(tmp_path / "c", [listed(list(make_images(3)))], lambda images: np.ones((2, 12)), space="x")
    with pytest.raises(ValueError, match="must hold images, got none"):
        build_bank(tmp_path / "d", [listed([None])], embed)
    norms = bank.folder / "shards" / "00-000000" / "norms.npy"
    np.save(norms, np.ones(3, dtype=np.float32))
    with pytest.raises(ValueError, match=r"must hold 10 rows as index\.json says, got 3"):
        list(bank.iterate_tiles())
    norms.write_bytes(b"")
    with pytest.raises(ValueError, match="truncated or foreign"):
        list(bank.iterate_tiles())
