import collections
import math

import numpy as np
import pytest
from scipy import stats

from neurovis.captioning.nouns import find_nouns, find_words, make_singular
from neurovis.captioning.statistics import (
    bootstrap_mean,
    compute_diversity,
    compute_word_fraction,
    compute_word_log_odds,
    summarise_by_region,
)


@pytest.mark.parametrize(
    ("caption", "nouns"),
    [
        ("A man riding a wave on a surfboard in the ocean.", ["man", "wave", "surfboard", "ocean"]),
        ("a group of people standing around a table with food", ["group", "person", "table", "food"]),
        ("two dogs and a large old building", ["dog", "building"]),
        ("a painting on the wall above a living room", ["painting", "wall", "room"]),
        ("a small yellow banana in the upper left in front of a field", ["banana", "field"]),
        ("a plate of fried eggs, with scissors", ["plate", "egg", "scissors"]),
        ("the grass is green", ["grass"]),
        ("", []),
    ],
)
def test_nouns_of_captions(caption, nouns):
    assert find_nouns(caption) == nouns


def test_a_vocabulary_finds_nouns_within_runs():
    assert find_nouns("a dog face with brown fur", vocabulary={"dog", "fur", "cat"}) == ["dog", "fur"]


def test_nouns_of_things(shared_data):
    """Single-word concepts of THINGS, put into frames that captions use, are found in the singular."""
    names = (shared_data / "semantics" / "things" / "unique_id.txt").read_text().split()
    names = [name for name in names if name.isalpha()]
    frames = ("a photo of a large {} on a table", "a man holding a {}", "a {} sitting near the old {}")
    for frame in frames:
        found = [make_singular(name) in find_nouns(frame.format(name, name)) for name in names]
        assert np.mean(found) > 0.97, frame
    assert len(names) > 1400


@pytest.mark.parametrize(
    ("plural", "singular"),
    [("dogs", "dog"), ("boxes", "box"), ("cherries", "cherry"), ("glasses", "glasses"), ("grass", "grass"),
     ("bus", "bus"), ("people", "person"), ("benches", "bench"), ("tomatoes", "tomato"), ("gas", "gas")],
)  # fmt: skip
def test_singulars(plural, singular):
    assert make_singular(plural) == singular


def test_log_odds_equal_the_formula():
    region = ["a dog on a bed"] * 6 + ["a cat on a bed"] * 3 + ["a dog and a dog"]
    base = ["a dog in a park"] * 2 + ["a car in a park"] * 20 + ["a cat on a mat"] * 5
    table = compute_word_log_odds(region, base, prior_strength=10.0).set_index("word")
    y = {"dog": 7, "cat": 3, "bed": 9, "park": 0, "car": 0, "mat": 0}
    z = {"dog": 2, "cat": 5, "bed": 0, "park": 22, "car": 20, "mat": 5}
    n, m = sum(y.values()), sum(z.values())
    assert set(table.index) == set(y)
    for word in y:
        a = 10 * (y[word] + z[word]) / (n + m)
        log_odds = math.log((y[word] + a) / (n + 10 - y[word] - a)) - math.log(
            (z[word] + a) / (m + 10 - z[word] - a)
        )
        sd = math.sqrt(1 / (y[word] + a) + 1 / (z[word] + a))
        row = table.loc[word]
        assert (row["count"], row["base_count"]) == (y[word], z[word])
        assert row["share"] == pytest.approx(y[word] / 10)
        assert row["log_odds"] == pytest.approx(log_odds)
        assert row["z"] == pytest.approx(log_odds / sd)
        assert row["high"] == pytest.approx(log_odds + stats.norm.ppf(0.975) * sd)
    assert list(table["z"]) == sorted(table["z"], reverse=True)
    assert (table.loc["dog", "low"], table.loc["park", "high"]) > (0, -10)


def test_words_of_the_caption_model_do_not_stand_out():
    """A word that is frequent everywhere has no odds, however often it comes."""
    rng = np.random.default_rng(0)

    def write(n, rate):
        return [
            f"a man with a {'face' if rng.random() < rate else 'tree'} and a {rng.choice(list('bcdfgh'))}lo"
            for _ in range(n)
        ]

    table = compute_word_log_odds(write(400, 0.6), write(400, 0.2)).set_index("word")
    assert abs(table.loc["man", "z"]) < 2.5
    assert table.loc["face", "z"] > 5
    assert table.loc["tree", "z"] < -5
    # Under the null the interval holds 0 about as often as it says.
    held = []
    for _ in range(60):
        one = compute_word_log_odds(write(100, 0.4), write(100, 0.4)).set_index("word").loc["face"]
        held.append(one["low"] <= 0 <= one["high"])
    assert np.mean(held) > 0.88


