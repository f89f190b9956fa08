"""Google's BERT checkpoints: `bert_config.json`, `vocab.txt`, `bert_model.ckpt.*`.

Source of the variable names: google-research/bert modeling.py, run_pretraining.py,
run_classifier.py and run_squad.py
"""

import re

from tfzoo.checkpoints.renamed import Renamed, Source

CONFIG = "bert_config.json"
# State of the optimizer and of training
_STATE = re.compile(
    r".*/(adam_[mv]|AdamWeightDecayOptimizer(_1)?|Adam(_1)?)$"
    r"|(global_step|good_steps|loss_scale|beta[12]_power)$"
)
_CLASSES, _ANSWERS = "output_weights", "cls/squad/output_weights"
_HEADS = {
    "cls/predictions/output_bias": "cls.predictions.bias",
    "cls/seq_relationship/output_weights": "cls.seq_relationship.weight",
    "cls/seq_relationship/output_bias": "cls.seq_relationship.bias",
    _ANSWERS: "qa_outputs.weight",
    "cls/squad/output_bias": "qa_outputs.bias",
    _CLASSES: "classifier.weight",
    "output_bias": "classifier.bias",
}
_VARIABLES = {
    "kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "word_embeddings": "word_embeddings.weight",
    "position_embeddings": "position_embeddings.weight",
    "token_type_embeddings": "token_type_embeddings.weight",
}


def to_hugging_face(config, tensors):
    """The fields of `config.json`, given those of `bert_config.json` and `Tensors`.

    Checkpoints of run_classifier.py and run_squad.py are recognized by the name of
    their head; they contain no names of classes.
    """
    fields = {"architectures": ["BertForPreTraining"]}
    if _CLASSES in tensors.names:
        classes = range(tensors.shape(_CLASSES)[0]) if tensors.shape(_CLASSES) else ()
        fields = {
            "architectures": ["BertForSequenceClassification"],
            "id2label": {str(i): f"LABEL_{i}" for i in classes},
        }
    elif _ANSWERS in tensors.names:
        fields = {"architectures": ["BertForQuestionAnswering"]}
    return {**fields, **config, "model_type": "bert"}


def rename(tensors):
    """The tensors with Hugging Face's names, without the optimizer's state."""
    return Renamed(
        tensors, [_source(name) for name in tensors.names if not _STATE.match(name)]
    )


def _source(name):
    if name in _HEADS:
        return _HEADS[name], Source(name)
    path, _, variable = name.rpartition("/")
    path = re.sub(r"layer_(\d+)", r"layer.\1", path).replace("/", ".")
    todays = f"{path}.{_VARIABLES.get(variable, variable)}"
    return todays, Source(name, transposed=variable == "kernel")
