"""DistilBERT: BERT without segments and pooler.

Sources: Sanh et al. 2019, https://arxiv.org/abs/1910.01108; tensor names:
`DistilBertModel` and `DistilBertFor...` of `transformers`.

Shapes: B batch, S sequence, D hidden_dim.
"""

from tfzoo.checkpoints import fields
from tfzoo.checkpoints.keras_hub import KerasHubClass
from tfzoo.checkpoints.names import linear, norm, plain
from tfzoo.families import bert
from tfzoo.families.family import Family, Head, declared
from tfzoo.families.preset_backbone import PresetBackbone
from tfzoo.layers import PositionEmbedding
from tfzoo.models.arguments import own_arguments
from tfzoo.models.encoder import Encoder, id_inputs

_LAYER, _THEIRS = "transformer_layer_{i}", "transformer.layer.{i}"

DISTILBERT = Family(
    model_type="distilbert",
    class_name="DistilBertModel",
    prefix="distilbert.",
    fields={
        "vocabulary_size": fields.size("vocab_size"),
        "num_layers": fields.size("n_layers"),
        "num_heads": fields.size("n_heads"),
        "hidden_dim": fields.size("dim"),
        "intermediate_dim": fields.size("hidden_dim"),
        "dropout": fields.share("dropout", 0.1),
        "attention_dropout": fields.share("attention_dropout", 0.1),
        "max_sequence_length": fields.size("max_position_embeddings"),
        "activation": fields.activation("activation", "gelu"),
    },
    fixed={"tie_word_embeddings": True, "tie_weights_": True, "pruned_heads": {}},
    names={
        **plain("token_embedding/embeddings", "embeddings.word_embeddings.weight"),
        **plain(
            "position_embedding/embeddings", "embeddings.position_embeddings.weight"
        ),
        **norm("embeddings_norm", "embeddings.LayerNorm"),
        **linear(f"{_LAYER}/self_attention/query", f"{_THEIRS}.attention.q_lin"),
        **linear(f"{_LAYER}/self_attention/key", f"{_THEIRS}.attention.k_lin"),
        **linear(f"{_LAYER}/self_attention/value", f"{_THEIRS}.attention.v_lin"),
        **linear(f"{_LAYER}/self_attention/output", f"{_THEIRS}.attention.out_lin"),
        **norm(f"{_LAYER}/self_attention_norm", f"{_THEIRS}.sa_layer_norm"),
        **linear(f"{_LAYER}/feed_forward/intermediate", f"{_THEIRS}.ffn.lin1"),
        **linear(f"{_LAYER}/feed_forward/output", f"{_THEIRS}.ffn.lin2"),
        **norm(f"{_LAYER}/feed_forward_norm", f"{_THEIRS}.output_layer_norm"),
    },
    heads={
        "MaskedLM": Head(
            "DistilBertForMaskedLM",
            {
                **linear("masked_lm_head/transform", "vocab_transform"),
                **norm("masked_lm_head/transform_norm", "vocab_layer_norm"),
                **plain("masked_lm_head/bias", "vocab_projector.bias"),
            },
        ),
        "TextClassifier": Head(
            "DistilBertForSequenceClassification",
            {
                **linear("classifier/transform", "pre_classifier"),
                **linear("classifier/output", "classifier"),
            },
            fields.share("seq_classif_dropout", 0.2),
        ),
        "TokenClassifier": Head(
            "DistilBertForTokenClassification",
            linear("token_classifier", "classifier"),
        ),
        "QuestionAnswerer": Head(
            "DistilBertForQuestionAnswering",
            linear("answer_span", "qa_outputs"),
            fields.share("qa_dropout", 0.1),
        ),
    },
    tied={"vocab_projector.weight": "embeddings.word_embeddings.weight"},
    tokenizers=bert.TOKENIZERS,
    # Section 3
    sizes={
        "distilbert_base": dict(
            vocabulary_size=30522,
            num_layers=6,
            num_heads=12,
            hidden_dim=768,
            intermediate_dim=3072,
            max_sequence_length=512,
            dropout=0.1,
        )
    },
    constants={"pad_token_id": 0, "sinusoidal_pos_embds": False},
    keras_hub=KerasHubClass("DistilBertBackbone", dict(activation="gelu")),
)


@declared(DISTILBERT)
class DistilBertEncoder(PresetBackbone, Encoder):
    """DistilBERT encoder: one vector per position.

    Arguments are as in `BertEncoder`.

    Inputs (a dict of int32):
        token_ids: (B, S).
        padding_mask: (B, S), 1 for a token and 0 for padding.

    Returns:
        A dict with `sequence_output` (B, S, D).

    Source: Sanh et al. 2019, https://arxiv.org/abs/1910.01108
    """

    sentence_transform = "relu"

    def __init__(
        self,
        vocabulary_size,
        num_layers,
        num_heads,
        hidden_dim,
        intermediate_dim,
        dropout=0.1,
        max_sequence_length=512,
        *,
        activation="gelu",
        attention_dropout=None,
        dtype=None,
        **kwargs,
    ):
        arguments = own_arguments(locals())
        position_embedding = PositionEmbedding(
            max_sequence_length, dtype=dtype, name="position_embedding"
        )
        super().__init__(
            arguments,
            id_inputs("token_ids", "padding_mask"),
            lambda x: x + position_embedding(x),
            dtype=dtype,
            **kwargs,
        )
