"""What holds for every test: no network, no telemetry, and examples that do not depend on the machine's speed."""

import os
from pathlib import Path

# read by the libraries when they are imported, so set before any of them is
os.environ.update(
    HF_HOME=str(Path(__file__).parent / ".pytest_cache" / "huggingface"),
    HF_HUB_OFFLINE="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    RAY_USAGE_STATS_ENABLED="0",
)

from hypothesis import settings

settings.register_profile("house", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("house")
