"""The command `tfzoo export-model`, for a clone.

python recipes/export_model.py --help
"""

from tfzoo import cli
from tfzoo.commands.export_model import main

if __name__ == "__main__":
    cli.run(main)
