"""Encoder-decoders: an encoder, and a decoder that attends to its output.

Shapes: B batch, S encoder sequence, T decoder sequence or new positions, P earlier
positions, R rows (a multiple of B), D hidden_dim, N num_heads.
"""

import functools

import keras
from keras import ops

from tfzoo.layers import CausalMask, NextTokenHead, TokenEmbedding
from tfzoo.models.backbone import Backbone, checked_policy
from tfzoo.models.decoding import Decoding
from tfzoo.models.stack import Stack


class EncoderDecoder(Decoding, Backbone):
    """Base class of encoder-decoders.

    Args:
        arguments: Dict of the constructor arguments of the class, which become
            attributes and config. They include `vocabulary_size` (of the decoder, and
            of the encoder unless `source_vocabulary_size` is given), `num_layers`,
            `num_decoder_layers` (None for `num_layers`), `hidden_dim` and
            `max_sequence_length` (of either side).
        block: Function of `name`, `dtype` and, for the decoder, `cross_attention=True`
            that makes a layer with the interface of `TransformerLayer`.
        stack: Dict of further arguments of both `Stack`s.
        ties_output: Whether the output layer shares the decoder's token embeddings.
        output_scale: `scale` of the output layer, see `NextTokenHead`.
        output_bias: Whether the output layer has a bias.
        dtype: Keras dtype policy.

    Inputs (a dict of int32):
        encoder_token_ids: (B, S).
        encoder_padding_mask: (B, S), 1 for a token and 0 for padding.
        decoder_token_ids: (B, T).
        decoder_padding_mask: (B, T), likewise.

    Returns:
        A dict with `encoder_sequence_output` (B, S, D) and `decoder_sequence_output`
        (B, T, D), which `logits` converts to scores.
    """

    def __init__(
        self,
        arguments,
        *,
        block,
        stack,
        ties_output=True,
        output_scale=1.0,
        output_bias=False,
        dtype=None,
        **kwargs,
    ):
        size = arguments.__getitem__
        policy = checked_policy(dtype)
        dtype = policy.name  # a name, so that Keras can write the layers' configs

        def table(name, vocabulary_size):
            return TokenEmbedding(
                vocabulary_size, size("hidden_dim"), dtype=dtype, name=name
            )

        def side(name, token_embedding, num_layers, **options):
            layers = [
                block(name=f"{name}_layer_{i}", dtype=dtype, **options)
                for i in range(num_layers)
            ]
            return Stack(name, token_embedding, layers, policy, **stack)

        # Layers
        token_embedding = table("token_embedding", size("vocabulary_size"))
        source_embedding = token_embedding
        if arguments.get("source_vocabulary_size") is not None:
            source_embedding = table(
                "source_embedding", arguments["source_vocabulary_size"]
            )
        num_layers = size("num_layers")
        num_decoder_layers = arguments.get("num_decoder_layers") or num_layers
        encoder = side("encoder", source_embedding, num_layers)
        decoder = side(
            "decoder", token_embedding, num_decoder_layers, cross_attention=True
        )

        # Graph
        inputs = {
            name: keras.Input((None,), dtype="int32", name=name)
            for side in ("encoder", "decoder")
            for name in (f"{side}_token_ids", f"{side}_padding_mask")
        }
        seen_of_source = inputs["encoder_padding_mask"]
        source = encoder(inputs["encoder_token_ids"], seen_of_source)
        # Computed once for all layers
        seen = CausalMask(name="causal_mask")(inputs["decoder_padding_mask"])
        x = decoder(
            inputs["decoder_token_ids"],
            seen,
            context=source,
            context_mask=seen_of_source,
        )
        outputs = {"encoder_sequence_output": source, "decoder_sequence_output": x}
        super().__init__(inputs, outputs, **kwargs)
        self.describe(arguments, policy)
        self.token_embedding = token_embedding
        self.source_embedding = source_embedding
        self.ties_output = ties_output
        output_embedding = token_embedding
        if not ties_output:
            output_embedding = table("output_embedding", size("vocabulary_size"))
            output_embedding.build((None, None))
        self.output_head = NextTokenHead(
            output_embedding, output_scale, output_bias, name="next_token_head"
        )
        self.output_head.build((None, None, size("hidden_dim")))
        # Plain objects; Keras tracks their layers through the graph.
        self._encoder, self._decoder = encoder, decoder
        # Hidden from Keras, which would track all of these layers twice.
        sides = keras.Model(
            {name: inputs[name] for name in inputs if name.startswith("encoder")},
            source,
        )
        object.__setattr__(self, "_encode", functools.partial(sides, training=False))

    @property
    def layer_counts(self):
        return {"i": len(self._encoder.layers), "j": len(self._decoder.layers)}

    @property
    def input_vocabulary_size(self):
        return self.source_embedding.vocabulary_size

    @property
    def encoder_layers(self):
        return self._encoder.layers

    @property
    def decoder_layers(self):
        return self._decoder.layers

    def encode(self, token_ids, padding_mask):
        """The encoder's output (B, S, D) at inference.

        Args:
            token_ids: (B, S) integers.
            padding_mask: (B, S), 1 for a token and 0 for padding.
        """
        return self._encode(
            {"encoder_token_ids": token_ids, "encoder_padding_mask": padding_mask}
        )

    def memory(self, token_ids, padding_mask):
        """Runs the encoder and precomputes what the decoder's steps read of it.

        Args:
            token_ids: (B, S) integers.
            padding_mask: (B, S), 1 for a token and 0 for padding.

        Returns:
            A nest of tensors whose first axis is B: the keys and values of every
            decoder layer, and the mask.
        """
        source = self.encode(token_ids, padding_mask)
        source = ops.cast(source, self.dtype_policy.compute_dtype)
        return {
            "layers": [layer.memory(source) for layer in self.decoder_layers],
            "mask": ops.cast(padding_mask, "bool"),
        }

    def state(self, rows, columns=0):
        """An empty state for `step`.

        Args:
            rows: Number of rows R.
            columns: Number of earlier positions P.

        Returns:
            A nest of zero tensors that only the model interprets. The first axis of
            each is R, the third P.
        """
        state = {
            "layers": [layer.state(rows, columns) for layer in self.decoder_layers]
        }
        if self._decoder.relative_bias is not None:
            state["positions"] = ops.zeros((rows, 1, columns), "int32")
        return state

    def step(
        self, token_ids, positions, state, mask, kernels=None, *, memory, alone=False
    ):
        """Runs the decoder at a few new positions, given the state of the earlier ones.

        Computes what the model does at inference.

        Args:
            token_ids: (R, T) integers.
            positions: (R, T) integers, as in `Decoder.step`.
            state: State of P positions, as returned by `state`.
            mask: Boolean, broadcasts to (R, N, T, P + T), as in `Decoder.step`.
            kernels: The result of `kernels_for`, or None.
            memory: The result of `memory`, for B sources; each has R / B adjacent rows.
            alone: As in `Decoder.step`.

        Returns:
            A tuple of the hidden states (R, T, D) and the state of the T new positions
            only.
        """
        decoder, new, context = self._decoder, {"layers": []}, {}
        if decoder.relative_bias is not None:
            here = ops.cast(positions, "int32")
            new["positions"] = ops.expand_dims(here, 1)
            seen = ops.concatenate([state["positions"], new["positions"]], axis=-1)
            seen = ops.squeeze(seen, 1)
            context["bias"] = decoder.relative_bias.between(here, seen)
        x = decoder.step_embedded(token_ids, positions, kernels if alone else None)
        for layer, past, remembered in zip(
            decoder.layers, state["layers"], memory["layers"], strict=True
        ):
            x, added = layer.step(
                x,
                past,
                mask,
                kernels,
                positions,
                memory=remembered,
                memory_mask=memory["mask"],
                **context,
            )
            new["layers"].append(added)
        return decoder.normed(x), new
