"""Compatibility routes: the paths of the source systems, one file for each."""
