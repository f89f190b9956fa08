"""BLEU, chrF, ROUGE and length ratio of generated texts.

BLEU and chrF are sacreBLEU's (Post 2018, https://arxiv.org/abs/1804.08771), ROUGE is
that of `rouge-score` (Lin 2004, https://aclanthology.org/W04-1013): the extra
`metrics` installs both.
"""

import importlib

from tfzoo.errors import shown

_ROUGE = ("rouge1", "rouge2", "rougeL")
_SACREBLEU = ("bleu", "chrf", "length_ratio")
MEASURES = (*_SACREBLEU, *_ROUGE)


def generation_scores(
    hypotheses, references, measures=("bleu", "chrf"), *, tokenize="13a", stemmer=True
):
    """Compares generated texts with references.

    Args:
        hypotheses: N generated texts.
        references: For each of them a text, or a list of several; all of N have
            equally many.
        measures: Names of what to compute:
            "bleu": of the corpus, cased, 0 to 100.
            "chrf": of the corpus, chrF2, 0 to 100.
            "rouge1", "rouge2", "rougeL": mean F1 over the texts, 0 to 100, each with
            the reference of the highest F1.
            "length_ratio": tokens of all hypotheses per token of the references, as
            BLEU counts them; of several references the closest in length counts.
        tokenize: sacreBLEU's tokenizer: "13a", "zh", "ja-mecab", "char", ...
        stemmer: Whether ROUGE compares English stems.

    Returns:
        Dict of measure -> float, and of `bleu_signature` and `chrf_signature`, if they
        are computed -> str, sacreBLEU's signature: with it, a number can be compared
        with that of a paper.

    Raises:
        ImportError: a library is not installed; the message says which.
        ValueError: there are no texts, or not as many references as hypotheses.
    """
    unknown = [name for name in measures if name not in MEASURES]
    if isinstance(measures, str) or unknown or not measures:
        raise ValueError(
            f"measures must be a list of some of {', '.join(MEASURES)}. "
            f"Received: {shown(measures)}"
        )
    hypotheses = list(hypotheses)
    references = [[r] if isinstance(r, str) else [*r] for r in references]
    _check(hypotheses, references)
    scores = {}
    if {*_SACREBLEU} & {*measures}:
        scores |= _sacrebleu(hypotheses, references, measures, tokenize)
    if rouge := [name for name in _ROUGE if name in measures]:
        scores |= _rouge(hypotheses, references, rouge, stemmer)
    return scores


def _check(hypotheses, references):
    if len(hypotheses) != len(references) or not hypotheses:
        raise ValueError(
            "There must be as many references as hypotheses, at least one. Received: "
            f"{len(references)} and {len(hypotheses)}"
        )
    counts = sorted({len(texts) for texts in references})
    if len(counts) > 1 or counts[0] == 0:
        raise ValueError(
            "Every hypothesis must have equally many references, at least one. "
            f"Received: between {counts[0]} and {counts[-1]}"
        )
    for texts in (hypotheses, *references):
        for text in texts:
            if not isinstance(text, str):
                raise ValueError(f"A text must be a str. Received: {shown(text)}")


def _sacrebleu(hypotheses, references, measures, tokenize):
    library = _imported("sacrebleu", "BLEU and chrF require sacrebleu", "sacrebleu")
    if tokenize not in library.BLEU.TOKENIZERS:
        raise ValueError(
            f"tokenize must be one of {', '.join(library.BLEU.TOKENIZERS)}. "
            f"Received: {shown(tokenize)}"
        )
    streams = [*zip(*references, strict=True)]
    scores = {}
    if {"bleu", "length_ratio"} & {*measures}:
        metric = library.BLEU(tokenize=tokenize)
        bleu = metric.corpus_score(hypotheses, streams)
        if "length_ratio" in measures:
            scores["length_ratio"] = float(bleu.ratio)
        if "bleu" in measures:
            scores["bleu"] = float(bleu.score)
            scores["bleu_signature"] = str(metric.get_signature())
    if "chrf" in measures:
        metric = library.CHRF()
        scores["chrf"] = float(metric.corpus_score(hypotheses, streams).score)
        scores["chrf_signature"] = str(metric.get_signature())
    return scores


def _rouge(hypotheses, references, names, stemmer):
    library = _imported(
        "rouge_score.rouge_scorer", "ROUGE requires rouge-score", "rouge-score"
    )
    scorer = library.RougeScorer(names, use_stemmer=stemmer)
    sums = dict.fromkeys(names, 0.0)
    for hypothesis, texts in zip(hypotheses, references, strict=True):
        best = scorer.score_multi(texts, hypothesis)
        for name in names:
            sums[name] += best[name].fmeasure
    return {name: 100 * total / len(hypotheses) for name, total in sums.items()}


def _imported(module, purpose, package):
    try:
        return importlib.import_module(module)
    except ImportError as e:
        raise ImportError(
            f"{purpose}, which cannot be imported: {e}. Install it: pip install "
            f"{package}, or tfzoo[metrics]"
        ) from e
