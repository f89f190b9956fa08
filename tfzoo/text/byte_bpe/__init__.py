"""Byte-level byte-pair encoding, as in GPT-2 and RoBERTa."""
