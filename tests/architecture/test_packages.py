"""The wheel contains every file of the package."""

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
SCRAP = shutil.ignore_patterns("__pycache__", "*.pyc")


def shipped() -> Iterator[str]:
    """Yield the path of each file of the package in a wheel."""
    for path in SOURCE.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            yield f"workbell/{path.relative_to(SOURCE).as_posix()}"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a wheel from a copy of the tree."""
    tree = tmp_path_factory.mktemp("tree")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    shutil.copytree(SOURCE, tree / "src", ignore=SCRAP)
    build = ("wheel", "--quiet", "--no-index", "--no-build-isolation", "--no-deps")
    subprocess.run([sys.executable, "-m", "pip", *build, "-w", tree, tree], check=True)
    (found,) = tree.glob("workbell-*.whl")
    return found


@pytest.mark.unit
def test_every_folder_is_listed() -> None:
    """The list is explicit, so a new folder can be forgotten."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    folders = {
        ".".join(("workbell", *path.parent.relative_to(SOURCE).parts))
        for path in SOURCE.rglob("__init__.py")
    }
    assert set(settings["tool"]["setuptools"]["packages"]) == folders


@pytest.mark.unit
def test_folders_of_tests_mirror_those_of_the_package() -> None:
    """Tests of a port are in `contract`, because they run on every store."""
    tests, unknown = ROOT / "tests", set[Path]()
    for layer in ("domain", "services", "contract", "adapters", "entrypoints"):
        mirrored = "ports" if layer == "contract" else layer
        for folder in (each for each in (tests / layer).rglob("*") if any(each.glob("*.py"))):
            if not (SOURCE / mirrored / folder.relative_to(tests / layer)).is_dir():
                unknown.add(folder.relative_to(ROOT))
    assert unknown == set()


@pytest.mark.integration
def test_the_wheel_contains_every_file(wheel: Path) -> None:
    """Also static files, templates and migrations, and only the package."""
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert set(shipped()) - names == set()
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"workbell"}


@pytest.mark.integration
def test_the_wheel_can_be_imported(wheel: Path, tmp_path: Path) -> None:
    """From the folder of the wheel, not from this tree."""
    with ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    modules = [
        name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for name in shipped()
        if name.endswith(".py") and "migrations" not in name and "__main__" not in name
    ]
    script = (
        "import sys, importlib; folder, *modules = sys.argv[1:]; sys.path.insert(0, folder)\n"
        "for name in modules:\n"
        "    assert importlib.import_module(name).__file__.startswith(folder), name\n"
    )
    # the folder is deleted before coverage is reported
    unmeasured = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE_")}
    subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), *modules],
        cwd=tmp_path,
        env=unmeasured,
        check=True,
    )
