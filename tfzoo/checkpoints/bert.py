"""BERT: our variable paths and arguments <-> the names of Hugging Face's format.

Source: the names are those of `transformers`' `BertModel` and its `BertFor...`.
"""

from tfzoo.checkpoints import fields
from tfzoo.checkpoints.names import linear, norm, plain, prefixed, tied

MODEL_TYPE = "bert"
PREFIX = "bert."
# Name of a task, or of the backbone -> of `transformers`' class for it
ARCHITECTURES = {
    "backbone": "BertModel",
    "BertPretrainer": "BertForPreTraining",
    "MaskedLM": "BertForMaskedLM",
    "TextClassifier": "BertForSequenceClassification",
    "TokenClassifier": "BertForTokenClassification",
    "QuestionAnswerer": "BertForQuestionAnswering",
}
# Tensors that another task's checkpoint may carry and this one has no use for.
UNUSED = r"cls\.|classifier\.|qa_outputs\.|(bert\.)?pooler\."

# argument of BertEncoder -> field of config.json
ARGUMENTS = {
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
CLASSIFIER_DROPOUT = fields.share("classifier_dropout", None)
# Of a head on every token, and of one that finds answers, where the format has it
TOKEN_DROPOUT = CLASSIFIER_DROPOUT
ANSWER_DROPOUT = None
# fields whose value changes the numbers, and the only value that BertEncoder computes
FIXED = {
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "add_cross_attention": False,
    "tie_word_embeddings": True,
    "pruned_heads": {},
}


def to_config(arguments, architecture, extra=None):
    """The content of `config.json`.

    Args:
        arguments: Constructor arguments of `BertEncoder`.
        architecture: Name of `transformers`' class for it.
        extra: Further fields: labels, the `"tfzoo"` block.
    """
    return {
        "architectures": [architecture],
        "model_type": MODEL_TYPE,
        **fields.write_arguments(arguments, ARGUMENTS),
        "initializer_range": 0.02,
        "pad_token_id": 0,
        **FIXED,
        **(extra or {}),
    }


def from_config(config, path):
    """Constructor arguments of `BertEncoder` out of `config.json` at `path`."""
    return fields.read_arguments(config, path, MODEL_TYPE, ARGUMENTS, FIXED)


def backbone_names(num_layers, present=()):
    """Variable path of `BertEncoder` -> `Stored`.

    Args:
        num_layers: Number of layers.
        present: Names of the tensors in a file, or None for a task's file.
    """
    return prefixed(unprefixed_names(num_layers), PREFIX, present)


def unprefixed_names(num_layers):
    """The same without a prefix; RoBERTa has these names as well."""
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
    return names


def copies(present):
    """Tensor of a file -> that whose copy it must be: the tied output layer."""
    table = "embeddings.word_embeddings.weight"
    return {
        **tied(present, "cls.predictions.decoder.weight", table, PREFIX),
        **tied(present, "cls.predictions.decoder.bias", "cls.predictions.bias"),
    }


def head_names():
    """Variable path of every head of the tasks -> `Stored`."""
    return {
        **linear("masked_lm_head/transform", "cls.predictions.transform.dense"),
        **norm("masked_lm_head/transform_norm", "cls.predictions.transform.LayerNorm"),
        **plain("masked_lm_head/bias", "cls.predictions.bias"),
        **linear("next_sentence", "cls.seq_relationship"),
        **linear("classifier/output", "classifier"),
        **linear("token_classifier", "classifier"),
        **linear("answer_span", "qa_outputs"),
    }
