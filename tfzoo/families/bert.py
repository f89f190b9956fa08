"""BERT: a bidirectional encoder.

Sources: Devlin et al. 2018, https://arxiv.org/abs/1810.04805; tensor names: `BertModel`
and `BertFor...` of `transformers`.

Shapes: B batch, S sequence, D hidden_dim.
"""

from tfzoo.checkpoints import fields
from tfzoo.checkpoints.keras_hub import KerasHubClass
from tfzoo.checkpoints.names import linear, norm, plain
from tfzoo.families import bert_google, bert_model_garden
from tfzoo.families.family import Family, Head, declared
from tfzoo.families.preset_backbone import PresetBackbone
from tfzoo.layers import PositionEmbedding, TokenEmbedding
from tfzoo.models.arguments import own_arguments
from tfzoo.models.encoder import Encoder, id_inputs
from tfzoo.text.layout import Layout
from tfzoo.text.wordpiece.tokenizer import WordPieceTokenizer

_LAYER, _THEIRS = "transformer_layer_{i}", "encoder.layer.{i}"
# RoBERTa's tensors have the same names.
NAMES = {
    **plain("token_embedding/embeddings", "embeddings.word_embeddings.weight"),
    **plain("position_embedding/embeddings", "embeddings.position_embeddings.weight"),
    **plain("segment_embedding/embeddings", "embeddings.token_type_embeddings.weight"),
    **norm("embeddings_norm", "embeddings.LayerNorm"),
    **linear(f"{_LAYER}/self_attention/query", f"{_THEIRS}.attention.self.query"),
    **linear(f"{_LAYER}/self_attention/key", f"{_THEIRS}.attention.self.key"),
    **linear(f"{_LAYER}/self_attention/value", f"{_THEIRS}.attention.self.value"),
    **linear(f"{_LAYER}/self_attention/output", f"{_THEIRS}.attention.output.dense"),
    **norm(f"{_LAYER}/self_attention_norm", f"{_THEIRS}.attention.output.LayerNorm"),
    **linear(f"{_LAYER}/feed_forward/intermediate", f"{_THEIRS}.intermediate.dense"),
    **linear(f"{_LAYER}/feed_forward/output", f"{_THEIRS}.output.dense"),
    **norm(f"{_LAYER}/feed_forward_norm", f"{_THEIRS}.output.LayerNorm"),
    **linear("pooler", "pooler.dense"),
}
FIELDS = {
    "vocabulary_size": fields.size("vocab_size"),
    "num_layers": fields.size("num_hidden_layers"),
    "num_heads": fields.size("num_attention_heads"),
    "hidden_dim": fields.size("hidden_size"),
    "intermediate_dim": fields.size("intermediate_size"),
    "dropout": fields.share("hidden_dropout_prob", 0.1),
    "attention_dropout": fields.share("attention_probs_dropout_prob", 0.1),
    "max_sequence_length": fields.size("max_position_embeddings"),
    "num_segments": fields.size("type_vocab_size", 2),
    "activation": fields.activation("hidden_act", "gelu"),
    "layer_norm_epsilon": fields.epsilon("layer_norm_eps", 1e-12),
}
FIXED = {
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "add_cross_attention": False,
    "tie_word_embeddings": True,
    "pruned_heads": {},
}
# Section 3: [CLS] a [SEP] b [SEP], with b and the token after it in segment 1
TOKENIZERS = {WordPieceTokenizer: Layout("cls", "sep", between=("sep",))}
CLASSIFIER_DROPOUT = fields.share("classifier_dropout", None)
_MASKED_WORDS = {
    **linear("masked_lm_head/transform", "cls.predictions.transform.dense"),
    **norm("masked_lm_head/transform_norm", "cls.predictions.transform.LayerNorm"),
    **plain("masked_lm_head/bias", "cls.predictions.bias"),
}
_TABLE = "embeddings.word_embeddings.weight"


def _size(num_layers, num_heads, hidden_dim):
    return dict(
        num_layers=num_layers,
        num_heads=num_heads,
        hidden_dim=hidden_dim,
        intermediate_dim=4 * hidden_dim,
        vocabulary_size=30522,
        max_sequence_length=512,
        num_segments=2,
        dropout=0.1,
    )


