"""Asks an exported model; needs nothing but TensorFlow.

    python recipes/predict.py --model saved_models/mail/1 --text "You won!" "See you?"
    python recipes/predict.py --model saved_models/mail < lines.txt
    python recipes/predict.py --model saved_models/squad --question "Who met Alan?" \
        --context "Ada met Alan in London."

Prints one line for each text: of a classifier `label<TAB>score`; of one with several
labels per text these pairs for the labels of a probability of at least 0.5; of a
regression the score; of a tagger `word<TAB>label` for each word; of a model that
answers questions `answer<TAB>score`; of one that fills gaps `word<TAB>score` for each
`[MASK]`; of one that generates what comes after the text, which may take several lines;
of one that embeds the numbers of the vector with tabs between.
With `--json` a line is an object that holds everything the model answered.
"""

import argparse
import json
import os
import pathlib
import sys

THRESHOLD = 0.5
# What a model is asked with, in the order of the columns of a line.
COLUMNS = (("text",), ("text", "text_pair"), ("question", "context"), ("prompt",))


class UserError(Exception):
    """What the caller can mend, on one line."""


def main(
    model: pathlib.Path,
    text: list[str] | None = None,
    text_pair: list[str] | None = None,
    question: list[str] | None = None,
    context: list[str] | None = None,
    input: str | None = None,
    as_json: bool = False,
    batch_size: int = 32,
) -> None:
    """Prints the model's answer to each text.

    Args:
        model: A version's folder, or the folder of versions, whose highest is taken.
        text: Texts; None reads lines from `input`.
        text_pair: As many second texts, where the model takes pairs.
        question: Questions, where the model answers such.
        context: As many texts that hold the answers.
        input: File of texts, one in a line, pairs with a tab between, and so questions
            and contexts; "-" or None is the standard input.
        as_json: Whether to print JSON objects.
        batch_size: Texts asked at once.
    """
    folder = version_folder(model)
    loaded = load_model(folder)
    signature = loaded.signatures["serving_default"]
    inputs = signature.structured_input_signature[1]
    (columns,) = (names for names in COLUMNS if {*names} == {*inputs})
    given = {
        "text": text,
        "text_pair": text_pair,
        "question": question,
        "context": context,
    }
    given = {name: values for name, values in given.items() if values is not None}
    if given and input is not None:
        raise UserError(f"There must be --input or {flags(given)}, not both.")
    texts = texts_of(given, columns) if given else lines_of(input, columns)
    labels = read_labels(folder)
    for batch in batches(texts, batch_size):
        for answer in ask(signature, columns, batch, labels):
            print(json.dumps(answer, ensure_ascii=False) if as_json else line(answer))


def version_folder(path):
    """The folder that holds saved_model.pb: `path` or its highest version."""
    path = pathlib.Path(path)
    if not path.is_dir():
        raise UserError(f"{path}: There must be a folder here.")
    versions = [child for child in path.iterdir() if child.name.isdecimal()]
    if not (path / "saved_model.pb").exists() and versions:
        path = max(versions, key=lambda child: int(child.name))
    if not (path / "saved_model.pb").exists():
        raise UserError(
            f"{path}: The folder must hold saved_model.pb or numbered versions."
        )
    return path


def load_model(folder):
    """A SavedModel whose signature `serving_default` takes one of `COLUMNS`."""
    import tensorflow as tf

    try:
        loaded = tf.saved_model.load(str(folder))
    except (OSError, ValueError, KeyError, tf.errors.OpError) as e:
        reason = (str(e).splitlines() or ["unknown"])[0]
        raise UserError(f"{folder}: The model cannot be loaded: {reason}") from None
    signature = loaded.signatures.get("serving_default")
    inputs = signature.structured_input_signature[1] if signature else {}
    if {*inputs} not in [{*names} for names in COLUMNS]:
        raise UserError(
            f"{folder}: The model must have a signature serving_default that takes "
            f"text. Received: {sorted(loaded.signatures)} with inputs {sorted(inputs)}."
        )
    return loaded


def read_labels(folder):
    """The labels in the order of the probabilities, or None."""
    path = folder / "assets.extra" / "labels.txt"
    if not path.exists():
        return None
    return path.read_text(encoding="utf-8").split("\n")[:-1]


def flags(names):
    """Names of arguments as they are written."""
    return " and ".join("--" + name.replace("_", "-") for name in names)


def texts_of(given, columns):
    """Tuples of the strings of each text given by argument."""
    wanted = ["text" if name == "prompt" else name for name in columns]
    if [*given] != wanted:
        raise UserError(f"This model takes {flags(wanted)}. Received: {flags(given)}.")
    sizes = [len(given[name]) for name in wanted]
    if len({*sizes}) > 1:
        raise UserError(
            f"There must be as many {flags(wanted[1:])} as {flags(wanted[:1])}. "
            f"Received: {sizes[1]} and {sizes[0]}."
        )
    encoded = [[os.fsencode(text) for text in given[name]] for name in wanted]
    return zip(*encoded, strict=True)


