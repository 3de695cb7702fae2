"""Times and runs ONNX files with ONNX Runtime Web (WASM) in a headless Chromium, which this module starts and always ends.

The page (`latency_models/agent/time_web.html`) asks a server on 127.0.0.1 for one job after the other and posts what it found.
The server knows a fixed set of addresses under a random prefix and nothing of the disk; it marks the page as isolated, for
which browsers give a clock of 5 µs instead of 100, and shared memory for more threads than one. A run is one `session.run`, as
a web page makes it: its input is copied into WASM memory and its output out of it. Get the runtime with `make web`.
"""

import json
import os
import queue
import secrets
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from hardware_profiles.installed import WEB_FOLDER
from latency_models.hosts import Report, Request
from nas.core.errors import MeasurementError

if TYPE_CHECKING:
    import numpy as np

    Images = np.ndarray[Any, np.dtype[np.float32]]

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
"""Names under which the browser is looked for, in this order."""

FLAGS = (
    "--headless",
    "--no-sandbox",  # Chromium refuses to start as root with it; it opens no page but ours
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-breakpad",
    "--disable-crash-reporter",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-component-update",
    "--disable-sync",
)

STEADY = ("--js-flags=--no-liftoff",)
"""For timing: all WASM code is optimised before the first run, which takes 10 to 20 s a browser, so give it many models.

Otherwise the browser runs quickly compiled code first, and optimises what is used often meanwhile and on other cores: the first
models of a page would be slower than later ones. The code that is reached in the end is as fast (4.34 and 4.35 ms for one block).
"""

FOLDER = WEB_FOLDER
"""Where `make web` puts the runtime."""

PAGE = Path(__file__).parent / "agent" / "time_web.html"
START_SECONDS = 60.0
"""Longest wait for the page's first sign of life, which comes after a second."""

PATIENCE_SECONDS = 120.0
"""What a model may take beyond its warm-up and its runs: reading, optimising and compiling it."""

_ISOLATED = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp", "Cache-Control": "no-store"}
_TYPES = {".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm"}


def stream(models: Sequence[Path], request: Request) -> Iterator[Report]:
    """A report an ONNX file, in their order, each as soon as it is known; as `Host.stream`. Closing it early ends the browser.

    Tiny models are timed in groups of runs of a millisecond; their figures are means of a group, so that `p95_ms` is milder than
    that of single runs. Clocks, temperature and power are not known to a page: None.

    Raises:
        MeasurementError: the browser or the runtime is missing, the browser ended, or a model cannot be loaded or run.
    """
    if not models:
        return
    known = version()
    limits = {"relative_width": request.relative_width, "max_ms": 1e3 * request.max_seconds, "warm_up_ms": 1e3 * request.warm_up_seconds}
    with opened(request.threads, STEADY) as page:
        for model in models:
            seconds = request.max_seconds + request.warm_up_seconds + PATIENCE_SECONDS
            found = page.ask({"kind": "time", **limits}, {"model": _read(model)}, model, seconds)
            if not found["isolated"]:
                raise MeasurementError("the browser did not isolate the page, so that its clock is too coarse; use a current Chromium")
            times = {
                name: found[name]
                for name in ("median_ms", "p10_ms", "min_ms", "p95_ms", "runs", "outliers", "relative_width", "undisturbed")
            }
            nothing: dict[str, Any] = dict.fromkeys(
                ("clock_mhz", "gpu_clock_mhz", "temperature_before_c", "temperature_after_c", "power_w")
            )
            yield Report(
                model=str(model),
                **times,
                runtime="onnxruntime-web",
                runtime_version=known,
                provider="wasm",
                threads=request.threads,
                pinned=False,
                governor="",
                power_source="",
                **nothing,
            )


