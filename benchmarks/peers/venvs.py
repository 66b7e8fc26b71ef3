"""Virtual environments of the compared products, created if missing."""

import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

PEERS = Path(__file__).parent
VENVS = PEERS.parent / ".venvs"


def find_python(peer: str, report: Callable[[str], None] = print) -> Path:
    """
    Return the interpreter of a product, after installing its requirements.

    Raises:
        CalledProcessError: The requirements could not be installed.
    """
    wanted = (PEERS / peer / "requirements.txt").read_text()
    folder = VENVS / peer
    python, stamp = folder / "bin" / "python", folder / "installed.txt"
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    report(f"{peer}: creating its virtual environment")
    venv.create(folder, with_pip=True, clear=True)
    install = ["-m", "pip", "--disable-pip-version-check", "install", "--quiet", "-r"]
    subprocess.run([python, *install, PEERS / peer / "requirements.txt"], check=True)
    stamp.write_text(wanted)
    return python


if __name__ == "__main__":
    for name in sys.argv[1:] or sorted(p.parent.name for p in PEERS.glob("*/requirements.txt")):
        print(find_python(name))
