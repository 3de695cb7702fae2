"""Results of an experiment, a JSON line each, on the disk before the next one is begun."""

import json
import os
from pathlib import Path
from typing import Any

from nas.core.errors import StudyError


class Journal:
    """The lines of one file; `title`, its first line, says what they hold for.

    Raises:
        StudyError: the file was begun with another title.
    """

    def __init__(self, path: Path, title: dict[str, Any]) -> None:
        self.path = path
        self.lines = read(path)
        if self.lines and self.lines[0] != title:
            raise StudyError(f"{path} was begun with {self.lines[0]}, asked for is {title}: give another --out")
        torn = path.exists() and not path.read_bytes().endswith(b"\n")
        if torn:
            with path.open("a", encoding="utf-8") as file:
                file.write("\n")
        if not self.lines:
            self.add(title)

    def add(self, line: dict[str, Any]) -> None:
        """Keeps `line`; it has reached the disk when this returns."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.lines.append(line)


def read(path: Path) -> list[dict[str, Any]]:
    """All whole lines of `path`; none where there is no such file. What a crash tore is left out, and so done again."""
    lines = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else ():
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return lines
