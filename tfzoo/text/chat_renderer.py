"""The program in which `ChatTemplate` runs templates, which are other people's code.

Reads one job, a line of JSON, and writes one line. The template runs in Jinja's
immutable sandbox; each call of it may take a second of processor time and the process
200 MB more memory than it has at first, or else the kernel ends it.

It imports nothing of the package, so that it starts in a tenth of a second.
"""

import contextlib
import ctypes
import datetime
import functools
import json
import resource
import signal
import sys

import jinja2
import jinja2.compiler
import jinja2.ext
import jinja2.runtime
from jinja2.sandbox import ImmutableSandboxedEnvironment, SecurityError

SECONDS = 1.0  # of processor time, for each text
MOST_BYTES = 200_000_000
MOST_RUNS = 64
_PR_SET_PDEATHSIG = 1  # of prctl(2)
# Mark of a message -> whether its white space on the left, and on the right, is removed
_MARKS = {
    f"\ue000{left}{right}\ue001": (bool(left), bool(right))
    for left in ("", "l")
    for right in ("", "r")
}
# As the user's message, to check what `reduced` has found
_BLANK = ("", " \n")
_PROBES = (
    "x",
    " \n a  b\t\n",
    "<tool_response>{{ 1 }}</tool_response>",
    "<think>\nno</think> {%- if %} & \"'",
    "\ue000\u3000\u00e9\ud7ff",
)


class _Refused(BaseException):
    """Why a template does not reduce; not an `Exception`, which templates catch."""


class _Block(jinja2.ext.Extension):
    """`{% generation %}`, which marks what a model has written, and changes nothing."""

    tags = {"generation"}

    def parse(self, parser):
        next(parser.stream)
        return parser.parse_statements(["name:endgeneration"], drop_needle=True)


class _Sandbox(ImmutableSandboxedEnvironment):
    """A sandbox in which even printing what is not allowed is an error."""

    def unsafe_undefined(self, obj, attribute):
        raise SecurityError(f"it must not read {attribute} of a {type(obj).__name__}")


class _Comparisons(jinja2.compiler.CodeGenerator):
    """Passes what is compared through `compared`, and where it is looked for, too."""

    def visit_Compare(self, node, frame):
        self.write("(environment.compared(")
        self.visit(node.expr, frame)
        self.write(")")
        for operand in node.ops:
            self.visit(operand, frame)
        self.write(")")

    def visit_Operand(self, node, frame):
        searched = node.op in ("in", "notin")
        self.write(f" {jinja2.compiler.operators[node.op]} environment.compared(")
        self.visit(node.expr, frame)
        self.write(f", {searched})")


class _MessageSandbox(_Sandbox):
    """A sandbox which notices what strings are asked about a `_Message`."""

    code_generator_class = _Comparisons

    def __init__(self, **options):
        super().__init__(**options)
        self.tests["in"] = self._is_in
        for name, function in self.filters.items():
            if name not in ("default", "d", "format"):
                self.filters[name] = _without_messages(name, function)

    def _is_in(self, value, where):
        return value in self.compared(where, searched=True)

    def compared(self, value, searched=False):
        if not isinstance(value, str) or isinstance(value, _Message):
            return value
        if any(mark in value for mark in _MARKS):
            return _Sum(value, {})
        return _Searched(value) if searched else value

    def call(self, context, function, *args, **kwargs):
        if isinstance(getattr(function, "__self__", None), str):
            if function.__name__ != "format":
                _refuse_messages(args, f"method {function.__name__}")
        return super().call(context, function, *args, **kwargs)


class _Searched(str):
    """A known string in which something is looked for."""

    def __contains__(self, what):
        if isinstance(what, _Message):
            return what.is_in(self)
        return super().__contains__(what)


def _without_messages(name, function):
    """A filter that refuses messages as arguments behind what it filters."""
    first = 2 if hasattr(function, "jinja_pass_arg") else 1

    @functools.wraps(function)
    def filtered(*args, **kwargs):
        _refuse_messages([*args[first:], *kwargs.values()], f"filter {name}")
        return function(*args, **kwargs)

    return filtered


def _refuse_messages(values, user):
    if any(isinstance(value, _Message) for value in values):
        raise _Refused(f"it gives the message to the {user} of a string")


def _refuse(message):
    raise jinja2.TemplateError(message)


