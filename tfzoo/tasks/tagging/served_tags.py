"""The signatures of a served token classifier: texts in, labels of words out.

Shapes: B rows, S tokens, W words, C labels.
"""

import tensorflow as tf

from tfzoo.serving.passages import passages
from tfzoo.serving.signatures import (
    STRINGS,
    dense_inputs,
    strings_and_ids,
    traced,
)
from tfzoo.serving.text_parts import flat_rows, ragged_rows, text_in_parts
from tfzoo.tasks.tagging.tags import likeliest_labels
from tfzoo.text.segments import pack_in_graph
from tfzoo.text.tokenizer import WHITE_SPACE


def token_classifier_signatures(
    core,
    tokenizer,
    *,
    labels,
):
    """The signatures of a token classifier.

    `serving_default` takes `text` string (B,) and returns, with W the maximum number of
    words in a text of the batch,

    - `words` string (B, W) as in the text, `labels` string (B, W) and `scores` float32
      (B, W), the probabilities of the labels;
    - `starts` and `ends` int32 (B, W), the positions of the words in the text, in
      characters (Unicode code points; invalid UTF-8 counts as U+FFFD, as in Python's
      `decode("utf-8", "replace")`);
    - `num_words` int32 (B,). Rows are padded with empty strings and zeros.

    Words are those of the tokenizer, which splits at punctuation; the label is that of
    a word's first token. Words beyond `max_sequence_length` are skipped, and so are
    words of white space only, which byte-level BPE has.

    `token_ids` takes `token_ids`, `segment_ids` (if the core has segments) and
    `padding_mask` int32 (B, S), with S from 1 to `max_sequence_length`, and returns
    `logits` float32 (B, S, C).

    Args:
        core: A `PaddedCore` that returns logits (B, S, C).
        tokenizer: The tokenizer.
        labels: The C class names in order.

    Returns:
        `ServedModel`.
    """
    core.require_labels(labels)
    layout = tokenizer.layout_ids
    most = core.max_sequence_length - layout.num_special(1)

    def read(texts):
        """Ids and words of texts, as vectors."""
        places = tokenizer.graph.places_in_bounds(texts["text"])
        places = {name: value[:, :most] for name, value in places.items()}
        words = _words(texts["text"], places, before=layout.first is not None)
        ids = {"token_ids": places["token_ids"]}
        return {**flat_rows(ids), **flat_rows(words, "num_words")}

    @traced(text=STRINGS)
    def serving_default(text):
        with tf.device("/CPU:0"):
            flat = text_in_parts(read, {"text": text})
            ids = pack_in_graph(
                ragged_rows(flat, ["token_ids"])["token_ids"], layout=layout
            )
            inputs = dense_inputs(ids, tokenizer.required_id("pad"))
            names = ("words", "starts", "ends", "columns")
            words = ragged_rows(flat, names, "num_words")
            words = {name: ragged.to_tensor() for name, ragged in words.items()}
            columns = words.pop("columns")

        def label(logits, rows):
            places = tf.minimum(tf.gather(columns, rows), tf.shape(logits)[1] - 1)
            indices, scores = likeliest_labels(tf.gather(logits, places, batch_dims=1))
            return {"labels": indices, "scores": scores}

        lengths = tf.reduce_sum(inputs["padding_mask"], axis=1)
        found = core(inputs, label, lengths)
        with tf.device("/CPU:0"):
            num_words = tf.cast(flat["num_words"], tf.int32)
            is_word = tf.sequence_mask(num_words, tf.shape(columns)[1])
            names_found = tf.gather(tf.constant(labels), found["labels"])
            return {
                **words,
                "labels": tf.where(is_word, names_found, ""),
                "scores": tf.where(is_word, found["scores"], 0.0),
                "num_words": num_words,
            }

    return strings_and_ids(
        serving_default,
        "logits",
        core,
        tokenizer,
        by_token=True,
        labels=tuple(labels),
    )


def _words(text, places, *, before):
    """Ragged (B, W): words, their positions, and the column of their first token.

    `before`: whether rows start with a special token.
    """
    ids, is_first = places["token_ids"], places["starts_word"].flat_values
    firsts = tf.squeeze(tf.where(is_first), 1)
    lasts = tf.concat([firsts, [tf.size(is_first, tf.int64)]], 0)[1:] - 1
    starts = tf.gather(places["starts"].flat_values, firsts)
    ends = tf.gather(places["ends"].flat_values, lasts)
    rows = tf.gather(ids.value_rowids(), firsts)
    words = passages(text, rows, starts, ends)
    columns = tf.cast(firsts - tf.gather(ids.row_starts(), rows), tf.int32)
    columns += int(before)
    found = {"words": words, "starts": starts, "ends": ends, "columns": columns}
    is_word = ~tf.strings.regex_full_match(words, f"{WHITE_SPACE}*")
    rows = tf.boolean_mask(rows, is_word)
    return {
        name: tf.RaggedTensor.from_value_rowids(
            tf.boolean_mask(values, is_word), rows, nrows=ids.nrows()
        )
        for name, values in found.items()
    }
