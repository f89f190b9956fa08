"""GPT-2's mapping of bytes to characters, which makes tokens printable text.

Printable bytes of Latin-1 map to themselves, the other bytes to the characters from
U+0100: a space is "\\u0120", a line feed "\\u010a".

Source: `bytes_to_unicode` in OpenAI's `encoder.py`, https://github.com/openai/gpt-2
"""

_PRINTABLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_OTHERS = [byte for byte in range(256) if byte not in _PRINTABLE]
_BYTE_OF = {chr(byte): byte for byte in _PRINTABLE}
_BYTE_OF |= {chr(0x100 + number): byte for number, byte in enumerate(_OTHERS)}
CHARACTERS = tuple(sorted(_BYTE_OF, key=_BYTE_OF.get))  # of the bytes 0 to 255
ALPHABET = frozenset(CHARACTERS)
_LATIN_1 = {ord(character): byte for character, byte in _BYTE_OF.items()}


def letters(suffix=""):
    """The characters in order, and those with a suffix, if any: tokens of single bytes.

    Args:
        suffix: What follows the last byte of a word, such as "</w>", or "".
    """
    ordered = sorted(CHARACTERS)
    return ordered + [letter + suffix for letter in ordered if suffix]


def written(content):
    """The characters that represent some bytes."""
    return "".join(CHARACTERS[byte] for byte in content)


def bytes_of(token):
    """The bytes that a token represents.

    A token with a character that represents no byte stands for its own text, as in the
    decoder of `tokenizers`.
    """
    if ALPHABET.issuperset(token):
        return token.translate(_LATIN_1).encode("latin-1")
    return token.encode()
