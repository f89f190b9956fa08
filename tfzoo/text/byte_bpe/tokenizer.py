"""Byte-level byte-pair encoding, as in GPT-2 and Llama 3: text to ids and back.

Text is split into words by a pattern, and neighboring bytes of each word are merged in
the order in which the merges were learned. Every text can be encoded without unknown
tokens, and its ids decode to the same text, unless it is normalized. The space before a
word is its first character, written "\u0120"; CLIP marks the end of a word instead.

Source: Radford et al. 2019, section 2.2, and its `encoder.py`,
https://github.com/openai/gpt-2; merging: Sennrich et al. 2016, section 3.2,
https://arxiv.org/abs/1508.07909; RoBERTa: Liu et al. 2019, section 4.4,
https://arxiv.org/abs/1907.11692; the others: see `declaration`
"""

import functools
import unicodedata

import keras
import numpy as np

from tfzoo.errors import about
from tfzoo.text.added_token import AddedToken
from tfzoo.text.byte_bpe import asset_files, byte_alphabet, declaration, rules
from tfzoo.text.byte_bpe.asset_files import END_TOKEN
from tfzoo.text.byte_bpe.rust import ByteBPERust
from tfzoo.text.byte_bpe.training import LearnsMerges
from tfzoo.text.generative_tokenizer import GenerativeTokenizer
from tfzoo.text.layout import Layout
from tfzoo.text.text_stream import ByteDecoder, TextStream

_OF_GPT2 = ("gpt-2", None, "", False)  # not stated in a configuration


