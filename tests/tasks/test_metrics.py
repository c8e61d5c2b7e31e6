"""Metrics against closed forms and slow independent versions."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rdrop_exp.config.schema import OptionError
from rdrop_exp.tasks import metrics

LABELS = st.integers(2, 4).flatmap(
    lambda n: st.tuples(st.just(n), st.lists(st.tuples(*[st.integers(0, n - 1)] * 2), min_size=1, max_size=30))
)


def test_accuracy_counts_items_and_sets_of_labels() -> None:
    assert metrics.accuracy([0, 1, 2, 1], [0, 1, 1, 1]) == 0.75
    assert metrics.accuracy([[1, 0], [1, 1]], [[1, 0], [0, 1]]) == 0.5


def test_f1_of_two_classes_is_that_of_the_second() -> None:
    # 2 true positives, 1 false positive, 2 false negatives
    assert metrics.f1([1, 1, 1, 0, 0, 0], [1, 1, 0, 1, 1, 0], 2) == pytest.approx(2 * 2 / (2 * 2 + 1 + 2))
    assert metrics.f1([0, 0], [0, 0], 2) == 0.0


@settings(deadline=None, derandomize=True, database=None)
@given(LABELS)
def test_f1_and_matthews_against_scikit_learn(drawn: tuple[int, list[tuple[int, int]]]) -> None:
    from sklearn.metrics import f1_score, matthews_corrcoef

    classes, pairs = drawn
    predicted, targets = map(list, zip(*pairs, strict=True))
    average = "binary" if classes == 2 else "macro"
    assert metrics.f1(predicted, targets, classes) == pytest.approx(
        f1_score(targets, predicted, average=average, zero_division=0.0)
    )
    several = len({*predicted, *targets}) > 1  # scikit-learn warns about one class
    expected = matthews_corrcoef(targets, predicted) if several else 0.0
    assert metrics.matthews(predicted, targets) == pytest.approx(expected)


def test_f1_of_sets_of_labels_is_the_mean_over_labels() -> None:
    predicted, targets = [[1, 0, 0], [1, 1, 0], [0, 1, 0]], [[1, 0, 0], [0, 1, 0], [1, 1, 0]]
    assert metrics.f1(predicted, targets, 3) == pytest.approx((0.5 + 1.0) / 2)  # the third occurs nowhere


def test_matthews_of_two_classes_is_its_closed_form() -> None:
    tp, tn, fp, fn = 7, 5, 2, 3
    predicted = [1] * tp + [0] * tn + [1] * fp + [0] * fn
    targets = [1] * tp + [0] * tn + [0] * fp + [1] * fn
    expected = (tp * tn - fp * fn) / math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    assert metrics.matthews(predicted, targets) == pytest.approx(expected)


@settings(deadline=None, derandomize=True, database=None)
@given(st.lists(st.tuples(*[st.floats(-5, 5, width=16)] * 2), min_size=2, max_size=20))
def test_correlations_against_scipy(pairs: list[tuple[float, float]]) -> None:
    from scipy.stats import pearsonr, spearmanr

    a, b = map(list, zip(*pairs, strict=True))
    if len(set(a)) == 1 or len(set(b)) == 1:
        assert metrics.pearson(a, b) == metrics.spearman(a, b) == 0.0
    else:
        assert metrics.pearson(a, b) == pytest.approx(pearsonr(a, b).statistic, abs=1e-9)
        assert metrics.spearman(a, b) == pytest.approx(spearmanr(a, b).statistic, abs=1e-9)


def test_constant_predictions_correlate_with_nothing() -> None:
    assert metrics.matthews([1, 1, 1], [0, 1, 0]) == 0.0
    assert metrics.pearson(np.full(3, 0.1, np.float32), [1, 2, 3]) == 0.0
    assert metrics.spearman([1, 2, 3], [4, 4, 4]) == 0.0


def test_correlation_of_tiny_and_large_numbers() -> None:
    assert metrics.pearson([1e-200, 2e-200, 3e-200], [1e200, 2e200, 3e200]) == pytest.approx(1.0)


def test_perplexity_of_a_uniform_guess_is_the_vocabulary() -> None:
    assert metrics.perplexity(40 * math.log(37), 40) == pytest.approx(37)
    assert metrics.perplexity(1e6, 10) == math.inf


HYPOTHESES = ["the cat sat on the mat today", "a small dog runs away from the cat", "nothing in common"]
REFERENCES = ["the cat sat on the mat", "a small brown dog runs away from a cat", "something else entirely here"]


def ngrams(words: list[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def slow_bleu(hypotheses: list[str], references: list[str]) -> float:
    """Papineni et al. 2002: clipped precisions of 1- to 4-grams, geometric mean, brevity penalty."""
    precisions, lengths = [], [0, 0]
    for n in range(1, 5):
        right = total = 0
        for h, r in zip(hypotheses, references, strict=True):
            a, b = ngrams(h.split(), n), ngrams(r.split(), n)
            right, total = right + (a & b).total(), total + a.total()
        precisions.append(right / total)
    for h, r in zip(hypotheses, references, strict=True):
        lengths = [lengths[0] + len(h.split()), lengths[1] + len(r.split())]
    penalty = min(1.0, math.exp(1 - lengths[1] / lengths[0]))
    return 100 * penalty * math.exp(sum(map(math.log, precisions)) / 4)


def test_bleu_is_that_of_the_corpus_with_its_signature() -> None:
    score, signature = metrics.bleu_of(HYPOTHESES, REFERENCES)
    assert score == pytest.approx(slow_bleu(HYPOTHESES, REFERENCES))
    assert "tok:13a" in signature
    assert "smooth:exp" in signature
    assert metrics.bleu_of(REFERENCES, REFERENCES)[0] == pytest.approx(100)


def test_bleu_of_each_text() -> None:
    scores = metrics.sentence_bleu([*HYPOTHESES, REFERENCES[1], "cat"], [*REFERENCES, REFERENCES[1], "cat"])
    assert scores.shape == (5,)
    assert scores[0] == pytest.approx(slow_bleu(HYPOTHESES[:1], REFERENCES[:1]), rel=1e-5)
    assert scores[2] == 0
    assert scores[3:] == pytest.approx([100, 100])  # also of a text too short to have four-grams


def longest_common(a: list[str], b: list[str]) -> int:
    if not a or not b:
        return 0
    if a[-1] == b[-1]:
        return 1 + longest_common(a[:-1], b[:-1])
    return max(longest_common(a[:-1], b), longest_common(a, b[:-1]))


def test_rouge_against_its_definition() -> None:
    found = metrics.rouge_items(HYPOTHESES, REFERENCES)
    for i, (h, r) in enumerate(zip(HYPOTHESES, REFERENCES, strict=True)):
        a, b = h.split(), r.split()
        for n in (1, 2):
            shared = (ngrams(a, n) & ngrams(b, n)).total()
            expected = 2 * shared / (len(a) - n + 1 + len(b) - n + 1)
            assert found[f"rouge{n}"][i] == pytest.approx(expected)
        assert found["rougeL"][i] == pytest.approx(2 * longest_common(a, b) / (len(a) + len(b)))


def test_rouge_ignores_endings_of_words() -> None:
    assert metrics.rouge_items(["the cats walked"], ["the cat walks"])["rouge2"][0] == pytest.approx(1.0)


@pytest.mark.parametrize("call", [metrics.bleu_of, metrics.sentence_bleu, metrics.rouge_items])
def test_a_missing_package_is_named_with_its_extra(call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(OptionError, match=r"rdrop-exp\[text\]"):
        call(["a"], ["a"])
