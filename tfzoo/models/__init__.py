"""Encoders and decoders: sizes in, `keras.Model` out."""

from tfzoo.models.decoder import Decoder, LaidOut
from tfzoo.models.encoder import Encoder

__all__ = ["Decoder", "Encoder", "LaidOut"]
