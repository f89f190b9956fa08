"""Runs an exported model on texts; needs only TensorFlow.

    tfzoo predict --model saved_models/mail/1 --text "You won!" "See you?"
    tfzoo predict --model saved_models/mail < lines.txt
    tfzoo predict --model saved_models/squad --question "Who met Alan?" \
        --context "Ada met Alan in London."

Prints a line for each text. Classifier: `label<TAB>score`; multi-label classifier: such
pairs for the labels with a probability of at least 0.5; regression: the score; tagger:
`word<TAB>label` for each word; question answering: `answer<TAB>score`; masked words:
`word<TAB>score` for each `[MASK]`; text generation: the continuation, and translation:
the target, which may span several lines (`tfzoo translate` gives one for each line);
embedder: the elements of the vector, separated by tabs. With `--json`, each line is an
object with all outputs of the model. Control characters are printed as escapes, and
long labels and tokens cut, except with `--json`.

A SavedModel is a program, which can read and write files of this machine: run it only
if you trust where it is from.

This file needs nothing else of tfzoo: `python recipes/predict.py`, or a copy of it on a
server, does the same.
"""

import argparse
import codecs
import contextlib
import errno
import json
import os
import pathlib
import re
import sys

THRESHOLD = 0.5
# What moves a cursor, breaks a line or turns the direction of the text after it
CONTROLS = re.compile(
    "[\0-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
LONGEST_NAME = 80  # of a label or a token, in characters
# The inputs a model may have, in the order of the columns of a line
COLUMNS = (("text",), ("text", "text_pair"), ("question", "context"), ("prompt",))
BINARY = {  # how files begin that are not UTF-8 text, and what to do
    codecs.BOM_UTF16_LE: ("UTF-16", "Save it as UTF-8."),
    codecs.BOM_UTF16_BE: ("UTF-16", "Save it as UTF-8."),
    b"\x1f\x8b": ("gzip data", "Decompress it: gunzip -c FILE | predict.py ..."),
    b"PK\x03\x04": ("a zip or Excel file", "Save the texts in a text file."),
}


class UserError(Exception):
    """A one-line message for an error that the user can fix."""


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
    """Prints the model's output for each text.

    Args:
        model: Directory of a version, or of all versions, to use the highest.
        text: Texts. None to read lines from `input`.
        text_pair: As many second texts, if the model takes pairs.
        question: Questions, for a question-answering model.
        context: As many contexts, which contain the answers.
        input: File with a text per line; pairs, and questions with contexts, are
            separated by a tab. "-" or None for standard input.
        as_json: Whether to print JSON objects.
        batch_size: Number of texts per batch.
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
        raise UserError(f"Either --input or {flags(given)} must be given, not both.")
    texts = texts_of(given, columns) if given else lines_of(input, columns)
    labels = read_labels(folder)
    for batch in batches(texts, batch_size):
        for answer in ask(signature, columns, batch, labels):
            print(json_line(answer) if as_json else line(answer))


def version_folder(path):
    """The directory with saved_model.pb: `path` or its highest version."""
    path = pathlib.Path(os.path.expanduser(path))
    if any("\ud800" <= character <= "\udfff" for character in str(path)):
        raise UserError(f"{path}: The path must be UTF-8; TensorFlow opens no other.")
    if not os.path.isdir(path):
        raise UserError(f"{path}: The path must be a directory.")
    try:
        versions = [child for child in path.iterdir() if child.name.isdecimal()]
    except OSError as e:
        raise UserError(f"{path}: Cannot be read: {e.strerror}.") from None
    if not (path / "saved_model.pb").exists() and versions:
        path = max(versions, key=lambda child: int(child.name))
    if not (path / "saved_model.pb").exists():
        raise UserError(
            f"{path}: The directory must contain saved_model.pb or numbered versions."
        )
    return path


def load_model(folder):
    """Loads a SavedModel whose signature `serving_default` takes one of `COLUMNS`."""
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
    """Reads the labels, in the order of the probabilities; None if there are none."""
    path = folder / "assets.extra" / "labels.txt"
    if not path.exists():
        return None
    try:
        return path.read_text(encoding="utf-8").split("\n")[:-1]
    except (OSError, UnicodeDecodeError) as e:
        raise UserError(f"{path}: The labels cannot be read: {e}.") from None


def flags(names):
    """Names of arguments as command-line flags."""
    return " and ".join("--" + name.replace("_", "-") for name in names)


def texts_of(given, columns):
    """Tuples of the strings given as arguments, one per example."""
    wanted = ["text" if name == "prompt" else name for name in columns]
    if [*given] != wanted:
        raise UserError(f"This model takes {flags(wanted)}. Received: {flags(given)}.")
    sizes = [len(given[name]) for name in wanted]
    if len({*sizes}) > 1:
        raise UserError(
            f"{flags(wanted)} must have the same number of values. "
            f"Received: {sizes[0]} and {sizes[1]}."
        )
    encoded = [[os.fsencode(text) for text in given[name]] for name in wanted]
    return zip(*encoded, strict=True)


def lines_of(input, columns):
    """Yields tuples of the strings in each line, as bytes, which need not be UTF-8."""
    name = "standard input" if input in (None, "-") else input
    path = os.path.expanduser(name)
    what = "a question and a context" if "question" in columns else "two texts"
    try:
        file = sys.stdin.buffer if input in (None, "-") else open(path, "rb")
    except OSError as e:
        raise UserError(f"{name}: The file cannot be read: {e.strerror}.") from None
    with file:
        for number, text in enumerate(file, 1):
            text = check_begin(name, text) if number == 1 else text
            text = text.rstrip(b"\r\n")
            parts = text.split(b"\t") if len(columns) == 2 else [text]
            if len(parts) != len(columns):
                raise UserError(
                    f"{name}:{number}: A line must be {what} separated by a tab. "
                    f"Received: {len(parts)}."
                )
            yield tuple(parts)


def check_begin(name, line):
    """Line 1 without a byte order mark; raises `UserError` if it is not UTF-8 text."""
    for begin, (what, fix) in BINARY.items():
        if line.startswith(begin):
            raise UserError(
                f"{name}:1: The text must be UTF-8. Received: {what}. {fix}"
            )
    return line.removeprefix(codecs.BOM_UTF8)


def batches(texts, size):
    """Yields lists of at most `size` texts."""
    batch = []
    for text in texts:
        batch.append(text)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def ask(signature, columns, batch, labels):
    """Runs the model on a batch; returns a dict for each text."""
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
        raise UserError(
            f"The outputs must be those of a tfzoo model. Received: {shapes}."
        ) from None
    return rows


def described(row, labels):
    """Converts an answer to plain values: named probabilities, no padding."""
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
    """A word with its label, score and position."""
    return {
        "word": row["words"][i].decode(),
        "label": row["labels"][i].decode(),
        "score": float(row["scores"][i]),
        "start": int(row["starts"][i]),
        "end": int(row["ends"][i]),
    }


def escaped(text, keep=""):
    """The text with escapes in place of control characters, except those to keep."""

    def escape(found):
        character = found[0]
        kept = character in keep
        return character if kept else character.encode("unicode_escape").decode()

    return CONTROLS.sub(escape, text)


def name(text):
    """A label or a token, escaped and cut."""
    text = escaped(text)
    return text if len(text) <= LONGEST_NAME else f"{text[: LONGEST_NAME - 3]}..."


def line(answer):
    """Formats an answer as a line of output."""
    if "text" in answer:
        return escaped(answer["text"], keep="\n\t")
    if "embedding" in answer:
        return "\t".join(f"{number:.6f}" for number in answer["embedding"])
    if "words" in answer:
        words = answer["words"]
        return "\t".join(f"{escaped(w['word'])}\t{name(w['label'])}" for w in words)
    if "answer" in answer:
        pairs = [(escaped(answer["answer"]), answer["score"])]
    elif "gaps" in answer:
        pairs = [(name(best["token"]), best["score"]) for best, *_ in answer["gaps"]]
    elif "label" in answer:
        pairs = [(name(answer["label"]), answer["score"])]
    elif "probabilities" in answer:
        every = answer["probabilities"].items()
        pairs = [(name(label), score) for label, score in every if score >= THRESHOLD]
    else:
        return f"{answer['score']:.6f}"
    return "\t".join(f"{text}\t{score:.6f}" for text, score in pairs)


def json_line(answer):
    """Formats an answer as JSON, escaped if the output's encoding is not UTF-8."""
    is_utf8 = (sys.stdout.encoding or "").lower() in ("utf-8", "utf8")
    text = json.dumps(answer, ensure_ascii=not is_utf8)
    return CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def arguments(words=None, program=None):
    """Parses the command line; by default, that of this process."""
    first, _, rest = __doc__.partition("\n")
    parser = argparse.ArgumentParser(
        prog=program,
        description=first,
        epilog=rest,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--model",
        type=pathlib.Path,
        required=True,
        help="directory of a version or of all versions",
    )
    add("--text", nargs="+", help="texts; without them, lines are read")
    add(
        "--text-pair",
        nargs="+",
        help="as many second texts, if the model takes pairs",
    )
    add("--question", nargs="+", help="questions, for a question-answering model")
    add("--context", nargs="+", help="as many contexts, which contain the answers")
    add(
        "--input",
        help="file with a text per line (two texts separated by a tab if the model "
        "takes two); - for stdin",
    )
    add("--json", action="store_true", dest="as_json", help="print JSON objects")
    add("--batch-size", type=int, default=32, help="texts per batch (32)")
    values = parser.parse_args(words)
    if values.batch_size < 1:
        parser.error(f"--batch-size must be >= 1. Received: {values.batch_size}")
    return values


def run(values=None):
    """Runs `main` with parsed arguments; an error is one line and an exit code.

    Without arguments, parses those of this process.

    Exit codes: 0 on success; 1 for an error; 130 when interrupted; 141 (as for SIGPIPE)
    if the reader of the output is gone, as in `| head -1`. What the terminal's encoding
    lacks is printed as an escape.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the shell, as in `>&-`
            setattr(sys, name, open(os.devnull, "w"))
    sys.stdout.reconfigure(errors="backslashreplace", line_buffering=True)
    try:
        try:
            main(**vars(values or arguments()))
        finally:
            sys.stdout.flush()  # so that a closed pipe shows here
    except UserError as e:
        print(f"error: {escaped(str(e))}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(141)
    except OSError as e:
        if e.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise
        print(f"error: The output cannot be written: {e.strerror}.", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    with contextlib.suppress(ImportError):  # without tfzoo, TensorFlow greets
        from tfzoo.quiet_start import quiet_start

        quiet_start()
    run()
