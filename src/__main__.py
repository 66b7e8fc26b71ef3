"""The command line, as `python -m workbell`."""

from workbell.entrypoints.cli import main

main(prog_name="workbell")
