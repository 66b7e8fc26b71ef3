"""Measurement code of all compared products; standard library only."""
