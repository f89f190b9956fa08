"""How GPT-2 writes bytes as characters, so that a token is printable text.

Printable bytes of Latin-1 stand for themselves, the other bytes for the characters from
U+0100 on: a space is written "\\u0120", a line feed "\\u010a".

Source: `bytes_to_unicode` in OpenAI's `encoder.py`, https://github.com/openai/gpt-2
"""

_PRINTABLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_OTHERS = [byte for byte in range(256) if byte not in _PRINTABLE]
_BYTE_OF = {chr(byte): byte for byte in _PRINTABLE}
_BYTE_OF |= {chr(0x100 + number): byte for number, byte in enumerate(_OTHERS)}
CHARACTERS = tuple(sorted(_BYTE_OF, key=_BYTE_OF.get))  # of the bytes 0 to 255


def written(content):
    """The characters for some bytes."""
    return "".join(CHARACTERS[byte] for byte in content)


def bytes_of(token):
    """The bytes that a token stands for.

    A token with a character that no byte has stands for its own text, as it does in the
    decoder of `tokenizers`.
    """
    try:
        return bytes(_BYTE_OF[character] for character in token)
    except KeyError:
        return token.encode()
