"""The file name is the plug-in's name: a folder of modules that each define `PLUGIN`, imported when asked for."""

import importlib
import importlib.util
import pkgutil
from pathlib import Path
from typing import Any

from nas.core.errors import UnknownNameError


def names(package: str) -> tuple[str, ...]:
    """Names of the modules in `package` that may hold a plug-in, sorted; nothing is imported but the package."""
    folder = importlib.util.find_spec(package)
    assert folder is not None and folder.submodule_search_locations, package
    found = pkgutil.iter_modules(folder.submodule_search_locations)
    return tuple(
        sorted(module.name for module in found if not module.ispkg and _defines_plugin(folder.submodule_search_locations, module.name))
    )


def find(package: str, name: str, what: str) -> str:
    """The full name of the plug-in in `package` that `name`, or a unique beginning ("ray" for ray_tune), stands for.

    `what` says in words what it is, for the error. Imports nothing but the package.

    Raises:
        UnknownNameError: there is no such file, or it defines no `PLUGIN`.
    """
    known = names(package)
    if name in known:
        return name
    beginnings = [one for one in known if name and one.startswith(name)]
    if len(beginnings) != 1:
        raise UnknownNameError(what, name, known)
    return beginnings[0]


def load(package: str, name: str, what: str) -> Any:
    """`PLUGIN` of the module that `find` finds.

    Raises:
        UnknownNameError: as `find`.
    """
    return importlib.import_module(f"{package}.{find(package, name, what)}").PLUGIN


def _defines_plugin(folders: Any, name: str) -> bool:
    """Whether the file says `PLUGIN = ` at the start of a line, without running it."""
    files = [Path(folder) / f"{name}.py" for folder in folders]
    return any(line.startswith(("PLUGIN =", "PLUGIN:")) for file in files if file.exists() for line in file.read_text().splitlines())
