"""The command `tfzoo convert-checkpoint`, for a clone.

python recipes/convert_checkpoint.py --help
"""

from tfzoo import cli
from tfzoo.commands.convert_checkpoint import main

if __name__ == "__main__":
    cli.run(main)
