"""A folder of class sub-folders, or of train/, test/ (and val/) folders that each hold class sub-folders."""

from pathlib import Path

from nas.core.errors import DataError
from nas.data_sources import DataSource, Parts
from nas.data_sources.pictures import Pictures, read_parts

SUFFIXES = frozenset((".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"))
_PART_NAMES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}
_LAYOUT = "put the pictures of each class into a sub-folder of their own (PATH/cats/1.jpg), or those into PATH/train and PATH/test"


def _read(argument: str, resolution: int) -> Parts:
    root = Path(argument).expanduser()
    if not root.is_dir():
        raise DataError(f"there is no folder {root}: folder:PATH names a folder of class sub-folders")
    folders = {_PART_NAMES[found.name.lower()]: found for found in _folders(root) if found.name.lower() in _PART_NAMES}
    if "train" not in folders:
        folders = {"train": root}
    classes = tuple(found.name for found in _folders(folders["train"]))
    if not classes or not any(_pictures(folders["train"] / name) for name in classes):
        loose = len(_pictures(folders["train"]))
        found_there = f"has {loose} pictures but no class sub-folders with pictures" if loose else "holds no pictures"
        raise DataError(f"{folders['train']} {found_there}: {_LAYOUT} ({', '.join(sorted(SUFFIXES))})")
    return read_parts(classes, {part: _part(folder, classes) for part, folder in folders.items()}, resolution)


def _part(folder: Path, classes: tuple[str, ...]) -> Pictures:
    unknown = sorted({found.name for found in _folders(folder)} - set(classes))
    if unknown:
        raise DataError(f"{folder} has the class {unknown[0]!r}, which the training pictures do not have ({', '.join(classes[:10])})")
    files = [(file, label) for label, name in enumerate(classes) for file in _pictures(folder / name)]
    return Pictures(tuple(label for _, label in files), lambda index: (str(files[index][0]), files[index][0]))


def _folders(folder: Path) -> list[Path]:
    return sorted(found for found in folder.iterdir() if found.is_dir() and not found.name.startswith("."))


def _pictures(folder: Path) -> list[Path]:
    """Picture files directly in `folder`, sorted; hidden ones, such as the "._" files of macOS, are none."""
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(file for file in found if file.suffix.lower() in SUFFIXES and not file.name.startswith("."))


PLUGIN = DataSource("folder:PATH", _read)
