"""RoBERTa: BERT without segments, with positions that start after the padding id.

Sources: Liu et al. 2019, https://arxiv.org/abs/1907.11692; tensor names: `RobertaModel`
and `RobertaFor...` of `transformers`.

Shapes: B batch, S sequence, D hidden_dim.
"""

from keras import ops

from tfzoo.checkpoints import fields
from tfzoo.checkpoints.keras_hub import KerasHubClass
from tfzoo.checkpoints.names import linear, norm, plain
from tfzoo.errors import CheckpointError
from tfzoo.families import bert
from tfzoo.families.family import Family, Head, declared
from tfzoo.families.preset_backbone import PresetBackbone
from tfzoo.layers import PositionEmbedding, TokenEmbedding
from tfzoo.models.arguments import own_arguments
from tfzoo.models.encoder import Encoder, id_inputs
from tfzoo.text.byte_bpe.tokenizer import ByteBPETokenizer
from tfzoo.text.layout import Layout


def _size(num_layers, num_heads, hidden_dim):
    return dict(
        num_layers=num_layers,
        num_heads=num_heads,
        hidden_dim=hidden_dim,
        intermediate_dim=4 * hidden_dim,
        vocabulary_size=50265,
        max_sequence_length=512,
        dropout=0.1,
    )


class _Roberta(Family):
    """In `config.json`, the number of positions includes those that no token has."""

    def to_config(self, arguments, class_name=None, extra=None):
        positions = arguments["max_sequence_length"] + arguments["padding_id"] + 1
        arguments = {**arguments, "max_sequence_length": positions}
        return super().to_config(arguments, class_name, extra)

    def from_config(self, config, path):
        found = super().from_config(config, path)
        positions = found["max_sequence_length"]
        found["max_sequence_length"] = positions - found["padding_id"] - 1
        if found["max_sequence_length"] < 1:
            raise CheckpointError(
                "Must exceed pad_token_id + 1, the first position. Received: "
                f"{positions}, with pad_token_id={found['padding_id']}.",
                path=path,
                tensor="max_position_embeddings",
            )
        return found


ROBERTA = _Roberta(
    model_type="roberta",
    class_name="RobertaModel",
    prefix="roberta.",
    fields={
        **bert.FIELDS,
        "num_segments": fields.size("type_vocab_size", 1),
        "padding_id": fields.token("pad_token_id", 1),
    },
    fixed=bert.FIXED,
    names=bert.NAMES,
    heads={
        "MaskedLM": Head(
            "RobertaForMaskedLM",
            {
                **linear("masked_lm_head/transform", "lm_head.dense"),
                **norm("masked_lm_head/transform_norm", "lm_head.layer_norm"),
                **plain("masked_lm_head/bias", "lm_head.bias"),
            },
        ),
        "TextClassifier": Head(
            "RobertaForSequenceClassification",
            {
                **linear("classifier/transform", "classifier.dense"),
                **linear("classifier/output", "classifier.out_proj"),
            },
            bert.CLASSIFIER_DROPOUT,
        ),
        "TokenClassifier": Head(
            "RobertaForTokenClassification",
            linear("token_classifier", "classifier"),
            bert.CLASSIFIER_DROPOUT,
        ),
        "QuestionAnswerer": Head(
            "RobertaForQuestionAnswering", linear("answer_span", "qa_outputs")
        ),
    },
    tied={
        "lm_head.decoder.weight": "embeddings.word_embeddings.weight",
        "lm_head.decoder.bias": "lm_head.bias",
    },
    # fairseq's `encode`: two separators, and no segments
    tokenizers={
        ByteBPETokenizer: Layout("cls", "sep", between=("sep", "sep"), second_segment=0)
    },
    # Section 2.1
    sizes={
        "roberta_base": _size(12, 12, 768),
        "roberta_large": _size(24, 16, 1024),
    },
    token_fields={"bos_token_id": "cls", "eos_token_id": "sep"},
    keras_hub=KerasHubClass(
        "RobertaBackbone",
        dict(activation="gelu", layer_norm_epsilon=1e-5, num_segments=1),
        pads_positions=True,
    ),
)


@declared(ROBERTA)
class RobertaEncoder(PresetBackbone, Encoder):
    """RoBERTa encoder: one vector per position and one for the whole input.

    As in fairseq, the first token has position `padding_id` + 1, and padding has
    position `padding_id`: the table of positions has `padding_id` + 1 rows more than
    `max_sequence_length`.

    Arguments are as in `BertEncoder`, except for `num_segments`, the number of rows of
    the segment table (published checkpoints have one; every token is in segment 0), and
    `padding_id`, the id of the padding token, after which positions start.

    Inputs (a dict of int32):
        token_ids: (B, S).
        padding_mask: (B, S), 1 for a token and 0 for padding.

    Returns:
        A dict with `sequence_output` (B, S, D) and, with a pooler, `pooled_output`
        (B, D).

    Source: Liu et al. 2019, https://arxiv.org/abs/1907.11692
    """

    sentence_transform = "tanh"
    word_transform = "gelu"

    def __init__(
        self,
        vocabulary_size,
        num_layers,
        num_heads,
        hidden_dim,
        intermediate_dim,
        dropout=0.1,
        max_sequence_length=512,
        num_segments=1,
        padding_id=1,
        *,
        pooler=True,
        activation="gelu",
        layer_norm_epsilon=1e-5,
        attention_dropout=None,
        dtype=None,
        **kwargs,
    ):
        arguments = own_arguments(locals())
        position_embedding = PositionEmbedding(
            max_sequence_length + padding_id + 1,
            dtype=dtype,
            name="position_embedding",
        )
        segment_embedding = TokenEmbedding(
            num_segments, hidden_dim, dtype=dtype, name="segment_embedding"
        )
        inputs = id_inputs("token_ids", "padding_mask")

        def embed(x):
            mask = inputs["padding_mask"]
            positions = ops.cumsum(mask, axis=1) * mask + padding_id
            segments = ops.zeros_like(inputs["token_ids"])
            return x + position_embedding(x, positions) + segment_embedding(segments)

        super().__init__(
            arguments,
            inputs,
            embed,
            dtype=dtype,
            **kwargs,
        )
