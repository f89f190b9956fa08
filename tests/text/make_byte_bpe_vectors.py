"""Makes byte_bpe_vectors.json: merges, texts, and the ids of `tokenizers`.

python tests/text/make_byte_bpe_vectors.py

Needs only `tokenizers` and nothing of tfzoo. The texts are made up for this file.
"""

import json
import pathlib
import random

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

END = "<|endoftext|>"
CORPUS = [
    "The zookeeper's lions don't sleep; they've walked, we'll walk, I'm walking.\n",
    "Caf\u00e9s open at 9.30, 10.30 and 11.30:\n    zebras = [lions, 2 * walks]\n\n",
    "\u52d5\u7269\u5712\u306e\u52d5\u7269 \U0001f981\U0001f981 na\u00efve caf\u00e9s",
] * 4
TEXTS = [
    "",
    " ",
    "  \t\r\n \n",
    "The zookeeper's lions don't; they've, we'll, I'd, I'm, you're, it's'S 'S '",
    " 's 't''re 'll'll'l 've's\n'd \u2019s can''t 'tis 'm",
    "x  y   z\n\nq \n r\t\ts ",
    "1234567890 12a34 \u0664\u0665 \u2167 \u00bd\u00b2 x\u00b2",
    "Caf\u00e9 CAF\u00c9 cafe\u0301 na\u00efve \ufb01sh \u0130\u0131 \u1e9e\u00df",
    "\u52d5\u7269\u5712\u52d5\u7269\u306f\u3001\u3002 \ud55c\uad6d \u1112\u1161\u11ab",
    "a\x00b\x07c\x7fd\u200be\u200df\ufeffg\ufffdh\ue000i\x00",
    "nbsp\u00a0em\u2003 line\u2028para\u2029 nel\u0085ogham\u1680 \u3000 x",
    "\u202eright\u202c to \u200fleft \u05e9\u05b8\u05dc\u05d5\u05b9\u05dd \u0633\u064e",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1f3\U0001f1f1 \u2764\ufe0f",
    f"one{END}two {END} {END}{END}\n{END}",
    "<|endoftext |> <|ENDOFTEXT|> <|endoftext",
    "!?.,;-- $5 a_b x=y ~z ^w `v` \u00abq\u00bb \u00bfr? \u2013\u2014 \u2018s\u2019",
    "lions" * 40,
    "\u0939\u093f\u0928\u094d\u0926\u0940 \u0ba4\u0bae\u0bbf\u0bb4\u0bcd \u0e44\u0e17",
]


def main():
    """Writes the file."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=256 + 200,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    plain = [tokenizer.encode(text).ids for text in TEXTS]
    source = random.Random(0)
    any_ids = [
        [source.randrange(len(model["vocab"])) for _ in range(source.randrange(12))]
        for _ in range(40)
    ]
    decoded = [tokenizer.decode(ids) for ids in any_ids]
    tokenizer.add_special_tokens([END])
    content = {
        "vocabulary": sorted(model["vocab"], key=model["vocab"].get) + [END],
        "merges": model["merges"],
        "texts": TEXTS,
        "ids": plain,
        "ids_with_end_token": [tokenizer.encode(text).ids for text in TEXTS],
        "any_ids": any_ids,
        "decoded": decoded,
    }
    path = pathlib.Path(__file__).with_name("byte_bpe_vectors.json")
    path.write_text(json.dumps(content, separators=(",", ":")) + "\n")
    print(path)


if __name__ == "__main__":
    main()
