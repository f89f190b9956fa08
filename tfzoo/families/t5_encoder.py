"""T5's encoder alone, for tasks on the vectors of a text.

Sources: Ni et al. 2021, https://arxiv.org/abs/2108.08877 (Sentence-T5); tensor names:
`T5EncoderModel` and `T5ForTokenClassification` of `transformers`.

Shapes: B batch, S sequence, D hidden_dim.
"""

from tfzoo.checkpoints import fields
from tfzoo.checkpoints.names import linear, plain
from tfzoo.families import t5
from tfzoo.families.family import ENCODERS, Head, declared
from tfzoo.families.preset_backbone import PresetBackbone
from tfzoo.families.t5_config import FIELDS, TABLE, T5Family, names_of_side
from tfzoo.models.arguments import own_arguments
from tfzoo.models.encoder import StackEncoder

T5_ENCODER = T5Family(
    model_type="t5",
    class_name="T5EncoderModel",
    prefix="transformer.",
    fields={n: f for n, f in FIELDS.items() if n != "num_decoder_layers"},
    fixed={},
    names={
        **plain("token_embedding/embeddings", TABLE),
        **names_of_side("encoder", "i", gated=False),
    },
    heads={
        "TokenClassifier": Head(
            "T5ForTokenClassification",
            linear("token_classifier", "classifier"),
            fields.share("classifier_dropout", 0.0),
        )
    },
    tied={},
    shared={"encoder.embed_tokens.weight": TABLE},
    tokenizers=t5.TOKENIZERS,
    sizes={
        name: {n: value for n, value in size.items() if n != "ties_output"}
        for name, size in t5.T5.sizes.items()
    },
    constants={"is_encoder_decoder": False},
    # The decoder and its output layer, and the heads of other tasks
    unused=r"decoder\.|lm_head\.|classification_head\.|qa_outputs\.",
)


@declared(T5_ENCODER, among=ENCODERS)
class T5Encoder(PresetBackbone, StackEncoder):
    """T5's encoder: one vector per position.

    It also opens the file of a `T5EncoderDecoder`, without its decoder.

    Args:
        vocabulary_size: Number of token ids V.
        num_layers: Number of layers.
        num_heads: Number of attention heads N per layer.
        hidden_dim: Width D.
        intermediate_dim: Width of the feed-forward networks.
        dropout: Fraction of units to drop during training, in [0, 1).
        max_sequence_length: The most tokens that tasks give it. The network itself has
            no limit.
        head_dim: Size of a head.
        num_buckets: As in `RelativePositionBias`.
        max_distance: As in `RelativePositionBias`.
        activation: Activation of the feed-forward networks, as in `FeedForward`.
        gated: Whether these are `GatedFeedForward`s (version 1.1).
        layer_norm_epsilon: Added to the mean square.

    Inputs and results are those of `StackEncoder`.

    Source: Raffel et al. 2020, section 2.1, https://arxiv.org/abs/1910.10683
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
        *,
        head_dim=64,
        num_buckets=32,
        max_distance=128,
        activation="relu",
        gated=False,
        layer_norm_epsilon=1e-6,
        dtype=None,
        **kwargs,
    ):
        arguments = own_arguments(locals())
        super().__init__(arguments, **t5.parts(arguments), dtype=dtype, **kwargs)
