"""Write a new plug-in: a small package with a model of your own, its YAML file and a test."""

import argparse
import importlib.util
import keyword
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ecgexp import __version__
from ecgexp.cli.arguments import Parser, run_command
from ecgexp.cli.streams import command
from ecgexp.settings.declaration import ConfigError
from ecgexp.settings.installation import is_checkout, to_type
from ecgexp.settings.option_names import option_name
from ecgexp.storage.atomic import replacing_folder

_EXAMPLE = """\
ecgexp-new plugin my-ecg
ecgexp-new plugin my-ecg --output ~/projects"""
_NAME = re.compile(r"[a-z][a-z0-9]*([_-][a-z0-9]+)*")
_LONGEST = 50
_TEMPLATES = Path(__file__).with_name("new_plugin")
# Template -> file of the package.
_FILES = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "__init__.py": "PACKAGE/__init__.py",
    "models.py": "PACKAGE/models.py",
    "model.yaml": "PACKAGE/conf/model/OPTION.yaml",
    "test_models.py": "tests/test_models.py",
}


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the console script.

    Returns:
      0, or 2 for an error.
    """
    options = _parse(arguments)
    return run_command("ecgexp-new", lambda: _write(options))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="ecgexp-new", description=__doc__, example=_EXAMPLE)
    parser.add_argument("kind", choices=("plugin",), help="what to write")
    parser.add_argument(
        "name", metavar="NAME", help="name of the package: small letters, digits, - and _"
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path(),
        metavar="FOLDER",
        help="folder in which the folder NAME is made (the current one)",
    )
    return parser.parse_args(arguments)


def _write(options: argparse.Namespace) -> int:
    folder = write_plugin(options.name, options.output)
    option = _words(options.name)["OPTION"]
    print(f"{folder}: a package with the model model={option}; next:")
    install = ["uv", "pip", "install", "-e"] if is_checkout() else ["pip", "install", "-e"]
    print(f"  {shlex.join([*install, str(folder)])}")
    print(f"  {to_type(['pytest', str(folder)])}")
    print(f"  {to_type(['ecgexp', f'model={option}', 'trainer.epochs=2'])}")
    return 0


def write_plugin(name: str, parent: Path) -> Path:
    """Write the package of a new plug-in.

    Args:
      name: of the distribution, e.g. `my-ecg`; the package is then `my_ecg`.
      parent: folder in which the folder `name` is made.

    Returns:
      The new folder.

    Raises:
      ConfigError: the name cannot be that of a plug-in, or the folder exists.
    """
    _check_name(name)
    folder = parent / name
    if folder.exists() or folder.is_symlink():
        raise ConfigError(
            f"NAME {name}: {folder} exists already; use another name, or another --output."
        )
    words = _words(name)
    parent.mkdir(parents=True, exist_ok=True)
    with replacing_folder(folder) as part:
        for template, target in _FILES.items():
            text = (_TEMPLATES / f"{template}.txt").read_text(encoding="utf-8")
            path = part / _filled(target, words)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(_filled(text, words), encoding="utf-8")
    return folder


def _check_name(name: str) -> None:
    package = name.replace("-", "_")
    use = "use a name such as my-ecg"
    if not _NAME.fullmatch(name) or len(name) > _LONGEST or keyword.iskeyword(package):
        raise ConfigError(
            f"NAME {name[:_LONGEST]!r}: not the name of a Python package in small letters, digits, "
            f"- and _, of at most {_LONGEST} characters; {use}."
        )
    if package in sys.stdlib_module_names or importlib.util.find_spec(package) is not None:
        raise ConfigError(f"NAME {name}: a package {package} is installed already; {use}.")


def _words(name: str) -> Mapping[str, str]:
    """Return what replaces each word in capitals of a template."""
    package = name.replace("-", "_")
    class_name = "".join(part.capitalize() for part in package.split("_"))
    return {
        "DISTRIBUTION": name,
        "PACKAGE": package,
        "CLASS": class_name,
        "OPTION": option_name(class_name),
        "VERSION": __version__,
    }


def _filled(text: str, words: Mapping[str, str]) -> str:
    return re.sub(r"\b({})\b".format("|".join(words)), lambda found: words[found[0]], text)


if __name__ == "__main__":
    sys.exit(main())
