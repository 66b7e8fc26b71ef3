"""Escaping of CSV cells against formula injection."""

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001


def escape_formula(text: str) -> str:
    """Prefix text that looks like a formula with an apostrophe (OWASP, CSV injection)."""
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text
