import keras
import numpy as np
import pytest

from tfzoo import families, layers
from tfzoo.errors import refuse_unknown
from tfzoo.layers.keywords import KnownKeywords, LayerKeywords, keywords_of

SIZES = dict(
    vocabulary_size=11, num_layers=1, num_heads=2, hidden_dim=4, intermediate_dim=8
)
LAYERS = [
    layer
    for name in layers.__all__
    if isinstance(layer := getattr(layers, name), type)
    and issubclass(layer, keras.layers.Layer)
]
BACKBONES = families.backbone_classes()


def test_every_layer_and_backbone_knows_its_keywords():
    assert len(LAYERS) >= 12
    assert all(issubclass(layer, LayerKeywords) for layer in LAYERS)
    assert all(issubclass(backbone, KnownKeywords) for backbone in BACKBONES)


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.__name__)
def test_an_unknown_keyword_of_a_layer_is_a_type_error(layer):
    with pytest.raises(TypeError, match=f"^{layer.__name__} takes no argument 'rat'"):
        layer(rat=0.5)


@pytest.mark.parametrize("backbone", BACKBONES, ids=lambda b: b.__name__)
@pytest.mark.parametrize(
    "keyword, near",
    [("max_length", "max_sequence_length"), ("num_layer", "num_layers")],
)
def test_an_unknown_keyword_of_a_backbone_is_a_type_error(backbone, keyword, near):
    with pytest.raises(TypeError, match=f"no argument '{keyword}'.* {near}"):
        backbone(**SIZES, **{keyword: 4})
    size = next(iter(backbone.family.sizes))
    name = f"{backbone.__name__}.from_preset"
    with pytest.raises(TypeError, match=f"{name} takes no argument '{keyword}'"):
        backbone.from_preset(size, **{keyword: 4})


def test_a_misspelt_keyword_is_named_before_the_one_that_is_missing():
    sizes = {name: n for name, n in SIZES.items() if name != "vocabulary_size"}
    with pytest.raises(TypeError, match="'vocab_size'. Did you mean vocabulary_size?"):
        families.BertEncoder(vocab_size=11, **sizes)


def test_a_keyword_without_a_near_match_lists_all_keywords():
    with pytest.raises(TypeError) as caught:
        refuse_unknown("f", ["a", "zzz"], ["a", "bcd"])
    assert str(caught.value) == "f takes no argument 'zzz'. It takes a, bcd."


def test_keras_own_keywords_are_accepted():
    layer = layers.LayerNorm(name="norm", trainable=False, dtype="float16")
    assert (layer.name, layer.trainable) == ("norm", False)
    assert layer.compute_dtype == "float16"
    encoder = families.DistilBertEncoder(**SIZES, name="small", trainable=False)
    assert (encoder.name, encoder.trainable) == ("small", False)


def test_a_user_defined_class_has_its_own_keywords_and_those_of_its_base():
    class Scaled(layers.LayerNorm):
        def __init__(self, scale, **kwargs):
            super().__init__(**kwargs)
            self.scale = scale

    assert keywords_of(Scaled)[:2] == ("scale", "epsilon")
    assert Scaled(2, epsilon=1e-6).scale == 2
    with pytest.raises(TypeError, match="Scaled takes no argument 'sclae'"):
        Scaled(sclae=2)


@pytest.mark.parametrize("backbone", BACKBONES, ids=lambda b: b.__name__)
def test_a_call_with_an_unknown_keyword_is_a_type_error(backbone):
    model = backbone(**SIZES)
    inputs = {name: np.ones((1, 3), np.int32) for name in model.input}
    for call in (model, model.call):
        with pytest.raises(TypeError, match="return_attention_scores"):
            call(inputs, return_attention_scores=True)
