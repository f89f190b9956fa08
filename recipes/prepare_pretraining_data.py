"""The command `tfzoo prepare-pretraining-data`, for a clone.

python recipes/prepare_pretraining_data.py --help
"""

from tfzoo import cli
from tfzoo.commands.prepare_pretraining_data import main

if __name__ == "__main__":
    cli.run(main)
