"""Logits processors: each modifies the scores of the next token by one rule.

All are safe under XLA, take a separate value for each row, and leave rows with a
neutral value unchanged. `-inf` is the score of a token that cannot be generated.

Shapes: B rows, V vocabulary_size, W token slots, M candidates.
"""

import tensorflow as tf

from tfzoo.generation.thresholds import largest_with_mass

HIDDEN = float("-inf")


def repetition_penalty(logits, history, penalty):
    """Makes tokens that have occurred less likely.

    Their positive scores are divided by `penalty`, negative ones multiplied by it.

    Args:
        logits: float32 (B, V).
        history: A `History` with counts; the prompt's tokens count, too.
        penalty: float32 (B,), positive; 1 is neutral, and if all are 1, as is typical
            for a served model, there is no cost.

    Source: Keskar et al. 2019, section 4.1, https://arxiv.org/abs/1909.05858
    """

    def penalised():
        seen = (history.counts["prompt"] + history.counts["new"]) > 0
        by = penalty[:, None]
        return tf.where(seen, tf.where(logits < 0, logits * by, logits / by), logits)

    return tf.cond(tf.reduce_any(penalty != 1.0), penalised, lambda: logits)


def presence_penalty(logits, history, penalty):
    """Subtracts `penalty` (B,) from tokens that have occurred after the prompt."""
    return logits - penalty[:, None] * tf.cast(history.counts["new"] > 0, tf.float32)


def frequency_penalty(logits, history, penalty):
    """Subtracts `penalty` (B,) for each occurrence of a token after the prompt."""
    return logits - penalty[:, None] * tf.cast(history.counts["new"], tf.float32)


def no_repeat_ngram(logits, history, offsets):
    """Forbids tokens that would repeat an n-gram, including those of the prompt.

    Args:
        logits: float32 (B, V).
        history: A `History`.
        offsets: `tf.range(n)`; n is its shape, because XLA needs it static.

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
    """Forbids the last token of a bad word if the history ends with the rest of it.

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
    """Forbids the tokens for which `bad`, boolean (V,), is true."""
    return tf.where(bad, HIDDEN, logits)


def min_new_tokens(logits, history, end):
    """Forbids end tokens before a minimum number of new tokens.

    Args:
        logits: float32 (B, V).
        history: A `History`.
        end: Tuple of the minimum numbers, int32 (B,), and the end tokens, int32 (E,).
    """
    minimum, end_ids = end
    is_end = tf.reduce_any(tf.range(tf.shape(logits)[1]) == end_ids[:, None], axis=0)
    early = history.num_new < minimum
    return tf.where(early[:, None] & is_end, HIDDEN, logits)


def forced(logits, history, ids):
    """Leaves a single token as the first, or as the last if a text has no room left.

    Its score is 0, the logarithm of its probability then.

    Args:
        logits: float32 (B, V).
        history: A `History`.
        ids: Tuple of the first and the last token, int32 scalars, -1 for none, and of
            the maximum number of new tokens, int32 (B,).
    """
    first, last, limits = ids
    token = tf.where(history.num_new == 0, first, -1)
    token = tf.where((history.num_new == limits - 1) & (last >= 0), last, token)
    token = token[:, None]
    alone = tf.where(tf.range(tf.shape(logits)[1]) == token, 0.0, HIDDEN)
    return tf.where(token >= 0, alone, logits)


def temperature(logits, history, value):
    """Divides by `value` (B,); 0, for the most likely token, changes nothing."""
    return logits / tf.where(value > 0, value, 1.0)[:, None]


def top_k(logits, history, k):
    """Keeps the k highest scores, k int32 (B,), and ties with the last; 0 keeps all.

    Source: Fan et al. 2018, section 5.4, https://arxiv.org/abs/1805.04833
    """
    k = tf.where(k > 0, k, tf.shape(logits)[1])
    lowest = largest_with_mass(
        logits, tf.ones_like(logits), tf.cast(k, tf.float32), active=k < logits.shape[1]
    )
    return tf.where(logits >= lowest[:, None], logits, HIDDEN)


def top_p(logits, history, p):
    """Keeps the most likely tokens whose probabilities reach `p` (B,); 1 keeps all.

    Equally likely tokens are kept or removed together.

    Source: Holtzman et al. 2019, section 3.1, https://arxiv.org/abs/1904.09751
    """
    lowest = largest_with_mass(logits, tf.nn.softmax(logits), p, active=p < 1.0)
    return tf.where(logits >= lowest[:, None], logits, HIDDEN)


def min_p(logits, history, p):
    """Keeps tokens with at least `p` (B,) times the highest probability; 0 keeps all.

    Source: Nguyen et al. 2024, section 3, https://arxiv.org/abs/2407.01082
    """
    probabilities = tf.nn.softmax(logits)
    lowest = p[:, None] * tf.reduce_max(probabilities, axis=-1, keepdims=True)
    return tf.where(probabilities < lowest, HIDDEN, logits)


def typical_p(logits, history, p):
    """Keeps the tokens closest to the entropy, up to a mass `p` (B,); 1 keeps all.

    Source: Meister et al. 2022, section 3.2, https://arxiv.org/abs/2202.00666
    """
    log_probabilities = tf.nn.log_softmax(logits)
    probabilities = tf.exp(log_probabilities)
    surprise = -tf.where(probabilities > 0, log_probabilities, 0.0)
    entropy = tf.reduce_sum(probabilities * surprise, axis=-1, keepdims=True)
    closeness = tf.where(probabilities > 0, -tf.abs(surprise - entropy), HIDDEN)
    lowest = largest_with_mass(closeness, probabilities, p, active=p < 1.0)
    return tf.where(closeness >= lowest[:, None], logits, HIDDEN)


# In the order in which they are applied, as in transformers
PENALTIES = {
    "repetition_penalty": repetition_penalty,
    "presence_penalty": presence_penalty,
    "frequency_penalty": frequency_penalty,
    "no_repeat_ngram": no_repeat_ngram,
    "bad_words": bad_words,
    "bad_ids": bad_ids,
    "min_new_tokens": min_new_tokens,
    "forced": forced,
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
    """Applies those `processors` for which `rules` has a value.

    Args:
        logits: float32 (B, V).
        history: A `History`.
        rules: Dict of processor name -> value.
        processors: `PENALTIES` or `WARPERS`.
    """
    for name, processor in processors.items():
        if name in rules:
            logits = processor(logits, history, rules[name])
    return logits


def forbidden(logits, candidates, where):
    """Sets the logits of `candidates`, int32 (B, M), to -inf if `where` (B, M) is true.

    Takes as many rounds as there are distinct tokens in one row, usually none or one: a
    scatter would take a round for each of the B * M.
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