def run(model: Path, images: "Images", threads: int, batch_size: int) -> "Images":
    """What the ONNX file gives (n, ...) for `images` (n, c, h, w), both float32, `batch_size` images at a time.

    Raises:
        MeasurementError: as `stream`.
    """
    import numpy as np

    found = []
    with opened(threads) as page:
        content = _read(model)
        for start in range(0, len(images), batch_size):
            batch = np.ascontiguousarray(images[start : start + batch_size], dtype="<f4")
            job = {"kind": "run", "shape": batch.shape}
            answer = page.ask(job, {"model": content, "images": batch.tobytes()}, model, PATIENCE_SECONDS)
            found.append(np.array(answer["values"], dtype=np.float32).reshape(answer["shape"]))
    return np.concatenate(found)


def version() -> str:
    """Version of the runtime and of the browser that compiles it, such as "1.30.0 in Chromium 156".

    Raises:
        MeasurementError: one of them is not installed.
    """
    number = json.loads((installed() / "package.json").read_text(encoding="utf-8"))["version"]
    said = subprocess.run([browser(), "--version"], capture_output=True, text=True, timeout=START_SECONDS, check=False).stdout
    words = said.split()
    major = next((word.partition(".")[0] for word in words if word[0].isdigit()), "of unknown version")
    return f"{number} in {words[0] if words else 'Chromium'} {major}"


def installed() -> Path:
    """The folder of the runtime.

    Raises:
        MeasurementError: it is not there; the message says how to get it.
    """
    if not all((FOLDER / name).is_file() for name in ("package.json", *_RUNTIME)):
        raise MeasurementError(f"ONNX Runtime Web is not in {FOLDER}; run: make web (once, with npm; 33 MB)")
    return FOLDER


def browser() -> str:
    """Path of the browser.

    Raises:
        MeasurementError: there is none on the PATH.
    """
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise MeasurementError(
            f"no browser is on the PATH (looked for {', '.join(BROWSERS)}); install Chromium, such as: apt install chromium"
        )
    return found


_RUNTIME = ("dist/ort.wasm.min.mjs", "dist/ort-wasm-simd-threaded.mjs", "dist/ort-wasm-simd-threaded.wasm")


@dataclass(frozen=True, slots=True)
class Page:
    """The open page: one job at a time."""

    process: subprocess.Popen[bytes]
    complaints: IO[bytes]
    files: dict[str, bytes]
    jobs: "queue.Queue[dict[str, Any] | None]" = field(default_factory=queue.Queue)
    answers: "queue.Queue[dict[str, Any]]" = field(default_factory=queue.Queue)
    started: threading.Event = field(default_factory=threading.Event)
    gone: threading.Event = field(default_factory=threading.Event)

    def wait(self) -> None:
        """Returns when the page runs.

        Raises:
            MeasurementError: the browser ended, or the page does not start in time.
        """
        begun = time.monotonic()
        while not self.started.wait(0.05):
            if self.process.poll() is not None:
                raise MeasurementError(f"the browser ended when it started ({_exit(self.process.returncode)}){self.said()}")
            if time.monotonic() - begun > START_SECONDS:
                raise MeasurementError(f"the browser shows no page within {START_SECONDS:.0f} s{self.said()}")

    def ask(self, job: dict[str, Any], files: dict[str, bytes], model: Path, seconds: float) -> dict[str, Any]:
        """The page's answer to `job`, whose `files` it fetches by name; `model` is for the error.

        Raises:
            MeasurementError: the model cannot be loaded or run, the browser ended, or it takes longer than `seconds`.
        """
        number = secrets.token_hex(8)
        self.files.update(files)
        self.jobs.put({"number": number, **{name: name for name in files}, **job})
        begun = time.monotonic()
        while True:
            with suppress(queue.Empty):
                found = self.answers.get(timeout=0.1)
                if found.get("number") == number:
                    break
            waited = time.monotonic() - begun
            if self.process.poll() is not None:
                raise self._failed(model, f"the browser ended ({_exit(self.process.returncode)})")
            if self.gone.is_set():
                raise self._failed(model, "the page crashed (was the memory used up?)")
            if waited > seconds:
                raise self._failed(model, f"the page gave no answer within {seconds:.0f} s")
        if "error" in found:
            raise MeasurementError(f"{model} cannot be loaded or run; ONNX Runtime Web said: {' '.join(str(found['error']).split())[:400]}")
        return found

    def _failed(self, model: Path, what: str) -> MeasurementError:
        return MeasurementError(f"{model} was not timed or run: {what}{self.said()}")

    def said(self) -> str:
        """The last of the browser's complaints that is not about a missing desktop, as the end of a sentence."""
        self.complaints.seek(0)
        lines = [line.strip() for line in self.complaints.read().decode(errors="replace").splitlines()]
        lines = [line for line in lines if line and "dbus" not in line]
        return f"; it said: {lines[-1][:300]}" if lines else ""


