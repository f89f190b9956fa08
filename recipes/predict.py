"""Asks an exported model; needs nothing but TensorFlow.

    python recipes/predict.py --model saved_models/mail/1 --text "You won!" "See you?"
    python recipes/predict.py --model saved_models/mail < lines.txt

Prints one line for each text: of a classifier `label<TAB>score`; of one with several
labels per text these pairs for the labels of a probability of at least 0.5; of a
regression the score; of a model that fills gaps `word<TAB>score` for each `[MASK]`;
of a model that generates what comes after the text, which may take several lines; of
one that embeds the numbers of the vector with tabs between.
With `--json` a line is an object that holds everything the model answered.
"""

import argparse
import json
import os
import pathlib
import sys

THRESHOLD = 0.5


class UserError(Exception):
    """What the caller can mend, on one line."""


def main(
    model: pathlib.Path,
    text: list[str] | None = None,
    text_pair: list[str] | None = None,
    input: str | None = None,
    as_json: bool = False,
    batch_size: int = 32,
) -> None:
    """Prints the model's answer to each text.

    Args:
        model: A version's folder, or the folder of versions, whose highest is taken.
        text: Texts; None reads lines from `input`.
        text_pair: As many second texts, where the model takes pairs.
        input: File of texts, one in a line, pairs with a tab between; "-" or None is
            the standard input.
        as_json: Whether to print JSON objects.
        batch_size: Texts asked at once.
    """
    folder = version_folder(model)
    loaded = load_model(folder)
    signature = loaded.signatures["serving_default"]
    takes_pairs = "text_pair" in signature.structured_input_signature[1]
    labels = read_labels(folder)
    if text is None:
        texts = lines_of(input, takes_pairs)
    else:
        texts = pairs_of(text, text_pair, takes_pairs)
    for batch in batches(texts, batch_size):
        for answer in ask(signature, batch, labels):
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
    """A SavedModel whose signature `serving_default` takes text or prompts."""
    import tensorflow as tf

    try:
        loaded = tf.saved_model.load(str(folder))
    except (OSError, ValueError, KeyError, tf.errors.OpError) as e:
        reason = (str(e).splitlines() or ["unknown"])[0]
        raise UserError(f"{folder}: The model cannot be loaded: {reason}") from None
    signature = loaded.signatures.get("serving_default")
    inputs = signature.structured_input_signature[1] if signature else {}
    if set(inputs) not in ({"text"}, {"text", "text_pair"}, {"prompt"}):
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


def pairs_of(texts, text_pairs, takes_pairs):
    """Tuples of the strings of each text given by argument."""
    if takes_pairs != (text_pairs is not None):
        wanted = "needs" if takes_pairs else "takes no"
        raise UserError(f"This model {wanted} --text-pair.")
    columns = [texts] if text_pairs is None else [texts, text_pairs]
    if len(columns[0]) != len(columns[-1]):
        raise UserError(
            "There must be as many --text-pair as --text. Received: "
            f"{len(columns[1])} and {len(columns[0])}."
        )
    encoded = [[os.fsencode(text) for text in column] for column in columns]
    return zip(*encoded, strict=True)


def lines_of(input, takes_pairs):
    """Tuples of the strings of each line, as bytes: the model reads any of them."""
    name = "standard input" if input in (None, "-") else input
    try:
        file = sys.stdin.buffer if input in (None, "-") else open(input, "rb")
    except OSError as e:
        raise UserError(f"{name}: The file cannot be read: {e.strerror}.") from None
    with file:
        for number, text in enumerate(file, 1):
            parts = text.rstrip(b"\r\n").split(b"\t") if takes_pairs else [text]
            if takes_pairs and len(parts) != 2:
                raise UserError(
                    f"{name}:{number}: A line must be two texts with a tab between. "
                    f"Received: {len(parts)}."
                )
            yield tuple(part.rstrip(b"\r\n") for part in parts)


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


def ask(signature, batch, labels):
    """A dictionary for each text of a batch."""
    import tensorflow as tf

    columns = zip(*batch, strict=True)
    inputs = signature.structured_input_signature[1]
    names = ("prompt",) if "prompt" in inputs else ("text", "text_pair")
    texts = {
        name: tf.constant(list(column))
        for name, column in zip(names, columns, strict=False)
    }
    outputs = {name: value.numpy() for name, value in signature(**texts).items()}
    for row in range(len(batch)):
        yield described({key: value[row] for key, value in outputs.items()}, labels)


def described(row, labels):
    """One answer as plain values: names for the probabilities, no padding of gaps."""
    if "text" in row:
        return {"text": row["text"].decode()}
    if "embedding" in row:
        return {"embedding": row["embedding"].tolist()}
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
    return answer


def line(answer):
    """One answer as the line that is printed."""
    if "text" in answer:
        return answer["text"]
    if "embedding" in answer:
        return "\t".join(f"{number:.6f}" for number in answer["embedding"])
    if "gaps" in answer:
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
    add(
        "--input",
        help="file of texts, one in a line (pairs: a tab between); - is stdin",
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
