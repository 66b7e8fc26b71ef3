"""Compatibility routes: the paths of source systems, one file each."""
