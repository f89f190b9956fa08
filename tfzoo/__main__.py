"""The program `tfzoo`: every command, installed, and several of them in one process.

    tfzoo --help
    tfzoo train-tokenizer --input text.txt --vocabulary-size 8000 --output runs/words \
        --then pretrain-bert --input text.txt --tokenizer runs/words ...
"""

import difflib
import functools
import importlib
import pkgutil
import sys
from importlib import metadata

from tfzoo import cli, commands

THEN = "--then"
USAGE = """\
usage: tfzoo COMMAND [ARGUMENTS] [--then COMMAND [ARGUMENTS]] ...

{commands}

`tfzoo COMMAND --help` explains the arguments of a command. Commands separated by --then
run one after the other in one process, which imports TensorFlow once; the first that
fails ends it with its exit code.
"""


def main():
    """Runs the commands of the process's command line."""
    with cli.endings():
        words = sys.argv[1:]
        if not words or words[0] in ("-h", "--help"):
            print(usage(), end="", file=sys.stdout if words else sys.stderr)
            sys.exit(0 if words else 2)
        if words == ["--version"]:
            print(f"tfzoo {metadata.version('tfzoo')}")
            return
        calls = [prepared(*command) for command in separated(words)]
        for number, call in enumerate(calls):
            if number and "keras" in sys.modules:  # forgets the command before
                sys.modules["keras"].utils.clear_session()
            call()


def usage():
    """The help of `tfzoo`: the first line of each command's documentation."""
    lines = (
        f"  {name:<26}{module_of(name).__doc__.splitlines()[0]}" for name in names()
    )
    return USAGE.format(commands="\n".join(lines))


def names():
    """The names of the commands."""
    found = pkgutil.iter_modules(commands.__path__)
    return sorted(module.name.replace("_", "-") for module in found)


def module_of(name):
    """The module of a command."""
    return importlib.import_module(f"tfzoo.commands.{name.replace('-', '_')}")


def separated(words):
    """Splits a command line at each `--then`."""
    parts = [[]]
    for word in words:
        if word == THEN:
            parts.append([])
        else:
            parts[-1].append(word)
    return parts


def prepared(name="", *words):
    """A function that runs a command, whose arguments are parsed here and now.

    Args:
        name: Name of the command, with hyphens or underscores.
        *words: Its arguments.

    Raises:
        ValueError: there is no such command.
    """
    name = name.replace("_", "-")
    if name not in names():
        near = difflib.get_close_matches(name, names())
        meant = f" Did you mean {' or '.join(near)}?" if near else ""
        raise ValueError(
            "A command must be one of those that `tfzoo --help` lists. "
            f"Received: {name!r}.{meant}"
        )
    module, program = module_of(name), f"tfzoo {name}"
    if name == "predict":  # which parses its arguments without tyro, to run alone
        return functools.partial(module.run, module.arguments(words, program))
    arguments = cli.parsed(module.main, words, prog=program)
    return functools.partial(module.main, **arguments)


if __name__ == "__main__":
    main()