@keras.saving.register_keras_serializable("tfzoo")
class ByteBPETokenizer(LearnsMerges, GenerativeTokenizer):
    """Text to byte-level BPE ids and back, with `tokenizers` or in TensorFlow graphs.

    Special tokens in a text are plain text. Bytes are decoded as UTF-8, with invalid
    bytes replaced as in `decode("utf-8", "replace")`.

    `from_preset` reads tokenizer.json or, without it, vocab.json and merges.txt,
    OpenAI's encoder.json and vocab.bpe or CLIP's bpe_simple_vocab_16e6.txt.gz, and
    tokenizer_config.json if it exists; `save_to_preset` writes all but OpenAI's.

    GPT-2 has only an end token; RoBERTa has `**ROBERTA_TOKENS`; Llama and CLIP also
    have a start token.

    Args:
        vocabulary: Tokens in the order of their ids, with bytes as the characters of
            `byte_alphabet`; None for an id without a token.
        merges: Pairs of tokens, in the order in which they were learned.
        end_token: Token that ends a text; the vocabulary may lack it.
        start_token: Token that starts a text of a decoder, or None if the end token
            does; the vocabulary may lack it.
        special_tokens: Further tokens that plain text never contains.
        pad_token: Token for padding, or None; the vocabulary may lack it. The same
            applies to the next four.
        unknown_token: Token for unknown text; never used, as no text is unknown.
        cls_token: Token before a text.
        sep_token: Token after a text.
        mask_token: Token for a masked word.
        mask_lstrip: Whether a mask token recognized in a text includes the white space
            before it, as in published RoBERTa models.
        add_prefix_space: Whether a space is added before a text that has none, so that
            its first word is encoded like any other.
        layout: The `Layout` of special tokens around texts. Defaults to
            <s> a </s></s> b </s>, all in segment 0, if there are a cls and a sep token,
            and to no special tokens otherwise.
        split: How texts are split into words: "gpt-2"; "smollm-2", with each digit a
            word of its own; "qwen-2" (also Qwen 3's); "llama-3"; "clip", or
            "clip-words" for CLIP's pattern without its special tokens.
        normalizer: None; "nfc" for Unicode's composed form; or "clip" for that and
            lower case, with each stretch of white space a space.
        end_of_word_suffix: What tokens at the end of a word end in: "" or "</w>".
        ignore_merges: Whether a word that is in the vocabulary is that token, even if
            no merges make it.
        added_tokens: `AddedToken`s, or their contents: tokens recognized in texts that
            are not special.

    Attributes:
        vocabulary: Tuple of tokens and None.
        merges: Tuple of pairs.
        end_id: Id of the end token, None if the vocabulary lacks it. Likewise
            `start_id`, `pad_id`, `unknown_id`, `cls_id`, `sep_id`, `mask_id`.
        special_tokens: Tuple of all special tokens in the vocabulary, the end token
            first.
        special_ids: Tuple of their ids.
        special: bool (V,), True for special tokens.
        continues: bool (V,), True for tokens that continue a word.

    Raises:
        TokenizerError: a byte has no token; a token is a duplicate or not a valid
            string; a merge is a duplicate, or its tokens or its result are missing; or
            a special token is missing or may occur in text.
    """

    _files = asset_files

    def __init__(
        self,
        vocabulary,
        merges,
        *,
        end_token=END_TOKEN,
        start_token=None,
        special_tokens=(),
        pad_token=None,
        unknown_token=None,
        cls_token=None,
        sep_token=None,
        mask_token=None,
        mask_lstrip=True,
        add_prefix_space=False,
        layout=None,
        split="gpt-2",
        normalizer=None,
        end_of_word_suffix="",
        ignore_merges=False,
        added_tokens=(),
    ):
        declaration.check(split, normalizer, end_of_word_suffix)
        if add_prefix_space and split != "gpt-2":
            raise ValueError(
                "add_prefix_space requires split='gpt-2'. Received: "
                f"add_prefix_space={add_prefix_space}, split={split!r}"
            )
        self.split, self.normalizer = split, normalizer
        self.end_of_word_suffix, self.ignore_merges = end_of_word_suffix, ignore_merges
        self.vocabulary = tuple(vocabulary)
        self.merges = tuple(map(tuple, merges))
        ids = rules.check_vocabulary(self.vocabulary, end_of_word_suffix)
        rules.check_merges(self.merges, ids)
        around = (pad_token, unknown_token, cls_token, sep_token, mask_token)
        named = (*around, start_token, end_token)
        self._name_tokens(ids, dict(zip(self.special_names, named, strict=True)))
        self._lay_out(layout)
        self.mask_lstrip, self.add_prefix_space = mask_lstrip, add_prefix_space
        named = [token for token in (end_token, *named) if token in ids]
        self.special_tokens = tuple(dict.fromkeys([*named, *special_tokens]))
        rules.check_special(self.special_tokens, self.merges, ids, end_of_word_suffix)
        self.special_ids = tuple(ids[token] for token in self.special_tokens)
        self.added_tokens = tuple(map(AddedToken.of, added_tokens))
        rules.check_added(self.added_tokens, self.special_tokens, ids)
        self._bytes = tuple(map(byte_alphabet.bytes_of, self._plain_tokens()))
        self._engine, self._graph = ByteBPERust(self), None
        if ignore_merges:
            rules.check_words(self.special_tokens, self._engine.words)

    def get_config(self):
        """Constructor arguments.

        What GPT-2 and RoBERTa do not have is left out by default, so that the
        fingerprint of tokenized text stays valid.
        """
        tokens = {f"{n}_token": getattr(self, f"{n}_token") for n in self.special_names}
        added = [token._asdict() for token in self.added_tokens]
        if self.start_token is None:
            del tokens["start_token"]
        return {
            "vocabulary": list(self.vocabulary),
            "merges": list(map(list, self.merges)),
            "special_tokens": list(self.special_tokens),
            **tokens,
            "mask_lstrip": self.mask_lstrip,
            "add_prefix_space": self.add_prefix_space,
            **self._layout_config(),
            **self.declared(),
            **({"added_tokens": added} if added else {}),
        }

    def declared(self):
        """The constructor arguments in which it differs from GPT-2's BPE."""
        options = {
            name: getattr(self, name)
            for name in ("split", "normalizer", "end_of_word_suffix", "ignore_merges")
        }
        return {k: v for k, v in options.items() if v not in _OF_GPT2}

    def encode_words(self, words):
        """The ids of words, written in characters of `byte_alphabet`: list of lists."""
        return self._engine.encode_words(words)

    @property
    def description(self):
        """Description for model cards."""
        return f"byte-level BPE, {self.vocabulary_size} tokens"

    @property
    def graph(self):
        """The same tokenizer in TensorFlow operations, a `ByteBPEGraph`."""
        if self._graph is None:
            from tfzoo.text.byte_bpe.graph import ByteBPEGraph

            with about(self.path):
                self._graph = ByteBPEGraph(self)
        return self._graph

    @property
    def usual_layout(self):
        """The default `Layout` of texts."""
        if self.cls_token is None or self.sep_token is None:
            return Layout()
        return Layout("cls", "sep", between=("sep", "sep"), second_segment=0)

    @functools.cached_property
    def continues(self):
        """bool (V,), True for tokens that continue a word, for whole word masking.

        They start with a letter, a mark or a number, or in the middle of a character.
        White space, punctuation and other symbols start a word: the words of " don't."
        are " don", "'t" and ".".
        """
        return np.array(list(map(_continues, self._bytes)))

    def token_text(self, index):
        """The text of a single token, such as " fox"; special tokens are themselves.

        Bytes that are not UTF-8 are replaced as in `decode("utf-8", "replace")`. The
        text of an id without a token is empty.
        """
        token = self.id_to_token(index)
        if token is None or token in self.special_tokens:
            return token or ""
        return self._without_suffix(self._bytes[index].decode("utf-8", "replace"))

    def _text_of(self, ids):
        """Without special tokens; bytes that are not UTF-8 are replaced."""
        text = self._without_suffix(self.bytes_of(ids).decode("utf-8", "replace"))
        return text.strip() if self.end_of_word_suffix else text

    def _without_suffix(self, text):
        """The text with a space for each suffix, as in CLIP's decoder."""
        suffix = self.end_of_word_suffix
        return text.replace(suffix, " ") if suffix else text

    def stream(self, before=()):
        """A `TextStream`, which decodes ids to text incrementally."""
        del before  # of no effect, as in `continuation`
        suffix = self.end_of_word_suffix
        return TextStream(
            ByteDecoder(self.bytes_of), suffix=suffix, strips=bool(suffix)
        )

    def _plain_tokens(self):
        """The token of every id, "" if it adds nothing to a text."""
        special = set(self.special_tokens)
        return ("" if t is None or t in special else t for t in self.vocabulary)


def _continues(content):
    first = content.decode("utf-8", "replace")[:1]
    return first == "\ufffd" or (
        first != "" and unicodedata.category(first)[0] in "LMN"
    )
