"""BERT: our variable paths and arguments <-> the names of Hugging Face's format.

Source: the names are those of `transformers`' `BertForPreTraining`,
`BertForMaskedLM`, `BertForSequenceClassification` and `BertModel`.
"""

from tfzoo.checkpoints.names import linear, norm, plain, prefixed
from tfzoo.checkpoints.presets import backbone_arguments

MODEL_TYPE = "bert"
BACKBONE = "BertModel"
# Tensors that another task's checkpoint may carry and this one has no use for.
UNUSED = r"cls\.|classifier\.|qa_outputs\.|(bert\.)?pooler\."

# argument of BertEncoder -> field of config.json
ARGUMENTS = {
    "vocabulary_size": "vocab_size",
    "num_layers": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "hidden_dim": "hidden_size",
    "intermediate_dim": "intermediate_size",
    "dropout": "hidden_dropout_prob",
    "max_sequence_length": "max_position_embeddings",
    "num_segments": "type_vocab_size",
}
# fields whose value changes the numbers, and the only value that BertEncoder computes
FIXED = {
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "add_cross_attention": False,
}


def to_config(sizes, architecture, extra=None):
    """The content of `config.json`.

    Args:
        sizes: Constructor arguments of `BertEncoder`.
        architecture: Name of `transformers`' class for it.
        extra: Further fields: labels, the `"tfzoo"` block.
    """
    return {
        "architectures": [architecture],
        "model_type": MODEL_TYPE,
        **{field: sizes[argument] for argument, field in ARGUMENTS.items()},
        "attention_probs_dropout_prob": sizes["dropout"],
        "initializer_range": 0.02,
        "pad_token_id": 0,
        **FIXED,
        **(extra or {}),
    }


def from_config(config, path):
    """Constructor arguments of `BertEncoder` out of `config.json` at `path`."""
    return backbone_arguments(config, path, MODEL_TYPE, ARGUMENTS, FIXED)


def backbone_names(num_layers, present=()):
    """Variable path of `BertEncoder` -> `Stored`.

    Args:
        num_layers: Number of layers.
        present: Names of the tensors in a file, or None for a task's file.
    """
    names = {
        **plain("token_embedding/embeddings", "embeddings.word_embeddings.weight"),
        **plain(
            "position_embedding/embeddings", "embeddings.position_embeddings.weight"
        ),
        **plain(
            "segment_embedding/embeddings", "embeddings.token_type_embeddings.weight"
        ),
        **norm("embeddings_norm", "embeddings.LayerNorm"),
        **linear("pooler", "pooler.dense"),
    }
    for i in range(num_layers):
        ours, theirs = f"transformer_layer_{i}", f"encoder.layer.{i}"
        for part in ("query", "key", "value"):
            names |= linear(
                f"{ours}/self_attention/{part}", f"{theirs}.attention.self.{part}"
            )
        names |= {
            **linear(
                f"{ours}/self_attention/output",
                f"{theirs}.attention.output.dense",
            ),
            **norm(
                f"{ours}/self_attention_norm", f"{theirs}.attention.output.LayerNorm"
            ),
            **linear(
                f"{ours}/feed_forward/intermediate", f"{theirs}.intermediate.dense"
            ),
            **linear(f"{ours}/feed_forward/output", f"{theirs}.output.dense"),
            **norm(f"{ours}/feed_forward_norm", f"{theirs}.output.LayerNorm"),
        }
    return prefixed(names, "bert.", present)


def copies(present):
    """Tensor of a file -> that whose copy it must be; none here."""
    del present
    return {}


def head_names():
    """Variable path of every head of the tasks -> `Stored`."""
    return {
        **linear("masked_lm_head/transform", "cls.predictions.transform.dense"),
        **norm("masked_lm_head/transform_norm", "cls.predictions.transform.LayerNorm"),
        **plain("masked_lm_head/bias", "cls.predictions.bias"),
        **linear("next_sentence", "cls.seq_relationship"),
        **linear("classifier", "classifier"),
    }
