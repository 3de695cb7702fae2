"""What the SSH host has a device do around the agent: keep models, one measurement at a time, and results that outlive a connection.

It is never stored on the device: its source comes as the first line of standard input, the order as the second (JSON), files
after that; answers are JSON lines. Python 3.6 and its standard library are enough. All files are in one folder of ours:

    time_models.py           the agent
    models/<name>            named by content, so that none is shipped twice
    results-<job>.jsonl      what the agent found, also where nobody listened any more
    lock, owner              who measures: session and process
"""

import fcntl
import hashlib
import importlib
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from types import ModuleType

FULL, BUSY, UNUSABLE = 6, 10, 11  # exit codes beside the agent's own; FULL is the agent's too
BUSY_SECONDS = 30.0
LAST_MODEL_SECONDS = 600.0


def folder_of(order: dict) -> Path:
    """Our folder: under the one asked for, else under the user's home."""
    return Path(order["base"] or Path.home()) / order["folder"]


def stop(code: int, sentence: str) -> None:
    """Ends with one sentence on standard error."""
    sys.stderr.write(sentence + "\n")
    sys.exit(code)


def answer(found: dict) -> None:
    """One line to who asked."""
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()


def free_mb() -> float:
    """Space on the disk of our folder, in 10^6 bytes."""
    return shutil.disk_usage(".").free / 1e6


def have(order: dict) -> None:
    """Says which models are here and how much space there is; forgets what earlier sessions left unfinished."""
    for left in [*Path().glob("*.part"), *Path().glob("models/*.part")]:
        left.unlink()
    for results in Path().glob("results-*.jsonl"):
        if not results.name.startswith("results-" + order["session"]):
            results.unlink()
    answer({"have": sorted(one.name for one in Path("models").iterdir()), "free_mb": free_mb(), "folder": str(Path.cwd())})


def receive(order: dict) -> None:
    """Takes the files that follow, each whole or not at all."""
    for name, size, digest in order["files"]:
        part, left, seen = Path(name + ".part"), size, hashlib.sha256()
        try:
            with part.open("wb") as file:
                while left:
                    chunk = sys.stdin.buffer.read(min(left, 1 << 16))
                    if not chunk:
                        raise EOFError
                    file.write(chunk)
                    seen.update(chunk)
                    left -= len(chunk)
            if seen.hexdigest() != digest:
                raise EOFError
            os.replace(str(part), name)
        except EOFError:
            part.unlink()
            stop(UNUSABLE, "a file did not arrive whole")
        except OSError as error:
            if part.exists():
                part.unlink()
            stop(FULL, f"{name} ({size / 1e6:.1f} MB) cannot be written to {Path.cwd()}: {error.strerror}; {free_mb():.1f} MB are free")
    answer({"received": len(order["files"])})


def take_over(order: dict, at_once: bool = False) -> tuple:
    """(what the file `owner` then says, the lock as an open file to be kept), once no other agent measures here.

    Another agent of the same session is one whose connection was lost: it ends after its model, `at_once` before. Of another
    session it is somebody else's, or ends by itself because its listener is gone.
    """
    me = f"{order['session']} {os.getpid()}"
    lock, owner = Path("lock").open("a"), Path("owner")  # noqa: SIM115 - the caller keeps it
    begun = time.time()
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except OSError:
            other = owner.read_text().split() if owner.exists() else []
            ours = other[:1] == [order["session"]]
            if ours and at_once and other[1:] != [str(os.getpid())]:
                os.kill(int(other[1]), signal.SIGTERM)
            elif ours:
                owner.write_text(me)
            if time.time() - begun > (LAST_MODEL_SECONDS if ours else BUSY_SECONDS):
                stop(BUSY, f"another measurement is going on there (process {' '.join(other[1:])} on the device)")
            time.sleep(0.05)
    owner.write_text(me)
    return me, lock


def agent() -> "ModuleType":
    """The agent's module, from our folder."""
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(Path.cwd()))
    return importlib.import_module("time_models")


def check(order: dict) -> None:
    """Facts of this device."""
    answer(agent().check(Path("/sys"), Path()))


def run(order: dict) -> None:
    """Times models until all are done, the listener is gone, or a later agent of the session takes over."""
    me, _lock = take_over(order)
    out = f"results-{order['session']}-{order['job']}.jsonl"
    arguments = [*order["options"], "--out", out, "--", *order["models"]]
    sys.exit(agent().main(arguments, lambda: Path("owner").exists() and Path("owner").read_text() == me))


def tell(order: dict) -> None:
    """Says what a job found, once nobody works on it any more."""
    _, _lock = take_over(order)
    out = Path(f"results-{order['session']}-{order['job']}.jsonl")
    if out.exists():
        sys.stdout.write(out.read_text())
    answer({"told": order["job"]})


def remove(order: dict) -> None:
    """Removes our folder, ending an agent that still works."""
    _, _lock = take_over(order, at_once=True)
    shutil.rmtree(str(Path.cwd()))
    answer({"removed": True})


def main() -> None:
    """Carries out the order on standard input."""
    order = json.loads(sys.stdin.buffer.readline().decode())
    folder = folder_of(order)
    try:
        (folder / "models").mkdir(parents=True, exist_ok=True)
        os.chdir(str(folder))
    except OSError as error:
        stop(UNUSABLE, f"the folder {folder} cannot be made or entered: {error.strerror}")
    {"have": have, "receive": receive, "check": check, "run": run, "tell": tell, "remove": remove}[order["do"]](order)


if __name__ == "__main__":
    main()