def lines_of(input, columns):
    """Tuples of the strings of each line, as bytes: the model reads any of them."""
    name = "standard input" if input in (None, "-") else input
    what = "a question and a context" if "question" in columns else "two texts"
    try:
        file = sys.stdin.buffer if input in (None, "-") else open(input, "rb")
    except OSError as e:
        raise UserError(f"{name}: The file cannot be read: {e.strerror}.") from None
    with file:
        for number, text in enumerate(file, 1):
            text = text.rstrip(b"\r\n")
            parts = text.split(b"\t") if len(columns) == 2 else [text]
            if len(parts) != len(columns):
                raise UserError(
                    f"{name}:{number}: A line must be {what} with a tab between. "
                    f"Received: {len(parts)}."
                )
            yield tuple(parts)


def batches(texts, size):
    """Lists of at most `size` texts."""
    batch = []
    for text in texts:
        batch.append(text)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def ask(signature, columns, batch, labels):
    """A dictionary for each text of a batch."""
    import tensorflow as tf

    texts = {
        name: tf.constant(list(column))
        for name, column in zip(columns, zip(*batch, strict=True), strict=True)
    }
    try:
        outputs = {name: value.numpy() for name, value in signature(**texts).items()}
        rows = [
            described({key: value[row] for key, value in outputs.items()}, labels)
            for row in range(len(batch))
        ]
    except tf.errors.OpError as e:
        raise UserError(f"The model failed: {e.message.splitlines()[0]}") from None
    except (KeyError, IndexError, ValueError, TypeError, AttributeError):
        shapes = ", ".join(f"{name} {value.shape}" for name, value in outputs.items())
        raise UserError(f"These are not answers of tfzoo's models: {shapes}.") from None
    return rows


def described(row, labels):
    """One answer as plain values: names for the probabilities, no padding."""
    if "text" in row:
        return {"text": row["text"].decode()}
    if "embedding" in row:
        return {"embedding": row["embedding"].tolist()}
    if "answer" in row:
        answer = {"answer": row["answer"].decode(), "score": float(row["score"])}
        return answer | {name: int(row[name]) for name in ("start", "end")}
    if "words" in row:
        return {"words": [tagged(row, i) for i in range(row["num_words"])]}
    if "tokens" in row:
        return {
            "gaps": [
                [
                    {"token": token.decode(), "score": float(score)}
                    for token, score in zip(tokens, scores, strict=True)
                ]
                for tokens, scores in zip(row["tokens"], row["scores"], strict=True)
                if tokens[0]
            ]
        }
    answer = {}
    if "label" in row:
        answer["label"] = row["label"].decode()
    if "score" in row:
        answer["score"] = float(row["score"])
    if "probabilities" in row:
        values = [float(value) for value in row["probabilities"]]
        names = labels or [str(i) for i in range(len(values))]
        answer["probabilities"] = dict(zip(names, values, strict=True))
    if not answer:
        raise KeyError
    return answer


def tagged(row, i):
    """A word of a text, and what is said of it."""
    return {
        "word": row["words"][i].decode(),
        "label": row["labels"][i].decode(),
        "score": float(row["scores"][i]),
        "start": int(row["starts"][i]),
        "end": int(row["ends"][i]),
    }


def line(answer):
    """One answer as the line that is printed."""
    if "text" in answer:
        return answer["text"]
    if "embedding" in answer:
        return "\t".join(f"{number:.6f}" for number in answer["embedding"])
    if "words" in answer:
        return "\t".join(f"{word['word']}\t{word['label']}" for word in answer["words"])
    if "answer" in answer:
        pairs = [(answer["answer"], answer["score"])]
    elif "gaps" in answer:
        pairs = [(best["token"], best["score"]) for best, *_ in answer["gaps"]]
    elif "label" in answer:
        pairs = [(answer["label"], answer["score"])]
    elif "probabilities" in answer:
        every = answer["probabilities"].items()
        pairs = [(name, score) for name, score in every if score >= THRESHOLD]
    else:
        return f"{answer['score']:.6f}"
    return "\t".join(f"{name}\t{score:.6f}" for name, score in pairs)


def arguments():
    """The command line."""
    first, _, rest = __doc__.partition("\n")
    parser = argparse.ArgumentParser(
        description=first, epilog=rest, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add(
        "--model",
        type=pathlib.Path,
        required=True,
        help="folder of a version or of all",
    )
    add("--text", nargs="+", help="texts; otherwise lines are read")
    add(
        "--text-pair",
        nargs="+",
        help="as many second texts, where the model wants them",
    )
    add("--question", nargs="+", help="questions, where the model answers such")
    add("--context", nargs="+", help="as many texts that hold the answers")
    add(
        "--input",
        help="file of texts, one in a line (two with a tab between where the model "
        "takes two); - is stdin",
    )
    add("--json", action="store_true", dest="as_json", help="print JSON objects")
    add("--batch-size", type=int, default=32, help="texts asked at once (32)")
    values = parser.parse_args()
    if values.batch_size < 1:
        parser.error(f"--batch-size must be at least 1. Received: {values.batch_size}")
    return values


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        main(**vars(arguments()))
    except UserError as e:
        print(f"error: {e}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        sys.exit(130)
