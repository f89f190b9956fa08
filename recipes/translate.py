"""The command `tfzoo translate`, for a clone.

python recipes/translate.py --help
"""

from tfzoo import cli
from tfzoo.commands.translate import main

if __name__ == "__main__":
    cli.run(main)
