import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from neurovis.features.weights import build_seeded
from neurovis.gaze.oat import OAT, Attention, OATConfig, compute_loss, encode_order
from neurovis.gaze.oat_appearance import CropEncoder
from neurovis.gaze.oat_batches import PlaceEncoder, make_batch
from neurovis.gaze.oat_decoding import (
    compute_step_log_probabilities,
    decode_greedy,
    forbid,
    sample_paths,
)
from neurovis.gaze.oat_positions import (
    compute_position_kernel,
    compute_position_table,
    make_landmarks,
    make_position_map,
)
from neurovis.gaze.oat_trials import ObjectLayout, ObjectTrial, make_grid_layout
from neurovis.gaze.simulated_searcher import GridSearcher, simulate_search

SMALL = OATConfig(n_features=16, d_model=64, n_layers=2, d_feedforward=96, dropout=0.0, n_steps=6)


def build(config=SMALL, seed=0):
    return build_seeded(lambda: OAT(config), seed).eval()


def make_trials(config=SMALL, n=5, seed=3, **searcher):
    return make_batch(GridSearcher(**searcher).make_trials(n, seed=seed), PlaceEncoder(config))


class TestPositions:
    def test_cosines_of_steps_are_those_published(self):
        table = compute_position_table(np.arange(14), n_columns=86)
        expected = [1, 0.8825, 0.6065, 0.3247, 0.1353, 0.0439]
        np.testing.assert_allclose((table @ table[0])[:6], expected, atol=5e-5)
        kernel = compute_position_kernel(np.arange(14), np.arange(14))
        assert np.abs(table @ table.T - kernel).max() < 1e-12
        assert table.shape == (14, 86)
        np.testing.assert_allclose(np.linalg.norm(table, axis=1), 1, atol=1e-12)

    def test_irregular_places_get_exact_codes_too(self, rng):
        places = rng.uniform(0, 10, (40, 2))
        table = compute_position_table(places, sigma=1.7)
        for i, j in [(0, 1), (5, 30), (12, 12)]:
            squared = ((places[i] - places[j]) ** 2).sum()
            assert abs(table[i] @ table[j] - math.exp(-squared / (2 * 1.7**2))) < 1e-10

    def test_a_lattice_serves_every_layout_alike(self, rng):
        position_map = make_position_map(make_landmarks((1.0, 1.0), spacing=0.15), sigma=0.2)
        places = rng.uniform(0, 1, (200, 2))
        codes = position_map(places)
        assert np.abs(codes @ codes.T - compute_position_kernel(places, places, sigma=0.2)).max() < 0.002
        np.testing.assert_allclose(position_map(places[:3]), codes[:3], atol=1e-12)

    def test_what_cannot_be_coded_is_refused(self):
        with pytest.raises(ValueError, match="n_columns must be enough"):
            compute_position_table(np.arange(14), n_columns=4)
        with pytest.raises(ValueError, match="must lie among the landmarks"):
            make_position_map(np.arange(5.0))([20.0])
        with pytest.raises(ValueError, match="sigma must be positive"):
            compute_position_table([0, 1], sigma=0)


def test_crops_become_the_published_number_of_features():
    assert CropEncoder(256, (150, 93)).out.in_features == 1440
    sizes = [CropEncoder(256, (150, 93), levels).out.in_features for levels in (2, 3, 4)]
    assert sizes == [160, 672, 2720]
    encoder = CropEncoder(8, (150, 93), 3)
    assert encoder(torch.zeros(2, 40, 61, 3, dtype=torch.uint8)).shape == (2, 8)


