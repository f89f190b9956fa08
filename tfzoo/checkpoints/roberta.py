"""RoBERTa: our variable paths and arguments <-> the names of Hugging Face's format.

Source: the names are those of `transformers`' `RobertaModel` and its `RobertaFor...`.
"""

from tfzoo.checkpoints import bert, fields
from tfzoo.checkpoints.names import linear, norm, plain, prefixed, tied
from tfzoo.errors import CheckpointError

MODEL_TYPE = "roberta"
PREFIX = "roberta."
# Name of a task, or of the backbone -> of `transformers`' class for it
ARCHITECTURES = {
    "backbone": "RobertaModel",
    "MaskedLM": "RobertaForMaskedLM",
    "TextClassifier": "RobertaForSequenceClassification",
    "TokenClassifier": "RobertaForTokenClassification",
    "QuestionAnswerer": "RobertaForQuestionAnswering",
}
# Tensors that another task's checkpoint may carry and this one has no use for.
UNUSED = r"lm_head\.|classifier\.|qa_outputs\.|(roberta\.)?pooler\."

# argument of RobertaEncoder -> field of config.json
ARGUMENTS = {
    **bert.ARGUMENTS,
    "num_segments": fields.size("type_vocab_size", 1),
    "padding_id": fields.token("pad_token_id", 1),
}
CLASSIFIER_DROPOUT = bert.CLASSIFIER_DROPOUT
TOKEN_DROPOUT = CLASSIFIER_DROPOUT
ANSWER_DROPOUT = None
FIXED = bert.FIXED


def to_config(arguments, architecture, extra=None):
    """The content of `config.json`.

    Args:
        arguments: Constructor arguments of `RobertaEncoder`.
        architecture: Name of `transformers`' class for it.
        extra: Further fields: labels, special tokens, the `"tfzoo"` block.
    """
    positions = arguments["max_sequence_length"] + arguments["padding_id"] + 1
    return {
        "architectures": [architecture],
        "model_type": MODEL_TYPE,
        **fields.write_arguments(arguments, ARGUMENTS),
        "max_position_embeddings": positions,
        "initializer_range": 0.02,
        **FIXED,
        **(extra or {}),
    }


def from_config(config, path):
    """Constructor arguments of `RobertaEncoder` out of `config.json` at `path`."""
    found = fields.read_arguments(config, path, MODEL_TYPE, ARGUMENTS, FIXED)
    positions = found["max_sequence_length"]
    found["max_sequence_length"] = positions - found["padding_id"] - 1
    if found["max_sequence_length"] < 1:
        raise CheckpointError(
            "Must exceed pad_token_id + 1, where positions begin. Received: "
            f"{positions}, with pad_token_id={found['padding_id']}.",
            path=path,
            tensor="max_position_embeddings",
        )
    return found


def backbone_names(num_layers, present=()):
    """Variable path of `RobertaEncoder` -> `Stored`.

    Args:
        num_layers: Number of layers.
        present: Names of the tensors in a file, or None for a task's file.
    """
    return prefixed(bert.unprefixed_names(num_layers), PREFIX, present)


def copies(present):
    """Tensor of a file -> that whose copy it must be: the tied output layer."""
    table = "embeddings.word_embeddings.weight"
    return {
        **tied(present, "lm_head.decoder.weight", table, PREFIX),
        **tied(present, "lm_head.decoder.bias", "lm_head.bias"),
    }


def head_names():
    """Variable path of every head of the tasks -> `Stored`."""
    return {
        **linear("masked_lm_head/transform", "lm_head.dense"),
        **norm("masked_lm_head/transform_norm", "lm_head.layer_norm"),
        **plain("masked_lm_head/bias", "lm_head.bias"),
        **linear("classifier/transform", "classifier.dense"),
        **linear("classifier/output", "classifier.out_proj"),
        **linear("token_classifier", "classifier"),
        **linear("answer_span", "qa_outputs"),
    }
