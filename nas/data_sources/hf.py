"""Any image classification set of the `datasets` library: from the hub, a local folder, or saved by `save_to_disk`.

The image and label columns are found by their types. Where there are several, or several configurations, the name is
followed by a choice: `hf:cifar100,label=fine_label` or `hf:NAME,config=small`.
"""

import os
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from nas.core.errors import DataError
from nas.data_sources import DataSource, Parts
from nas.data_sources.pictures import Pictures, read_parts

_OPTIONS = ("config", "image", "label")
_PART_NAMES = {"train": ("train",), "validation": ("validation", "valid", "val", "dev"), "test": ("test",)}


def _read(argument: str, resolution: int) -> Parts:
    name, *pairs = argument.split(",")
    options = dict(pair.partition("=")[::2] for pair in pairs)
    if unknown := sorted(set(options) - set(_OPTIONS)):
        raise DataError(f"hf:{name} has the option {unknown[0]!r}: there is {', '.join(f'{option}=...' for option in _OPTIONS)}")
    splits = _load(name, options.get("config"))
    found = {part: splits[key] for part, keys in _PART_NAMES.items() for key in keys if key in splits}
    if "train" not in found:
        raise DataError(f"hf:{name} has no split named train (there is: {', '.join(splits)})")
    features = found["train"].features
    image, label = _column(name, features, "Image", "image", options), _column(name, features, "ClassLabel", "label", options)
    return read_parts(tuple(features[label].names), {part: _pictures(name, part, found[part], image, label) for part in found}, resolution)


def _load(name: str, config: str | None) -> Mapping[str, Any]:
    """The splits by name. Quiet, and nothing is reported to the hub."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    import datasets
    from datasets.exceptions import DatasetsError

    bars = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        if (Path(name) / "dataset_dict.json").is_file() or (Path(name) / "state.json").is_file():
            loaded = datasets.load_from_disk(name)
        else:
            loaded = datasets.load_dataset(name, config)
    except (DatasetsError, OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(
            f"the data set hf:{name} cannot be loaded ({reason}): NAME is a data set of the hub, a folder saved by save_to_disk, "
            "or a folder that `datasets.load_dataset` reads"
        ) from error
    finally:
        if not bars:
            datasets.enable_progress_bars()
    return loaded if isinstance(loaded, Mapping) else {"train": loaded}


def _column(name: str, features: Mapping[str, Any], kind: str, option: str, options: Mapping[str, str]) -> str:
    """The one column of type `kind`, or the one that the option names."""
    columns = [column for column, feature in features.items() if type(feature).__name__ == kind]
    wanted = options.get(option)
    if wanted in columns:
        return wanted
    if wanted is None and len(columns) == 1:
        return columns[0]
    found = ", ".join(f"{column} ({type(feature).__name__})" for column, feature in features.items())
    if wanted is None and columns:
        raise DataError(f"hf:{name} has several {kind} columns: choose one, such as hf:{name},{option}={columns[0]} (there is: {found})")
    asked = f"named {wanted!r}" if wanted else "at all"
    raise DataError(f"hf:{name} has no {kind} column {asked} (there is: {found}); an image and a class label column are needed")


def _pictures(name: str, part: str, split: Any, image: str, label: str) -> Pictures:
    import datasets

    labels = tuple(-1 if value is None else int(value) for value in split[label])
    if min(labels, default=0) < 0:
        raise DataError(
            f"the {part} split of hf:{name} has pictures without a label (row {labels.index(min(labels))}): remove them or the split"
        )
    undecoded = split.select_columns([image]).cast_column(image, datasets.Image(decode=False))

    def find(index: int) -> tuple[str, Path | BytesIO]:
        cell = undecoded[index][image]
        if cell is None:
            raise DataError(f"row {index} of the {part} split of hf:{name} has no picture: remove it")
        file = BytesIO(cell["bytes"]) if cell["bytes"] is not None else Path(cell["path"])
        return f"in row {index} of the {part} split of hf:{name}", file

    return Pictures(labels, find)


PLUGIN = DataSource("hf:NAME", _read)