def test_attention_equals_that_of_torch():
    ours = build_seeded(lambda: Attention(32, 4, 0.0), 1)
    theirs = torch.nn.MultiheadAttention(32, 4, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(ours.project.weight)
        theirs.in_proj_bias.copy_(ours.project.bias)
        theirs.out_proj.weight.copy_(ours.out.weight)
        theirs.out_proj.bias.copy_(ours.out.bias)
        x, y = torch.randn(2, 5, 32), torch.randn(2, 7, 32)
        expected, _ = theirs(x, y, y)
        got = ours.attend(ours.queries(x), *ours.keys_values(y), mask=None)
    torch.testing.assert_close(got, expected)


def test_layers_equal_those_of_torch():
    network = build()
    config = network.config
    ours = network.encoder[0]
    theirs = torch.nn.TransformerEncoderLayer(
        config.d_model, config.n_heads, config.d_feedforward, dropout=0.0, batch_first=True
    ).eval()
    names = {"attention.project.": "self_attn.in_proj_", "attention.out.": "self_attn.out_proj."}
    state = {}
    for name, value in ours.state_dict().items():
        for mine, other in names.items():
            name = name.replace(mine, other)
        state[name] = value
    theirs.load_state_dict(state)
    x = torch.randn(2, 9, config.d_model)
    everything = torch.ones(2, 1, 1, 9, dtype=torch.bool)
    torch.testing.assert_close(ours(x, everything), theirs(x), atol=1e-5, rtol=1e-5)


def test_order_code_is_the_sinusoid_of_the_transformer():
    code = encode_order(torch.arange(7), 8)
    for t in range(7):
        for k in range(4):
            angle = t / 10000 ** (2 * k / 8)
            assert abs(code[t, 2 * k] - math.sin(angle)) < 1e-5
            assert abs(code[t, 2 * k + 1] - math.cos(angle)) < 1e-5


def test_identity_pointer_points_at_the_decoder_state():
    network = build()
    pointer = network.pointer
    with torch.no_grad():
        for layer in [*pointer.decoder_maps, *pointer.encoder_maps]:
            layer.weight.copy_(torch.eye(64))
            layer.bias.zero_()
        pointer.mix.weight.fill_(1.0)
        memory = torch.eye(64)[None, :25]
        scores = pointer(memory[:, [4, 17, 24]], memory)
    assert scores.argmax(dim=2).tolist() == [[4, 17, 24]]


def test_moving_objects_with_their_places_moves_the_scores():
    trial = GridSearcher().make_trials(1, seed=8)[0]
    order = np.random.default_rng(0).permutation(24)
    place_of = np.argsort(order)
    layout = ObjectLayout(trial.layout.boxes[order], trial.layout.size_px, trial.layout.cells[order])
    moved = ObjectTrial(
        "moved", "searcher", "", layout, trial.appearance[order], trial.query,
        int(place_of[trial.target]), tuple(int(place_of[step]) for step in trial.path),
    )  # fmt: skip
    network, encoder = build(), PlaceEncoder(SMALL)
    with torch.no_grad():
        before, after = (network(make_batch([one], encoder))[0] for one in (trial, moved))
    torch.testing.assert_close(after[:, :24], before[:, order], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(after[:, 24:], before[:, 24:], atol=1e-5, rtol=1e-5)


def test_displays_of_different_size_do_not_disturb_each_other():
    small = GridSearcher(n_rows=2, n_columns=3).make_trials(2, seed=1)
    large = GridSearcher().make_trials(2, seed=2)
    network, encoder = build(), PlaceEncoder(SMALL)
    with torch.no_grad():
        mixed = network(make_batch([*small, *large], encoder))
        alone = network(make_batch(small, encoder))
    steps = alone.shape[1]
    torch.testing.assert_close(mixed[:2, :steps, :6], alone[..., :6], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(mixed[:2, :steps, 24:], alone[..., 6:], atol=1e-5, rtol=1e-5)
    assert torch.isinf(mixed[:2, :, 6:24]).all()
    paths = sample_paths(network, make_batch([*small, *large], encoder), n_paths=20, max_length=8, seed=0)
    assert paths.objects[:2].max() < 6
    batch = make_batch([*small, *large], encoder)
    assert torch.isfinite(compute_loss(network, batch))


class TestDecoding:
    def test_cached_steps_equal_the_whole_path(self):
        network, batch = build(), make_trials()
        with torch.no_grad():
            whole = network(batch)
            displays = network.encode(batch)
            cache = network.make_cache(displays)
            ids = torch.full_like(batch.paths[:, 0], batch.n_objects + 2)
            for step in range(batch.paths.shape[1]):
                one = network.step(displays, ids, cache)
                torch.testing.assert_close(one, whole[:, step], atol=1e-5, rtol=1e-5)
                ids = batch.paths[:, step]

    def test_greedy_path_is_the_argmax_of_teacher_forcing(self):
        network, trials = build(seed=4), GridSearcher().make_trials(3, seed=6)
        encoder = PlaceEncoder(SMALL)
        found = decode_greedy(network, make_batch(trials, encoder), max_length=6)
        for trial, (path,), ended in zip(trials, found.to_lists(), found.ended[:, 0], strict=True):
            assert 1 <= len(path) <= 6
            replay = ObjectTrial(
                "again", "model", "", trial.layout, trial.appearance, trial.query, trial.target, tuple(path)
            )
            best = compute_step_log_probabilities(network, make_batch([replay], encoder))[0].argmax(dim=1)
            assert best[: len(path)].tolist() == path
            assert bool(ended) == (best[len(path)].item() == 24)

    def test_end_and_padding_obey_the_rules(self):
        network, batch = build(), make_trials(n=4)
        with torch.no_grad():
            network.pointer.mix.weight.mul_(-3)
            logits = network(batch)
        first, later = forbid(logits[:, 0], first=True), forbid(logits[:, 1], first=False)
        assert torch.isinf(first[:, 24:]).all()
        assert torch.isinf(later[:, 25]).all()
        assert torch.isfinite(later[:, :25]).all()
        found = sample_paths(network, batch, n_paths=200, max_length=5, seed=1)
        lengths = (found.objects >= 0).sum(dim=2)
        assert lengths.min() >= 1
        assert lengths.max() <= 5
        assert found.objects.max() < 24
        assert found.ended[lengths < 5].all()
        # Once over, a path stays over.
        over = found.objects < 0
        assert (over[..., 1:] >= over[..., :-1]).all()

    def test_samples_follow_the_probabilities_and_the_seed(self):
        network, batch = build(seed=2), make_trials(n=2)
        wanted = compute_step_log_probabilities(network, batch)[:, 0].exp()
        found = sample_paths(network, batch, n_paths=4_000, max_length=1, seed=5)
        for row in range(2):
            shares = torch.bincount(found.objects[row, :, 0], minlength=24) / 4_000
            limit = 4.5 * (wanted[row, :24] * (1 - wanted[row, :24]) / 4_000).sqrt()
            assert ((shares - wanted[row, :24]).abs() <= limit + 1e-9).all()
        again = sample_paths(network, batch, n_paths=50, max_length=4, seed=5)
        same = sample_paths(network, batch, n_paths=50, max_length=4, seed=5)
        other = sample_paths(network, batch, n_paths=50, max_length=4, seed=6)
        assert torch.equal(again.objects, same.objects)
        assert not torch.equal(again.objects, other.objects)

    def test_step_probabilities_sum_to_one_without_an_end_at_first(self):
        network, batch = build(), make_trials()
        probabilities = compute_step_log_probabilities(network, batch).exp()
        torch.testing.assert_close(probabilities.sum(dim=2), torch.ones(probabilities.shape[:2]))
        assert (probabilities[:, 0, 24] == 0).all()
        assert (probabilities[:, 1, 24] > 0).all()

    def test_decoding_refuses_training_mode(self):
        with pytest.raises(ValueError, match="evaluation mode"):
            decode_greedy(build().train(), make_trials(), max_length=3)


class TestWhatTheModelIsTold:
    def test_target_position_changes_only_the_query(self):
        trial = GridSearcher().make_trials(1, seed=0)[0]
        told = OATConfig(**{**SMALL.__dict__, "target_position": "true"})
        hidden, shown = (make_batch([trial], PlaceEncoder(config)) for config in (SMALL, told))
        assert hidden.places[0, 24].abs().max() == 0
        torch.testing.assert_close(shown.places[0, 24], shown.places[0, trial.target])
        torch.testing.assert_close(shown.places[0, :24], hidden.places[0, :24])

    def test_without_places_only_appearance_is_left(self):
        config = OATConfig(**{**SMALL.__dict__, "layout": "none"})
        batch = make_batch(GridSearcher().make_trials(2, seed=0), PlaceEncoder(config))
        assert batch.places.abs().max() == 0
        assert batch.start.abs().max() == 0

    def test_without_appearance_only_places_are_left(self):
        batch = make_trials(n=3)
        other = replace(batch, bank=batch.bank + 1)
        blind = build(OATConfig(**{**SMALL.__dict__, "appearance": "none"}))
        with torch.no_grad():
            torch.testing.assert_close(blind(batch), blind(other), rtol=0, atol=0)
            assert (build()(batch) - build()(other)).abs().max() > 1e-3
        scores = blind(replace(batch, places=batch.places.roll(1, dims=1)))
        assert (scores - blind(batch)).nan_to_num().abs().max() > 1e-3

    def test_fixated_target_is_marked_only_if_asked(self):
        batch = make_trials(n=1)
        marked = build(OATConfig(**{**SMALL.__dict__, "flag_fixated_target": True}))
        target = int(batch.target[0])
        with torch.no_grad():
            plain, flagged = build().encode(batch).tokens, marked.encode(batch).tokens
        different = (plain != flagged).any(dim=2)[0].nonzero().flatten().tolist()
        assert different == [target]

    def test_the_start_is_half_of_rows_and_columns(self):
        encoder = PlaceEncoder(SMALL)
        codes = encoder.encode(make_grid_layout((400, 500), 4, 5), None)
        np.testing.assert_allclose(codes[-1], codes[2 * 5 + 2])
        codes = encoder.encode(make_grid_layout((400, 500), 4, 5), (450.0, 20.0))
        np.testing.assert_allclose(codes[-1], codes[4])

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"n_features": None}, "exactly one of crop_px and n_features"),
            ({"d_model": 63}, "d_model must be even"),
            ({"layout": "circle"}, "layout must be 'grid', 'centres' or 'none'"),
            ({"target_position": "maybe"}, "target_position must be"),
            ({"appearance": "blurred"}, "appearance must be 'seen' or 'none'"),
        ],
    )
    def test_wrong_configurations_are_refused(self, change, message):
        with pytest.raises(ValueError, match=message):
            OATConfig(**{**SMALL.__dict__, **change})

    def test_a_layout_that_the_model_does_not_know_is_refused(self):
        layout = ObjectLayout(np.array([[0.0, 0, 10, 10]]), (20, 20))
        with pytest.raises(ValueError, match="layout must have cells"):
            PlaceEncoder(SMALL).encode(layout, None)
        with pytest.raises(ValueError, match="at most n_steps=6"):
            PlaceEncoder(SMALL).encode(make_grid_layout((70, 70), 7, 7), None)


