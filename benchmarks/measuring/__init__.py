"""Measurements shared by the scripts of all products; standard library only."""
