"""BERT from the TF Model Garden: `bert_config.json`, `vocab.txt`, `bert_model.ckpt.*`.

The checkpoint names objects, not variables. The encoder has two layouts: that of the
functional model, with numbered layers, and that of the model with attributes.

Source: tensorflow/models official/nlp/modeling/networks/bert_encoder.py and
official/nlp/modeling/models/bert_pretrainer.py

Shapes: D hidden_dim, N num_heads, H = D / N head size.
"""

import math
import re

from tfzoo.checkpoints.renamed import Renamed, Source
from tfzoo.families import bert_google

_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"  # in every object-based checkpoint
_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
_NUMBERED = re.compile(r"layer_with_weights-(\d+)/(.*)")
_STATE = re.compile(r".*\.OPTIMIZER_SLOT|(.*/)?optimizer/|(save_counter|global_step)/")
_EMBEDDINGS = [
    "_embedding_layer",
    "_position_embedding_layer",
    "_type_embedding_layer",
    "_embedding_norm_layer",
]
_OBJECTS = {
    "_embedding_layer": "bert.embeddings.word_embeddings",
    "_position_embedding_layer": "bert.embeddings.position_embeddings",
    "_type_embedding_layer": "bert.embeddings.token_type_embeddings",
    "_embedding_norm_layer": "bert.embeddings.LayerNorm",
    "_pooler_layer": "bert.pooler.dense",
    "masked_lm/dense": "cls.predictions.transform.dense",
    "masked_lm/layer_norm": "cls.predictions.transform.LayerNorm",
    # the pooler of the next-sentence head
    "next_sentence..pooler_dense": "bert.pooler.dense",
    "classification_heads/0/out_proj": "cls.seq_relationship",
}
_PARTS = {
    "_attention_layer/_query_dense": "attention.self.query",
    "_attention_layer/_key_dense": "attention.self.key",
    "_attention_layer/_value_dense": "attention.self.value",
    "_attention_layer/_output_dense": "attention.output.dense",
    "_attention_layer_norm": "attention.output.LayerNorm",
    "_intermediate_dense": "intermediate.dense",
    "_output_dense": "output.dense",
    "_output_layer_norm": "output.LayerNorm",
}
_VARIABLES = {
    "kernel": "weight",
    "embeddings": "weight",
    "gamma": "weight",
    "beta": "bias",
    "bias": "bias",
}
_WHOLE = {
    "masked_lm/embedding_table": "bert.embeddings.word_embeddings.weight",
    "masked_lm/output_bias.Sbias": "cls.predictions.bias",
}


def made(tensors):
    """Whether the `Tensors` of a TensorFlow checkpoint are from the Model Garden."""
    return _GRAPH in tensors.names


def to_hugging_face(config, tensors):
    """The fields of `config.json`, given those of `bert_config.json`.

    `gelu` in the Model Garden is the tanh approximation.
    """
    found = bert_google.to_hugging_face(config, tensors)
    if found.get("hidden_act") == "gelu":
        found["hidden_act"] = "gelu_new"
    return found


def rename(tensors):
    """The tensors with Hugging Face's names, without the optimizer's state."""
    paths = {
        name: re.sub(r"^((model|encoder)/)+", "", name.removesuffix(_VALUE))
        for name in tensors.names
        if name != _GRAPH and not _STATE.match(name)
    }
    numbers = [int(m[1]) for p in paths.values() if (m := _NUMBERED.match(p))]
    last = max(numbers, default=0)
    has_head = any(p.startswith("next_sentence..pooler") for p in paths.values())
    sources = []
    for name, path in sorted(paths.items()):
        path = _NUMBERED.sub(lambda m: f"{_attribute(int(m[1]), last)}/{m[2]}", path)
        if not (has_head and path.startswith("_pooler_layer/")):
            sources.append(_source(tensors, name, path))
    return Renamed(tensors, sources)


def _attribute(number, last):
    """The attribute path of the layer with this number."""
    if number < len(_EMBEDDINGS):
        return _EMBEDDINGS[number]
    if number == last:
        return "_pooler_layer"
    return f"_transformer_layers/{number - len(_EMBEDDINGS)}"


def _source(tensors, name, path):
    if path in _WHOLE:
        return _WHOLE[path], Source(name)
    place, _, variable = path.rpartition("/")
    layer = re.fullmatch(r"_transformer_layers/(\d+)/(.*)", place)
    if layer and layer[2] in _PARTS:
        todays = f"bert.encoder.layer.{layer[1]}.{_PARTS[layer[2]]}"
    else:
        todays = _OBJECTS.get(place)
    if todays is None or variable not in _VARIABLES:
        return path, Source(name)
    shape = tensors.shape(name)
    if variable == "bias":
        shape = (math.prod(shape),)  # of (N, H)
    elif todays.endswith("attention.output.dense"):
        shape = (math.prod(shape[:-1]), *shape[-1:])  # of (N, H, D)
    elif len(shape) == 3:
        shape = (shape[0], math.prod(shape[1:]))  # of (D, N, H)
    return (
        f"{todays}.{_VARIABLES[variable]}",
        Source(name, transposed=variable == "kernel", shape=shape),
    )
