"""Encoders and decoders: sizes in, `keras.Model` out."""

from tfzoo.models.decoder import Decoder
from tfzoo.models.decoding import LaidOut
from tfzoo.models.encoder import Encoder, StackEncoder
from tfzoo.models.encoder_decoder import EncoderDecoder

__all__ = ["Decoder", "Encoder", "EncoderDecoder", "LaidOut", "StackEncoder"]
