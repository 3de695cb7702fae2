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


def load(package: str, name: str, what: str) -> Any:
    """`PLUGIN` of module `name` in `package`; a unique beginning of the name is enough ("ray" for ray_tune).

    `what` says in words what it is, for the error.

    Raises:
        UnknownNameError: there is no such file, or it defines no `PLUGIN`.
    """
    known = names(package)
    beginnings = [one for one in known if name and one.startswith(name)]
    if name not in known and len(beginnings) == 1:
        name = beginnings[0]
    if name not in known:
        raise UnknownNameError(what, name, known)
    return importlib.import_module(f"{package}.{name}").PLUGIN


def _defines_plugin(folders: Any, name: str) -> bool:
    """Whether the file says `PLUGIN = ` at the start of a line, without running it."""
    files = [Path(folder) / f"{name}.py" for folder in folders]
    return any(line.startswith(("PLUGIN =", "PLUGIN:")) for file in files if file.exists() for line in file.read_text().splitlines())
