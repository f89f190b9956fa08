"""The signatures of a served embedder: texts in, vectors out.

Shapes: B rows, S tokens, D width of a vector.
"""

from tfzoo.serving.signatures import (
    STRINGS,
    encoded,
    logits_of,
    padded_core,
    strings_and_ids,
    traced,
)


def text_embedder_signatures(
    core,
    tokenizer,
    *,
    max_sequence_length,
    vocabulary_size=None,
    num_segments=2,
    jit_compile=False,
):
    """The signatures of a model that gives texts vectors.

    `serving_default` takes `text` string (B,) and returns `embedding` float32 (B, D).

    `token_ids` takes `token_ids`, `segment_ids` (where the core has segments) and
    `padding_mask` int32 (B, S), with S from 1 to `max_sequence_length`, and returns the
    same.

    Args:
        core: As of `padded_core`; gives vectors (B, D).
        tokenizer: Likewise.
        max_sequence_length: Likewise.
        num_segments: Likewise.
        jit_compile: Likewise.
        vocabulary_size: Ids the core knows; the tokenizer's vocabulary by default.

    Returns:
        `ServedModel`.
    """
    padded = padded_core(
        core, tokenizer, max_sequence_length, num_segments, jit_compile=jit_compile
    )

    @traced(text=STRINGS)
    def serving_default(text):
        inputs = encoded(tokenizer, {"text": text}, max_sequence_length)
        return {"embedding": logits_of(padded, inputs)}

    return strings_and_ids(
        serving_default,
        "embedding",
        padded,
        tokenizer,
        vocabulary_size=vocabulary_size,
        num_segments=num_segments,
    )
