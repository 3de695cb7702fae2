"""One TOML file a device. Parsed once, here, into the values of `nas.core.device`; unknown keys are refused."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nas.core.device import DeviceProfile
from nas.core.errors import DeviceError, UnknownNameError

FOLDER = Path(__file__).parent
"""Where the profiles are."""

THIS_MACHINE = "local"
"""Name of the profile that stands for the machine in hand: its tables hold for the processor that they were measured on."""


def names() -> tuple[str, ...]:
    """Names of all devices, sorted."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def load(name_or_path: str) -> DeviceProfile:
    """The device of that name, or the one described by a file whose path ends in ".toml".

    Figures that were measured on the machine in hand are read from the head of the target's table, if there is one.

    Raises:
        UnknownNameError: no device has the name; the message names the nearest.
        DeviceError: the file cannot be read or contradicts the schema; the message says where.
    """
    # pydantic takes 0.1 s to import, which an unknown name does not need to wait for
    if name_or_path.endswith(".toml"):
        path = Path(name_or_path)
    elif name_or_path in names():
        path = FOLDER / f"{name_or_path}.toml"
    else:
        raise UnknownNameError("device", name_or_path, names(), "A file works too: --device ./board.toml")
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DeviceError(f"there is no device profile at {path}") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DeviceError(f"the device profile {path} cannot be read: {error}") from error
    from hardware_profiles.schema import parse

    return parse(document, path)


def load_all() -> Iterator[DeviceProfile]:
    """Every device, in the order of `names`."""
    return (load(name) for name in names())


def first_problem(error: Any) -> str:
    """Field and complaint of a pydantic error, such as "targets.0.threads: Input should be a valid integer"."""
    problem = error.errors()[0]
    return f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"
