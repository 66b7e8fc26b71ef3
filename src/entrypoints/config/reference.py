"""The documents of all settings: `.env.example` and the reference page."""

from attrs import fields

from workbell.entrypoints.config.option import format_default, get_option, variable
from workbell.entrypoints.config.settings import Settings


def example() -> str:
    """Return `.env.example`: every setting, commented out, with its default."""
    lines = [
        "# Settings of Workbell. Copy this file to .env and uncomment the settings to change.",
        "# Precedence: environment variables, then .env, then the TOML file in WORKBELL_CONFIG.",
        "# Lists are comma-separated. An empty value means the default.",
    ]
    for attribute in fields(Settings):
        metadata = get_option(attribute)
        default = "" if metadata.documented else format_default(attribute)
        lines += ["", f"# ---- {metadata.group} ----"] if metadata.group else []
        lines += ["", f"# {metadata.help}", f"# {variable(attribute.name)}={default}"]
    return "\n".join(lines) + "\n"


def reference() -> str:
    """Return the reference page of all settings, in Markdown."""
    lines = ["# Settings"]
    for attribute in fields(Settings):
        metadata = get_option(attribute)
        if metadata.group:
            head = "| Variable | Default | Meaning |"
            lines += ["", f"## {metadata.group}", "", head, "|---|---|---|"]
        text = format_default(attribute)
        default = f"`{text}`" if text else "none"
        lines.append(f"| `{variable(attribute.name)}` | {default} | {metadata.help} |")
    return "\n".join(lines) + "\n"
