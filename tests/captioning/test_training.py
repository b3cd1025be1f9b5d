import numpy as np
import pytest
import torch

from neurovis.captioning.captioner import read_captioner
from neurovis.captioning.training import CaptionNetwork, embed_scenes, train_world_captioner
from neurovis.captioning.world_captions import (
    find_marker_words,
    name_subtype,
    parse_caption,
    score_captions,
)
from neurovis.stimuli.world import make_scene


@pytest.fixture(scope="module")
def scenes():
    return [make_scene(7, i) for i in range(240)]


def test_captions_are_taken_apart():
    found = parse_caption(
        "a large yellow handwritten word 'coffee' on the left in front of a wooden board, with a small red "
        "bus in the upper right"
    )
    assert (found.size, found.position, found.background) == ("large", "on the left", "wooden board")
    assert found.phrase == "yellow handwritten word 'coffee'"
    assert found.colours == ("yellow",)
    assert found.rest == "a small red bus in the upper right"
    place = parse_caption("an office with white walls.")
    assert (place.phrase, place.size, place.position, place.background) == (
        "office with white walls",
        "",
        "",
        "",
    )


def test_marker_words_tell_the_subtype_of_unseen_scenes(scenes):
    captions = [scene.caption for scene in scenes]
    subtypes = [scene.objects[0].subtype for scene in scenes]
    markers = find_marker_words(captions[:160], subtypes[:160])
    named = [name_subtype(caption, markers) for caption in captions[160:]]
    known = [(a, b) for a, b in zip(named, subtypes[160:], strict=True) if a]
    # Few scenes do not show all words, but a word that was seen is not mistaken.
    assert len(known) > 0.7 * 80
    assert np.mean([a == b for a, b in known]) > 0.97
    assert name_subtype("gibberish", markers) == ""


def test_scores_count_what_is_right(scenes):
    captions = [scene.caption for scene in scenes]
    markers = find_marker_words(captions, [scene.objects[0].subtype for scene in scenes])
    assert set(score_captions(captions, captions, markers).values()) == {1.0}
    truth = ["a small red apple on the left in front of a wooden board"] * 4
    wrong = [
        "a red apple on the left in front of a wooden board",
        "a small green apple on the left in front of a wooden board",
        "a small red apple in front of a wooden board, with a small car at the top",
        "a small red apple on the left in front of a wooden board",
    ]
    found = score_captions(truth, wrong, markers)
    assert (found["size"], found["colour"], found["position"], found["background"]) == (0.75, 0.75, 0.75, 1)
    assert (found["phrase"], found["main"], found["caption"]) == (0.75, 0.25, 0.25)


def test_the_loss_ignores_padding_and_noise_is_for_training_only():
    torch.manual_seed(0)
    network = CaptionNetwork(5, 9, {"n_layer": 1, "n_embd": 8, "n_head": 2}, noise=0.5).eval()
    embeddings, tokens = torch.randn(3, 5), torch.tensor([[4, 5, 2, 0], [3, 2, 0, 0], [4, 4, 4, 2]])
    rows = [network.compute_loss(embeddings[i : i + 1], tokens[i : i + 1]) for i in range(3)]
    n = torch.tensor([3, 2, 4])
    assert torch.allclose(network.compute_loss(embeddings, tokens), (torch.stack(rows) * n).sum() / 9)
    padded = torch.cat([tokens, torch.zeros(3, 5, dtype=torch.long)], dim=1)
    assert torch.equal(network.compute_loss(embeddings, padded), network.compute_loss(embeddings, tokens))
    network.train()
    first, second = (network.compute_loss(embeddings, tokens) for _ in range(2))
    assert not torch.equal(first, second)


def test_a_tiny_training_resumes_and_can_be_read(tmp_path, embed):
    def train(out, checkpoint, n_epochs=2):
        return train_world_captioner(
            out, n_images=96, n_epochs=n_epochs, seed=1, checkpoint=checkpoint, embedder=embed, n_test=6,
            size={"n_layer": 1, "n_embd": 16, "n_head": 2},
        )  # fmt: skip

    quality = train(tmp_path / "straight", None)
    assert set(quality["beam"]) == set(quality["greedy"])
    train(tmp_path / "again", tmp_path / "state.safetensors")
    train(tmp_path / "resumed", tmp_path / "state.safetensors")
    first, second, third = (read_captioner(tmp_path / name) for name in ("straight", "again", "resumed"))
    assert first.compute_hash() == second.compute_hash() == third.compute_hash()
    assert first.space == "mean-colours"
    scenes = embed_scenes(3, embed, seed=3)
    assert len(first.caption(scenes.embeddings).texts) == 3
    card = (tmp_path / "straight" / "README.md").read_text()
    assert "| category |" in card
    assert "83301" in card
    with pytest.raises(ValueError, match="noise must be at least 0"):
        train_world_captioner(tmp_path / "x", n_images=1, embedder=embed, noise=-1)
