"""The command line, as `python -m workbell`."""

from workbell.entrypoints.cli.main import main

main(prog_name="workbell")
