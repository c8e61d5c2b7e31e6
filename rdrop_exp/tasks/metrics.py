"""Metrics of text tasks: pure functions over arrays of predictions and targets, or over texts.

Where a metric is undefined it is 0, so that such weights are never the best of a trial: the correlations where
predictions or targets are constant (as GLUE's own code ends up doing for Matthews), F1 of a class that never occurs.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rdrop_exp.text.tokenizers import require


def accuracy(predicted: ArrayLike, targets: ArrayLike) -> float:
    """Share of (items,) that are equal; of (items, labels), share of items whose labels are all right."""
    equal = np.asarray(predicted) == np.asarray(targets)
    return float(equal.reshape(len(equal), -1).all(1).mean())


def f1(predicted: ArrayLike, targets: ArrayLike, classes: int) -> float:
    """Of (items,) classes: class 1's F1 where there are two, as in GLUE, else the mean over classes.

    Of (items, labels) 0 or 1: the mean over labels. Classes that occur nowhere are left out of a mean.
    """
    a, b = np.asarray(predicted), np.asarray(targets)
    if a.ndim == 1:
        a, b = (x[:, None] == np.arange(classes) for x in (a, b))
        a, b = (a[:, 1:], b[:, 1:]) if classes == 2 else (a, b)
    a, b = a.astype(bool), b.astype(bool)
    both, either = 2 * (a & b).sum(0), a.sum(0) + b.sum(0)
    scores = both[either > 0] / either[either > 0]
    return float(scores.mean()) if len(scores) else 0.0


def matthews(predicted: ArrayLike, targets: ArrayLike) -> float:
    """Matthews correlation of (items,) classes, two or more (Gorodkin 2004's R_K); CoLA's metric."""
    a, b = np.asarray(predicted), np.asarray(targets)
    classes = np.arange(max(a.max(), b.max()) + 1)
    p, t = (np.asarray(x[:, None] == classes, np.float64) for x in (a, b))
    covariance = ((p - p.mean(0)) * (t - t.mean(0))).sum()
    spread = ((p - p.mean(0)) ** 2).sum() * ((t - t.mean(0)) ** 2).sum()
    return float(covariance / math.sqrt(spread)) if _varies(a) and _varies(b) else 0.0


def pearson(predicted: ArrayLike, targets: ArrayLike) -> float:
    """Linear correlation of (items,) numbers; STS-B's metric."""
    a, b = (np.asarray(x, np.float64) for x in (predicted, targets))
    if not (_varies(a) and _varies(b)):
        return 0.0
    a, b = ((x - x.mean()) / np.abs(x - x.mean()).max() for x in (a, b))  # squares of tiny numbers would be 0
    return float(np.clip((a @ b) / math.sqrt((a @ a) * (b @ b)), -1, 1))


def spearman(predicted: ArrayLike, targets: ArrayLike) -> float:
    """Rank correlation of (items,) numbers, with mean ranks for ties."""
    from scipy.stats import rankdata

    return pearson(rankdata(predicted), rankdata(targets))


def _varies(x: NDArray[Any]) -> bool:
    return bool((x != x[:1]).any())


def perplexity(loss: float, tokens: float) -> float:
    """exp(mean loss) from the loss in nats summed over tokens; infinite where that overflows."""
    mean = loss / tokens
    return math.exp(mean) if mean < 700 else math.inf


def bleu_of(hypotheses: Sequence[str], references: Sequence[str]) -> tuple[float, str]:
    """Corpus BLEU in 0..100 as sacrebleu computes it (Post 2018, arXiv 1804.08771), and its signature."""
    require("sacrebleu")
    from sacrebleu import BLEU

    metric = BLEU()
    score = metric.corpus_score(list(hypotheses), [list(references)]).score
    return float(score), str(metric.get_signature())


def bleu_signature() -> str:
    return bleu_of(["a"], ["a"])[1]


def sentence_bleu(hypotheses: Sequence[str], references: Sequence[str]) -> NDArray[np.float32]:
    """(items,) BLEU in 0..100 of each text by itself, of the n-grams that it is long enough to have."""
    require("sacrebleu")
    from sacrebleu import BLEU

    metric = BLEU(effective_order=True)
    pairs = zip(hypotheses, references, strict=True)
    return np.asarray([metric.sentence_score(text, [reference]).score for text, reference in pairs], np.float32)


ROUGE = ("rouge1", "rouge2", "rougeL")


def rouge_items(hypotheses: Sequence[str], references: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    """ROUGE-1, -2 and -L (Lin 2004), name → (items,) F-measures in 0..1 after stemming; their means are the metric.

    ROUGE-L takes each text as one sequence, not by its sentences.
    """
    require("rouge_score")
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(ROUGE, use_stemmer=True)
    scores = [scorer.score(reference, text) for text, reference in zip(hypotheses, references, strict=True)]
    return {name: np.asarray([score[name].fmeasure for score in scores], np.float32) for name in ROUGE}
