"""Logits processors: each changes the scores of the next token by one rule.

All are safe under XLA, have a value of their own for each row, and leave a row as it is
whose value is neutral. `-inf` is the score of a token that cannot come.

Shapes: B rows, V vocabulary_size, W places for tokens, M candidates.
"""

import tensorflow as tf

from tfzoo.generation.thresholds import largest_with_mass

HIDDEN = float("-inf")


def repetition_penalty(logits, history, penalty):
    """Divides positive scores of tokens that occurred by `penalty`, multiplies others.

    Args:
        logits: float32 (B, V).
        history: A `History` with counts; the prompt's tokens count too.
        penalty: float32 (B,), above 0; 1 changes nothing, and costs nothing where all
            are 1, as they mostly are in a served model.

    Source: Keskar et al. 2019, section 4.1, https://arxiv.org/abs/1909.05858
    """

    def penalised():
        seen = (history.counts["prompt"] + history.counts["new"]) > 0
        by = penalty[:, None]
        return tf.where(seen, tf.where(logits < 0, logits * by, logits / by), logits)

    return tf.cond(tf.reduce_any(penalty != 1.0), penalised, lambda: logits)


def presence_penalty(logits, history, penalty):
    """Subtracts `penalty` (B,) from every token that occurred after the prompt."""
    return logits - penalty[:, None] * tf.cast(history.counts["new"] > 0, tf.float32)


def frequency_penalty(logits, history, penalty):
    """Subtracts `penalty` (B,) for each time that a token occurred after the prompt."""
    return logits - penalty[:, None] * tf.cast(history.counts["new"], tf.float32)


def no_repeat_ngram(logits, history, offsets):
    """Forbids tokens that would complete an n-gram which occurred, prompt included.

    Args:
        logits: float32 (B, V).
        history: A `History`.
        offsets: `tf.range(n)`: n is a shape, as XLA needs it.

    Source: Paulus et al. 2017, section 2.5, https://arxiv.org/abs/1705.04304
    """
    n = offsets.shape[0]
    width = tf.shape(history.tokens)[1]
    starts = tf.range(width)[None]  # of the n-grams
    begin = history.lengths - (n - 1)  # of the last n - 1 tokens
    match = starts + n - 1 < history.lengths[:, None]  # (B, W)
    for k in range(n - 1):
        last = tf.gather(history.tokens, tf.maximum(begin + k, 0), batch_dims=1)
        match &= tf.roll(history.tokens, -k, axis=1) == last[:, None]
    return forbidden(logits, tf.roll(history.tokens, 1 - n, axis=1), match)


def bad_words(logits, history, words):
    """Forbids the last token of sequences whose beginning the history ends with.

    Args:
        logits: float32 (B, V).
        history: A `History`.
        words: int32 (M, L), padded on the left with -1.
    """
    rows, num_words = tf.shape(logits)[0], tf.shape(words)[0]
    match = tf.ones([rows, num_words], tf.bool)
    length = words.shape[1]
    for k in range(length - 1):
        place = history.lengths - (length - 1) + k
        token = tf.gather(history.tokens, tf.maximum(place, 0), batch_dims=1)
        token = tf.where(place < 0, -2, token)[:, None]
        match &= (words[None, :, k] == token) | (words[None, :, k] == -1)
    return forbidden(logits, tf.repeat(words[None, :, -1], rows, axis=0), match)


def bad_ids(logits, history, bad):
    """Forbids the tokens where `bad`, boolean (V,), is true."""
    return tf.where(bad, HIDDEN, logits)


def min_new_tokens(logits, history, end):
    """Forbids end tokens before enough tokens came.

    Args:
        logits: float32 (B, V).
        history: A `History`.
        end: A tuple of the smallest numbers of new tokens, int32 (B,), and the end
            tokens, int32 (E,).
    """
    minimum, end_ids = end
    is_end = tf.reduce_any(tf.range(tf.shape(logits)[1]) == end_ids[:, None], axis=0)
    early = history.num_new < minimum
    return tf.where(early[:, None] & is_end, HIDDEN, logits)


