"""The command `tfzoo quickstart`, for a clone.

python recipes/quickstart.py
"""

from tfzoo import cli
from tfzoo.commands.quickstart import main

if __name__ == "__main__":
    cli.run(main)