class TestSearcher:
    def test_follows_its_rule_step_by_step(self):
        searcher = GridSearcher()
        for trial in searcher.make_trials(50, seed=12):
            looks, cells = trial.appearance.astype(float), trial.layout.cells
            here, free = np.array([2, 3]), set(range(24))
            for step in trial.path:
                value = {i: looks[i] @ looks[trial.target] - 0.6 * math.dist(cells[i], here) for i in free}
                assert abs(max(value.values()) - value[step]) < 1e-5
                free.remove(step)
                here = cells[step]
            assert trial.path[-1] == trial.target
            assert len(set(trial.path)) == len(trial.path)

    def test_paths_are_as_long_as_expected(self):
        lengths = [len(trial.path) for trial in GridSearcher().make_trials(1500, seed=0)]
        assert 3.0 < np.mean(lengths) < 3.6
        easy = GridSearcher(similarity_weight=2.5).make_trials(300, seed=0)
        assert np.mean([len(trial.path) for trial in easy]) < 1.3

    def test_noise_makes_choices_follow_a_softmax(self, rng):
        similarity, centres = np.array([0.0, 0.5, 1.0]), np.array([[0, 0], [1, 0], [2, 0]])
        first = [
            simulate_search(similarity, centres, 2, start=(0, 0), noise=0.7, rng=rng)[0] for _ in range(4000)
        ]
        weights = np.exp((similarity - 0.6 * np.array([0, 1, 2])) / 0.7)
        shares = np.bincount(first, minlength=3) / 4000
        np.testing.assert_allclose(shares, weights / weights.sum(), atol=0.03)

    def test_noise_needs_a_generator(self):
        with pytest.raises(ValueError, match="rng must be given"):
            simulate_search([0, 1], [[0, 0], [1, 1]], 1, start=(0, 0), noise=1.0)