def test_person_fraction_per_voxel():
    captions = np.array(
        [["a man on a horse", "a dog", "two people."], ["a horse", "a mandarin", "a woman's hat"]]
    )
    assert compute_word_fraction(captions).tolist() == [0.5, 0.0, 0.5]
    assert compute_word_fraction(captions[0], {"dog"}).tolist() == [0, 1, 0]


def test_regions_with_intervals_over_groups():
    rng = np.random.default_rng(0)
    values = np.repeat(rng.random(30) < 0.5, 10).astype(float)
    groups = np.repeat(np.arange(30), 10)
    table = summarise_by_region(values, ["FFA"] * 150 + ["PPA"] * 150, groups=groups)
    alone = summarise_by_region(values, ["FFA"] * 150 + ["PPA"] * 150)
    assert table.loc["FFA", "mean"] == pytest.approx(values[:150].mean())
    assert table.loc["PPA", "n_voxels"] == 150
    # Ten voxels of one caption are one piece of evidence: the interval is about sqrt(10) as wide.
    wide, narrow = table["high"] - table["low"], alone["high"] - alone["low"]
    assert (wide / narrow).between(2.4, 4.2).all()
    low, high = bootstrap_mean(rng.normal(size=400), np.arange(400))
    assert (high - low) == pytest.approx(2 * 1.96 / 20, rel=0.15)
    assert np.isnan(bootstrap_mean(np.ones(3), np.zeros(3))).all()


def bleu_against_others(sentences):
    """Mean BLEU-4 of each sentence against all others, by its definition."""
    scores = []
    for i, words in enumerate(sentences):
        others = sentences[:i] + sentences[i + 1 :]
        logs = []
        for order in range(1, 5):

            def count(s, order=order):
                return collections.Counter(tuple(s[j : j + order]) for j in range(len(s) - order + 1))

            own = count(words)
            if not own:
                continue
            limit = collections.Counter()
            for other in others:
                limit |= count(other)
            matched = sum(min(n, limit[gram]) for gram, n in own.items())
            logs.append(math.log(matched / sum(own.values())) if matched else -math.inf)
        closest = min((abs(len(o) - len(words)), len(o)) for o in others)[1]
        brevity = 1 if len(words) > closest else math.exp(1 - closest / len(words))
        scores.append(brevity * math.exp(sum(logs) / len(logs)))
    return sum(scores) / len(scores)


def test_diversity_equals_its_definition():
    rng = np.random.default_rng(0)
    words = ["a", "dog", "cat", "on", "in", "the", "big", "red", "house"]
    captions = [" ".join(rng.choice(words, size=rng.integers(2, 9))) for _ in range(40)]
    captions += captions[:5]
    found = compute_diversity(captions)
    assert found["unique_share"] == len(set(captions)) / 45
    assert found["self_bleu"] == pytest.approx(bleu_against_others([c.split() for c in captions]))
    pairs = [p for c in captions for p in zip(c.split()[:-1], c.split()[1:], strict=True)]
    assert found["distinct_2"] == pytest.approx(len(set(pairs)) / len(pairs))
    same = compute_diversity(["a man on a horse"] * 10)
    assert same["self_bleu"] == pytest.approx(1)
    assert same["unique_share"] == 0.1
    assert find_words("It's a Dog-house, no?") == ["it's", "a", "dog-house", "no"]


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="base_captions must hold words to count"):
        compute_word_log_odds(["a dog"], [])
    with pytest.raises(ValueError, match="prior_strength must be positive"):
        compute_word_log_odds(["a dog"], ["a cat"], prior_strength=0)
    with pytest.raises(ValueError, match="min_count must be at least 1"):
        compute_word_log_odds(["a dog"], ["a cat"], min_count=0)
    with pytest.raises(ValueError, match="words must not be empty"):
        compute_word_fraction(["a dog"], [])
    with pytest.raises(ValueError, match="at least 2 sentences with words, got 2 with 1 empty"):
        compute_diversity(["a dog", ""])
    with pytest.raises(ValueError, match="level must be in"):
        bootstrap_mean(np.ones(3), np.arange(3), level=2)
