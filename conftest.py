"""What holds for every test: no network, no telemetry, one thread, and examples that do not depend on the machine's speed."""

import os
from pathlib import Path

# read by the libraries when they are imported, so set before any of them is
os.environ.update(
    HF_HOME=str(Path(__file__).parent / ".pytest_cache" / "huggingface"),
    HF_HUB_OFFLINE="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    OMP_NUM_THREADS="1",  # here and in commands: tests are small, run side by side, and threads that wait for each other take far longer
    RAY_USAGE_STATS_ENABLED="0",
)

from hypothesis import settings

settings.register_profile("house", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("house")
