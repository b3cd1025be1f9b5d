import itertools

import numpy as np
import pytest
import torch

from neurovis.captioning.decoding import Decoding, decode

VOCABULARY, STOP = 4, 3


class Table:
    """A random language model: logits depend on the row and on all tokens so far."""

    def __init__(self, n_rows, seed, n_tokens=VOCABULARY):
        self.n_rows, self.seed, self.n_tokens = n_rows, seed, n_tokens
        self.sentences = [(row,) for row in range(n_rows)]
        self.n_calls = 0

    def logits(self, sentence):
        rng = np.random.default_rng([self.seed, *sentence])
        return rng.normal(scale=1.5, size=self.n_tokens)

    def start(self):
        return torch.tensor(np.array([self.logits(s) for s in self.sentences]))

    def extend(self, parents, tokens):
        self.n_calls += len(parents)
        self.sentences = [
            (*self.sentences[p], t) for p, t in zip(parents.tolist(), tokens.tolist(), strict=True)
        ]
        return self.start()


def score(table, row, tokens):
    """Mean log probability of a sentence."""
    total = 0.0
    for i, token in enumerate(tokens):
        logits = table.logits((row, *tokens[:i]))
        total += logits[token] - np.log(np.exp(logits).sum())
    return total / len(tokens)


def enumerate_sentences(max_tokens):
    words = [t for t in range(VOCABULARY) if t != STOP]
    for n in range(max_tokens):
        for body in itertools.product(words, repeat=n):
            yield (*body, STOP)
    yield from itertools.product(words, repeat=max_tokens)


@pytest.mark.parametrize("seed", range(4))
def test_a_wide_beam_finds_the_best_of_all_sentences(seed):
    table = Table(3, seed)
    found = decode(table, Decoding("beam", width=256, max_tokens=4), stop_tokens=[STOP])
    for row in range(3):
        scores = {s: score(table, row, s) for s in enumerate_sentences(4)}
        best = max(scores, key=scores.get)
        assert tuple(found.tokens[row]) == best
        assert found.scores[row] == pytest.approx(scores[best], abs=1e-6)
        assert found.stopped[row] == (best[-1] == STOP)


@pytest.mark.parametrize("seed", range(5))
def test_a_beam_of_one_is_greedy(seed):
    beam = decode(Table(6, seed), Decoding("beam", width=1, max_tokens=9), stop_tokens=[STOP])
    greedy = decode(Table(6, seed), Decoding("greedy", max_tokens=9), stop_tokens=[STOP])
    assert beam.tokens == greedy.tokens
    assert np.allclose(beam.scores, greedy.scores)
    assert np.array_equal(beam.stopped, greedy.stopped)


def search_one_row(table, row, width, max_tokens):
    """The published search for one row, written plainly."""
    beams = [((), 0.0, False)]
    for _ in range(max_tokens):
        candidates = []
        for tokens, total, ended in beams:
            if ended:
                candidates.append((total / len(tokens), tokens, total, True))
                continue
            logits = table.logits((row, *tokens))
            for token, log_p in enumerate(logits - np.log(np.exp(logits).sum())):
                longer = (*tokens, token)
                candidates.append(((total + log_p) / len(longer), longer, total + log_p, token == STOP))
        candidates.sort(key=lambda entry: -entry[0])
        beams = [entry[1:] for entry in candidates[:width]]
        if all(ended for *_, ended in beams):
            break
    return list(beams[0][0]), beams[0][1] / len(beams[0][0])


@pytest.mark.parametrize("width", [2, 3, 5])
def test_rows_together_equal_the_plain_search_of_each(width):
    table = Table(8, 11)
    found = decode(table, Decoding("beam", width=width, max_tokens=12), stop_tokens=[STOP])
    for row in range(8):
        tokens, mean = search_one_row(Table(8, 11), row, width, 12)
        assert found.tokens[row] == tokens
        assert found.scores[row] == pytest.approx(mean, abs=1e-6)


def test_only_sentences_that_go_on_are_read_by_the_model():
    class Ends(Table):
        def logits(self, sentence):
            logits = super().logits(sentence)
            # Row 0 ends at once, row 1 never.
            logits[STOP] = 50.0 if sentence[0] == 0 else -50.0
            return logits

    table = Ends(2, 0)
    found = decode(table, Decoding("greedy", max_tokens=6), stop_tokens=[STOP])
    assert found.tokens[0] == [STOP]
    assert len(found.tokens[1]) == 6
    assert found.stopped.tolist() == [True, False]
    assert table.n_calls == 5


def test_any_stop_token_ends_a_sentence():
    table = Table(30, 2)
    found = decode(table, Decoding("greedy", max_tokens=30), stop_tokens=[STOP, 0])
    assert all(not {STOP, 0} & set(tokens[:-1]) for tokens in found.tokens)
    assert {tokens[-1] for tokens in found.tokens} == {STOP, 0}


@pytest.mark.parametrize("p", [0.3, 0.7, 1.0])
def test_the_nucleus_holds_p_and_is_drawn_in_proportion(p):
    logits = np.log([0.05, 0.4, 0.25, 0.2, 0.1])

    class Same(Table):
        def logits(self, sentence):
            return logits

    found = decode(Same(6000, 0), Decoding("nucleus", p=p, max_tokens=1, seed=4), stop_tokens=[0, 1, 2, 3, 4])
    drawn = np.bincount([tokens[0] for tokens in found.tokens], minlength=5) / 6000
    nucleus = {0.3: [1], 0.7: [1, 2, 3], 1.0: [0, 1, 2, 3, 4]}[p]
    expected = np.zeros(5)
    expected[nucleus] = np.exp(logits[nucleus])
    assert set(np.flatnonzero(drawn)) == set(nucleus)
    assert np.abs(drawn - expected / expected.sum()).max() < 0.02
    # Scores are those of the model, not of the nucleus.
    assert found.scores[0] == pytest.approx(logits[found.tokens[0][0]], abs=1e-6)


def test_draws_belong_to_the_row_and_the_seed():
    def run(n_rows, first_row, seed):
        class Shifted(Table):
            def logits(self, sentence):
                return super().logits((sentence[0] + first_row, *sentence[1:]))

        decoding = Decoding("nucleus", p=0.9, max_tokens=8, seed=seed)
        return decode(Shifted(n_rows, 5), decoding, stop_tokens=[STOP], first_row=first_row).tokens

    together = run(6, 0, seed=1)
    assert run(2, 0, seed=1) + run(4, 2, seed=1) == together
    assert run(6, 0, seed=2) != together


def test_bad_options_are_named():
    with pytest.raises(ValueError, match="method must be 'beam', 'greedy' or 'nucleus', got 'best'"):
        Decoding("best")
    with pytest.raises(ValueError, match="width must be at least 1"):
        Decoding(width=0)
    with pytest.raises(ValueError, match=r"p must be in \(0, 1\], got 0"):
        Decoding("nucleus", p=0)
    with pytest.raises(ValueError, match="temperature must be positive"):
        Decoding("nucleus", temperature=0)
    with pytest.raises(ValueError, match="stop_tokens must hold at least one"):
        decode(Table(1, 0), Decoding(), stop_tokens=[])

    class Broken(Table):
        def logits(self, sentence):
            return super().logits(sentence) * np.nan

    for method in ("beam", "greedy", "nucleus"):
        with pytest.raises(ValueError, match="must give finite logits, got 3 sentences"):
            decode(Broken(3, 0), Decoding(method, max_tokens=4), stop_tokens=[STOP])