def temperature(logits, history, value):
    """Divides by `value` (B,); where it is 0 nothing changes, as the best is taken."""
    return logits / tf.where(value > 0, value, 1.0)[:, None]


def top_k(logits, history, k):
    """Keeps the k highest, int32 (B,), and what ties with the last; 0 keeps all.

    Source: Fan et al. 2018, section 5.4, https://arxiv.org/abs/1805.04833
    """
    k = tf.where(k > 0, k, tf.shape(logits)[1])
    lowest = largest_with_mass(
        logits, tf.ones_like(logits), tf.cast(k, tf.float32), active=k < logits.shape[1]
    )
    return tf.where(logits >= lowest[:, None], logits, HIDDEN)


def top_p(logits, history, p):
    """Keeps the likeliest tokens whose probabilities reach `p` (B,); 1 keeps all.

    Equally likely tokens stay or go together.

    Source: Holtzman et al. 2019, section 3.1, https://arxiv.org/abs/1904.09751
    """
    lowest = largest_with_mass(logits, tf.nn.softmax(logits), p, active=p < 1.0)
    return tf.where(logits >= lowest[:, None], logits, HIDDEN)


def min_p(logits, history, p):
    """Keeps tokens at least `p` (B,) times as likely as the likeliest; 0 keeps all.

    Source: Nguyen et al. 2024, section 3, https://arxiv.org/abs/2407.01082
    """
    probabilities = tf.nn.softmax(logits)
    lowest = p[:, None] * tf.reduce_max(probabilities, axis=-1, keepdims=True)
    return tf.where(probabilities < lowest, HIDDEN, logits)


def typical_p(logits, history, p):
    """Keeps the tokens closest to the expected surprise, to a mass `p` (B,); 1: all.

    Source: Meister et al. 2022, section 3.2, https://arxiv.org/abs/2202.00666
    """
    log_probabilities = tf.nn.log_softmax(logits)
    probabilities = tf.exp(log_probabilities)
    surprise = -tf.where(probabilities > 0, log_probabilities, 0.0)
    entropy = tf.reduce_sum(probabilities * surprise, axis=-1, keepdims=True)
    closeness = tf.where(probabilities > 0, -tf.abs(surprise - entropy), HIDDEN)
    lowest = largest_with_mass(closeness, probabilities, p, active=p < 1.0)
    return tf.where(closeness >= lowest[:, None], logits, HIDDEN)


# In the order in which they apply, which is that of transformers.
PENALTIES = {
    "repetition_penalty": repetition_penalty,
    "presence_penalty": presence_penalty,
    "frequency_penalty": frequency_penalty,
    "no_repeat_ngram": no_repeat_ngram,
    "bad_words": bad_words,
    "bad_ids": bad_ids,
    "min_new_tokens": min_new_tokens,
}
WARPERS = {
    "temperature": temperature,
    "top_k": top_k,
    "top_p": top_p,
    "min_p": min_p,
    "typical_p": typical_p,
}
COUNTING = {"repetition_penalty", "presence_penalty", "frequency_penalty"}


def processed(logits, history, rules, processors):
    """The logits after those `processors` that `rules` has a value for.

    Args:
        logits: float32 (B, V).
        history: A `History`.
        rules: Dict of a processor's name to its value.
        processors: `PENALTIES` or `WARPERS`.
    """
    for name, processor in processors.items():
        if name in rules:
            logits = processor(logits, history, rules[name])
    return logits


def forbidden(logits, candidates, where):
    """Logits without the candidates, int32 (B, M), that are marked in `where` (B, M).

    As many rounds as the row with most different ones has, mostly none or one: a
    scatter would take one round for each of the B * M.
    """
    vocabulary = tf.range(tf.shape(logits)[1])

    def forbid_one(logits, where):
        first = tf.argmax(where, axis=1, output_type=tf.int32)
        token = tf.gather(candidates, first, batch_dims=1)[:, None]
        token = tf.where(tf.reduce_any(where, axis=1, keepdims=True), token, -1)
        logits = tf.where(vocabulary == token, HIDDEN, logits)
        return logits, where & (candidates != token)

    logits, _ = tf.while_loop(
        lambda _, where: tf.reduce_any(where), forbid_one, (logits, where)
    )
    return logits
