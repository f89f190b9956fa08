"""DistilBERT: our variable paths and arguments <-> the names of Hugging Face's format.

Source: the names are those of `transformers`' `DistilBertModel` and its
`DistilBertFor...`.
"""

from tfzoo.checkpoints import fields
from tfzoo.checkpoints.names import linear, norm, plain, prefixed, tied

MODEL_TYPE = "distilbert"
PREFIX = "distilbert."
# Name of a task, or of the backbone -> of `transformers`' class for it
ARCHITECTURES = {
    "backbone": "DistilBertModel",
    "MaskedLM": "DistilBertForMaskedLM",
    "TextClassifier": "DistilBertForSequenceClassification",
    "TokenClassifier": "DistilBertForTokenClassification",
    "QuestionAnswerer": "DistilBertForQuestionAnswering",
}
# Tensors that another task's checkpoint may carry and this one has no use for.
UNUSED = r"vocab_\w+\.|pre_classifier\.|classifier\.|qa_outputs\."

# argument of DistilBertEncoder -> field of config.json
ARGUMENTS = {
    "vocabulary_size": fields.size("vocab_size"),
    "num_layers": fields.size("n_layers"),
    "num_heads": fields.size("n_heads"),
    "hidden_dim": fields.size("dim"),
    "intermediate_dim": fields.size("hidden_dim"),
    "dropout": fields.share("dropout", 0.1),
    "attention_dropout": fields.share("attention_dropout", 0.1),
    "max_sequence_length": fields.size("max_position_embeddings"),
    "activation": fields.activation("activation", "gelu"),
}
CLASSIFIER_DROPOUT = fields.share("seq_classif_dropout", 0.2)
# Of a head on every token, and of one that finds answers, where the format has it
TOKEN_DROPOUT = None
ANSWER_DROPOUT = fields.share("qa_dropout", 0.1)
# fields whose value changes the numbers, and the only value that is computed
FIXED = {"tie_word_embeddings": True, "tie_weights_": True, "pruned_heads": {}}


def to_config(arguments, architecture, extra=None):
    """The content of `config.json`.

    Args:
        arguments: Constructor arguments of `DistilBertEncoder`.
        architecture: Name of `transformers`' class for it.
        extra: Further fields: labels, the `"tfzoo"` block.
    """
    return {
        "architectures": [architecture],
        "model_type": MODEL_TYPE,
        **fields.write_arguments(arguments, ARGUMENTS),
        "initializer_range": 0.02,
        "pad_token_id": 0,
        "sinusoidal_pos_embds": False,
        **FIXED,
        **(extra or {}),
    }


def from_config(config, path):
    """Constructor arguments of `DistilBertEncoder` out of `config.json` at `path`."""
    return fields.read_arguments(config, path, MODEL_TYPE, ARGUMENTS, FIXED)


def backbone_names(num_layers, present=()):
    """Variable path of `DistilBertEncoder` -> `Stored`.

    Args:
        num_layers: Number of layers.
        present: Names of the tensors in a file, or None for a task's file.
    """
    names = {
        **plain("token_embedding/embeddings", "embeddings.word_embeddings.weight"),
        **plain(
            "position_embedding/embeddings", "embeddings.position_embeddings.weight"
        ),
        **norm("embeddings_norm", "embeddings.LayerNorm"),
    }
    for i in range(num_layers):
        ours, theirs = f"transformer_layer_{i}", f"transformer.layer.{i}"
        attention = f"{ours}/self_attention"
        names |= {
            **linear(f"{attention}/query", f"{theirs}.attention.q_lin"),
            **linear(f"{attention}/key", f"{theirs}.attention.k_lin"),
            **linear(f"{attention}/value", f"{theirs}.attention.v_lin"),
            **linear(f"{attention}/output", f"{theirs}.attention.out_lin"),
            **norm(f"{ours}/self_attention_norm", f"{theirs}.sa_layer_norm"),
            **linear(f"{ours}/feed_forward/intermediate", f"{theirs}.ffn.lin1"),
            **linear(f"{ours}/feed_forward/output", f"{theirs}.ffn.lin2"),
            **norm(f"{ours}/feed_forward_norm", f"{theirs}.output_layer_norm"),
        }
    return prefixed(names, PREFIX, present)


def copies(present):
    """Tensor of a file -> that whose copy it must be: the tied output layer."""
    table = "embeddings.word_embeddings.weight"
    return tied(present, "vocab_projector.weight", table, PREFIX)


def head_names():
    """Variable path of every head of the tasks -> `Stored`."""
    return {
        **linear("masked_lm_head/transform", "vocab_transform"),
        **norm("masked_lm_head/transform_norm", "vocab_layer_norm"),
        **plain("masked_lm_head/bias", "vocab_projector.bias"),
        **linear("classifier/transform", "pre_classifier"),
        **linear("classifier/output", "classifier"),
        **linear("token_classifier", "classifier"),
        **linear("answer_span", "qa_outputs"),
    }