def _to_json(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def compiled(source, *, sandbox=_Sandbox):
    """A template with what `transformers` offers to it.

    Args:
        source: The template.
        sandbox: Class of the sandbox; in a `_MessageSandbox` it cannot read the date.
    """
    environment = sandbox(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[_Block, jinja2.ext.loopcontrols],
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _refuse
    if sandbox is _Sandbox:
        environment.globals["strftime_now"] = datetime.datetime.now().strftime
    return environment.from_string(source)


def rendered(template, messages, variables):
    """The text of a conversation, up to where the model's answer begins."""
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    return template.render(
        messages=messages,
        **{"tools": None, "documents": None, "add_generation_prompt": True},
        **variables,
    )


def _mark(*, left, right):
    return next(mark for mark, sides in _MARKS.items() if sides == (left, right))


class _Message(str):
    """A user's message that is not known yet, but not empty.

    It may be printed, stripped, added to a string, and asked questions with two
    answers; anything else is refused. As a string it is a mark, which is found again in
    the output.

    Args:
        text: The mark, and what was added to it.
        answers: Dict of question -> answer, which gets a False for other questions.
    """

    def __new__(cls, text, answers):
        self = super().__new__(cls, text)
        self.answers = answers
        return self

    def _is(self, question):
        return self.answers.setdefault(question, False)

    def strip(self, characters=None):
        if characters is not None:
            raise _Refused("it strips other characters than white space")
        text = str(self).strip()
        for mark, (left, right) in _MARKS.items():
            if mark in text:
                left |= text.startswith(mark)
                right |= text.endswith(mark)
                text = text.replace(mark, _mark(left=left, right=right))
                return type(self)(text, self.answers)
        raise _Refused("it must print the message once")

    def startswith(self, what):
        return self._is(f"starts with {what!r:.40}")

    def endswith(self, what):
        return self._is(f"ends with {what!r:.40}")

    def __contains__(self, what):
        return self._is(f"contains {what!r:.40}")

    def is_in(self, text):
        return self._is(f"is in {str(text)!r:.40}")

    def __eq__(self, other):
        return self._is(f"equals {other!r:.40}")

    def __ne__(self, other):
        return not self == other

    def __bool__(self):
        return True

    def __add__(self, other):
        return _Sum(str(self) + str(other), self.answers)

    def __radd__(self, other):
        return _Sum(str(other) + str(self), self.answers)


class _Sum(_Message):
    """A string with a message in it, of which no questions may be asked."""


def _refusing(name):
    def method(self, *args, **kwargs):
        raise _Refused(f"it uses {name.strip('_')} of the message")

    return method


_PRINTING = {"__str__", "__format__", *dir(object)} - {"__eq__", "__ne__", "__hash__"}
for _name in {*dir(str), "__rmod__"} - {*vars(_Message)} - _PRINTING | {"__hash__"}:
    setattr(_Message, _name, _refusing(_name))
for _name in ("startswith", "endswith", "__contains__", "is_in", "__eq__", "__bool__"):
    setattr(_Sum, _name, _refusing(_name))


def _joined(parts):
    """The parts as one string; a `_Sum` if a message is in it."""
    text = "".join(map(str, parts))
    return _Sum(text, {}) if any(mark in text for mark in _MARKS) else text


def reduced(source, before, variables):
    """What a template puts around a user's message that follows a conversation.

    The template runs with a message that is not known, once for every way that its
    questions about the message may be answered, and must always print the same around
    it. Then it runs with some messages that are known.

    Args:
        source: The template.
        before: Messages before the user's, such as that of the system.
        variables: Dict of the other variables.

    Returns:
        Dict of `before` and `after`, strings; `strips`, whether white space on the left
        and on the right of the message is removed; and `blank`, the text for a message
        of white space alone, None if nothing is removed.

    Raises:
        _Refused: the template does not reduce to this.
    """
    # What `~` and blocks make of a message must not be taken for a known string.
    jinja2.runtime.str_join, _Sandbox.concat = _joined, staticmethod(_joined)
    template = compiled(source, sandbox=_MessageSandbox)

    def run(content):
        messages = [*before, {"role": "user", "content": content}]
        return str(rendered(template, messages, variables))

    found, asked, waiting, runs = set(), set(), [{}], 0
    while waiting:
        given = waiting.pop()
        answers = dict(given)
        found.add(run(_Message(_mark(left=False, right=False), answers)))
        new = [question for question in answers if question not in given]
        for i, question in enumerate(new):
            waiting.append({**given, **dict.fromkeys(new[:i], False), question: True})
        asked |= {*new}
        runs += 1
        if runs > MOST_RUNS:
            raise _Refused("it asks too many questions about the message")
    if len(found) > 1:
        questions = " or ".join(sorted(asked))
        raise _Refused(f"its output depends on whether the message {questions}")
    (text,) = found
    marks = [mark for mark in _MARKS if mark in text]
    if len(marks) != 1 or text.count(marks[0]) != 1:
        raise _Refused("it must print the message once")
    head, tail = text.split(marks[0])
    left, right = _MARKS[marks[0]]
    blank = run("") if left or right else None
    for probe in (*_BLANK, *_PROBES):
        kept = probe.lstrip() if left else probe
        kept = kept.rstrip() if right else kept
        expected = head + kept + tail
        if probe in _BLANK and blank is not None:
            expected = blank
        if run(probe) != expected:
            raise _Refused("it changes the message")
    return {"before": head, "after": tail, "strips": [left, right], "blank": blank}


def answered(job):
    """The result of a job: a dict, with `error` and its kind if there is none."""
    try:
        if job["task"] == "reduce":
            return reduced(job["template"], job["before"], job["variables"])
        template = compiled(job["template"])
        texts = [rendered(template, m, job["variables"]) for m in job["conversations"]]
        return {"texts": texts}
    except _Refused as e:
        return {"error": str(e), "kind": "refused"}
    except jinja2.TemplateSyntaxError as e:
        return {"error": f"{e.message}", "line": e.lineno, "kind": "syntax"}
    except MemoryError:
        return {"error": "it needs more than 200 MB", "kind": "limit"}
    except RecursionError:
        return {"error": "it nests too deeply", "kind": "limit"}
    except Exception as e:
        kind = "rejected" if type(e) is jinja2.TemplateError else "failed"
        return {"error": f"{e}".rstrip(".") or type(e).__name__, "kind": kind}


def main():
    """Answers the job on standard input."""
    with contextlib.suppress(OSError, AttributeError):  # it ends with its parent
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    job = json.loads(sys.stdin.buffer.readline())
    with open("/proc/self/statm", encoding="ascii") as file:
        size = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MOST_BYTES,) * 2)
    json.dump(answered(job), sys.stdout)


if __name__ == "__main__":
    main()