BERT = Family(
    model_type="bert",
    class_name="BertModel",
    prefix="bert.",
    fields=FIELDS,
    fixed=FIXED,
    names=NAMES,
    heads={
        "BertPretrainer": Head(
            "BertForPreTraining",
            {**_MASKED_WORDS, **linear("next_sentence", "cls.seq_relationship")},
        ),
        "MaskedLM": Head("BertForMaskedLM", _MASKED_WORDS),
        "TextClassifier": Head(
            "BertForSequenceClassification",
            linear("classifier/output", "classifier"),
            CLASSIFIER_DROPOUT,
        ),
        "TokenClassifier": Head(
            "BertForTokenClassification",
            linear("token_classifier", "classifier"),
            CLASSIFIER_DROPOUT,
        ),
        "QuestionAnswerer": Head(
            "BertForQuestionAnswering", linear("answer_span", "qa_outputs")
        ),
    },
    tied={
        "cls.predictions.decoder.weight": _TABLE,
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    },
    tokenizers=TOKENIZERS,
    # Devlin et al. 2018, section 3 (base, large); Turc et al. 2019, table 1 (tiny to
    # medium), https://arxiv.org/abs/1908.08962
    sizes={
        "bert_tiny": _size(2, 2, 128),
        "bert_mini": _size(4, 4, 256),
        "bert_small": _size(4, 8, 512),
        "bert_medium": _size(8, 8, 512),
        "bert_base": _size(12, 12, 768),
        "bert_large": _size(24, 16, 1024),
    },
    constants={"pad_token_id": 0},
    foreign={
        bert_google.CONFIG: lambda tensors: (
            bert_model_garden if bert_model_garden.made(tensors) else bert_google
        )
    },
    keras_hub=KerasHubClass(
        "BertBackbone",
        dict(activation="gelu", layer_norm_epsilon=1e-12),
        has_segments=True,
        has_pooler=True,
    ),
)


@declared(BERT)
class BertEncoder(PresetBackbone, Encoder):
    """BERT encoder: one vector per position and one for the whole input.

    Args:
        vocabulary_size: Number of token ids.
        num_layers: Number of `TransformerLayer`s.
        num_heads: Number of attention heads per layer; must divide `hidden_dim`.
        hidden_dim: Width D.
        intermediate_dim: Width of the feed-forward networks.
        dropout: Fraction of units to drop during training, in [0, 1).
        max_sequence_length: Number of learned positions, the maximum input length.
        num_segments: Number of segment ids.
        pooler: Whether to compute `pooled_output`; published checkpoints with a head
            for masked words, tagging or question answering have no weights for it.
        activation: Activation of the feed-forward networks, as in `FeedForward`.
        layer_norm_epsilon: Added to the variance.
        attention_dropout: Fraction of the attention weights to drop. Defaults to
            `dropout`.

    Inputs (a dict of int32):
        token_ids: (B, S).
        segment_ids: (B, S), 0 for the first text and 1 for the second.
        padding_mask: (B, S), 1 for a token and 0 for padding.

    Returns:
        A dict with `sequence_output` (B, S, D) and, with a pooler, `pooled_output`
        (B, D).

    Source: Devlin et al. 2018, section 3, https://arxiv.org/abs/1810.04805
    """

    def __init__(
        self,
        vocabulary_size,
        num_layers,
        num_heads,
        hidden_dim,
        intermediate_dim,
        dropout=0.1,
        max_sequence_length=512,
        num_segments=2,
        *,
        pooler=True,
        activation="gelu",
        layer_norm_epsilon=1e-12,
        attention_dropout=None,
        dtype=None,
        **kwargs,
    ):
        arguments = own_arguments(locals())
        position_embedding = PositionEmbedding(
            max_sequence_length, dtype=dtype, name="position_embedding"
        )
        segment_embedding = TokenEmbedding(
            num_segments, hidden_dim, dtype=dtype, name="segment_embedding"
        )
        inputs = id_inputs("token_ids", "segment_ids", "padding_mask")
        super().__init__(
            arguments,
            inputs,
            lambda x: (
                x + position_embedding(x) + segment_embedding(inputs["segment_ids"])
            ),
            dtype=dtype,
            **kwargs,
        )
