"""The signatures of a served embedder: texts in, vectors out.

Shapes: B rows, S tokens, D width of the vectors.
"""

from tfzoo.serving.signatures import (
    STRINGS,
    encoded,
    logits_of,
    strings_and_ids,
    traced,
)


def text_embedder_signatures(core, tokenizer):
    """The signatures of a model that embeds texts.

    `serving_default` takes `text` string (B,) and returns `embedding` float32 (B, D).

    `token_ids` takes `token_ids`, `segment_ids` (if the core has segments) and
    `padding_mask` int32 (B, S), with S from 1 to `max_sequence_length`, and returns the
    same.

    Args:
        core: A `PaddedCore` that returns vectors (B, D).
        tokenizer: The tokenizer.

    Returns:
        `ServedModel`.
    """

    @traced(text=STRINGS)
    def serving_default(text):
        inputs = encoded(tokenizer, {"text": text}, core.max_sequence_length)
        return {"embedding": logits_of(core, inputs)}

    return strings_and_ids(serving_default, "embedding", core, tokenizer)
