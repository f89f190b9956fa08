"""Makes vectors.json: texts, and the ids of `tokenizers`.

python tests/text/make_vectors.py

Needs only `tokenizers` and nothing of tfzoo. The texts are made up for this file.
"""

import itertools
import json
import pathlib

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = "the zoo open ##ed ##ing ##s walk un ##want able cafe café naive ##ly 動物 ##物"
TEXTS = [
    "",
    " \t\r\n",
    "The zoo opened at 9.30, walking unwanted cafes.",
    "Café CAFÉ cafe\u0301 naïvely NAI\u0308VE Ångström ﬁsh",
    "İstanbul ıi ẞß ΟΔΟΣ ς Ǆ ǅ",
    "動物園です。walk動物 ᄒ\u1161\u11ab 한국 カ\u3099 が",
    "a\x00b\x07c\x7fd\u200be\u200df\ufeffg\ufffdh\ue000i",
    "nbsp\u00a0em\u2003line\u2028para\u2029nel\u0085ogham\u1680",
    "\u202eright\u202c to \u200fleft שָׁלוֹם سَلَام",
    "👩\u200d👩\u200d👧 🇳🇱 ❤\ufe0f 👍🏽",
    "[CLS] the [MASK] [mask] [UNK]ed [SEP] ##ing ##",
    "don't... $5 a_b x=y ~z ^w `v` «q» ¿r? – — ‘s’ \u037e \u1fef",
    "हिन्दी தமிழ் ไทย བོད",
    "\u0301the the\u0301\u0302\u0303 \u1b44\u1baa\U0001d165\U0001d16d\u08d4\u0345",
    "𝐀 Ⓐ ① ½ ㈱ \U0001e900 \U00020000 \U0002b820 \U0002f800 \uf900",
    "the" * 33 + "s",
    "the" * 33 + "ss",
    "walking" * 3 + " zzz" + "s" * 120,
]
OPTIONS = ("lowercase", "strip_accents", "split_cjk")


def vocabulary():
    """Special tokens, some words, and the characters of half of the texts."""
    letters = sorted(set("".join(TEXTS[::2]).lower()) - set(" \t\r\n\x00\x07\x7f"))
    tokens = [*SPECIAL_TOKENS, *WORDS.split(), *letters]
    tokens += [f"##{letter}" for letter in letters if letter.isalpha()]
    return list(dict.fromkeys(tokens))


def encode(tokens, lowercase, strip_accents, split_cjk):
    """Ids and offsets of all texts."""
    ids = {token: index for index, token in enumerate(tokens)}
    tokenizer = Tokenizer(
        models.WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=100)
    )
    tokenizer.normalizer = normalizers.BertNormalizer(
        lowercase=lowercase,
        strip_accents=strip_accents,
        handle_chinese_chars=split_cjk,
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(SPECIAL_TOKENS)
    tokenizer.encode_special_tokens = True
    encodings = [tokenizer.encode(text, add_special_tokens=False) for text in TEXTS]
    return [{"ids": e.ids, "offsets": e.offsets} for e in encodings]


def main():
    """Writes the file."""
    tokens = vocabulary()
    options = itertools.product((True, False), (True, False, None), (True, False))
    cases = [
        {
            "options": dict(zip(OPTIONS, values, strict=True)),
            "items": encode(tokens, *values),
        }
        for values in options
    ]
    content = {"vocabulary": tokens, "texts": TEXTS, "cases": cases}
    path = pathlib.Path(__file__).with_name("vectors.json")
    path.write_text(json.dumps(content, separators=(",", ":")) + "\n")
    print(path)


if __name__ == "__main__":
    main()
