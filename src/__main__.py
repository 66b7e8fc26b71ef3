"""The command line, as `python -m workbell`."""

from .entrypoints.cli import main

main(prog_name="workbell")