@contextmanager
def opened(threads: int = 1, flags: Sequence[str] = ()) -> Iterator[Page]:
    """The page in a new headless browser with an empty profile, ended with the block in any case.

    Raises:
        MeasurementError: the browser or the runtime is missing, or the page does not start.
    """
    folder, program, prefix = installed(), browser(), secrets.token_urlsafe(16)
    files = {path.name: path.read_bytes() for path in (PAGE, PAGE.with_suffix(".js"), *(folder / name for name in _RUNTIME))}
    with (
        tempfile.TemporaryDirectory(prefix="web-", ignore_cleanup_errors=True) as profile,
        tempfile.TemporaryFile() as complaints,
        _Server(("127.0.0.1", 0), _Handler) as server,
    ):
        url = f"http://127.0.0.1:{server.server_port}/{prefix}/{PAGE.name}?threads={threads}"
        # the browser ends with this process even if that is killed, where the system offers it
        wrapper = [tool, "--pdeathsig", "KILL", "--"] if (tool := shutil.which("setpriv")) else []
        command = [*wrapper, program, *FLAGS, *flags, f"--user-data-dir={profile}", url]
        try:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=complaints, process_group=0)
        except OSError as error:
            raise MeasurementError(f"{program} cannot be started: {error.strerror}") from error
        page = server.page = Page(process, complaints, files)
        server.prefix = f"/{prefix}/"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            page.wait()
            yield page
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            page.jobs.put(None)  # for a thread that still waits for a job
            server.shutdown()
            thread.join()


class _Server(ThreadingHTTPServer):
    """Serves one page; threads end with the process."""

    page: Page
    prefix: str

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that is ended leaves its requests open: nothing to tell anybody."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        """A file of the fixed set, the next job, or a line that stays open while the page lives."""
        page, name = self.server.page, self._name()
        if name == "job":
            page.started.set()
            self._send(200, "application/json", json.dumps(page.jobs.get()).encode())
        elif name == "alive":
            self._send(200, "text/plain", None)
            self.connection.recv(1)  # returns when the page's end of the connection is closed
            page.gone.set()
        elif name in page.files:
            self._send(200, _TYPES.get(Path(name).suffix, "application/octet-stream"), page.files[name])
        else:
            self._send(404, "text/plain", b"")

    def do_POST(self) -> None:
        """An answer."""
        if self._name() != "answer":
            self._send(404, "text/plain", b"")
            return
        found = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._send(200, "text/plain", b"")
        self.server.page.answers.put(found)

    def log_message(self, *_: Any) -> None:
        """Requests are nobody's business."""

    def _name(self) -> str:
        path = self.path.partition("?")[0]
        return path.removeprefix(self.server.prefix) if path.startswith(self.server.prefix) else ""

    def _send(self, code: int, kind: str, body: bytes | None) -> None:
        self.send_response(code)
        for name, value in {"Content-Type": kind, **_ISOLATED}.items():
            self.send_header(name, value)
        if body is not None:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body or b" ")


def _read(model: Path) -> bytes:
    try:
        return model.read_bytes()
    except OSError as error:
        raise MeasurementError(f"timing of {model} failed: {error.strerror or error}") from error


def _exit(code: int) -> str:
    return f"by {signal.Signals(-code).name}" if code < 0 and -code in set(signal.Signals) else f"exit code {code}"
