"""The real command on a cluster of two nodes, both on this machine, and with one of them killed in mid-run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ON_TWO_NODES = """
import subprocess, sys, time
from pathlib import Path
from ray.cluster_utils import Cluster
from nas.core.errors import StudyError
from nas.study import load, records

folder, kill = Path(sys.argv[1]), sys.argv[2] == "kill"

def told():
    try:
        return len(records(load(folder)))
    except (StudyError, KeyError):
        return 0

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
second = cluster.add_node(num_cpus=1)
cluster.wait_for_nodes()
try:
    search = subprocess.Popen([sys.executable, "-m", "nas.search", "--out", str(folder), "--ray-address", cluster.address, *sys.argv[3:]])
    while kill and told() < 3 and search.poll() is None:
        time.sleep(0.2)
    if kill:
        assert search.poll() is None, "the search ended before a node could be killed"
        cluster.remove_node(second, allow_graceful=False)
    sys.exit(search.wait())
finally:
    cluster.shutdown()
"""

COMMAND = ["--device", "jetson-nano", "--budget", "20ms", "--executor", "ray", "--workers", "2", "--json"]
SMALL = ["--trials", "12", "--picks", "1", "--epochs", "0.1", "--fine-tune-epochs", "0.1"]


@pytest.mark.parametrize("fate", ["live", "kill"])
def test_a_whole_run_on_two_nodes_also_when_one_is_killed(tmp_path: Path, fate: str):
    folder = tmp_path / "run"
    done = subprocess.run(
        [sys.executable, "-c", ON_TWO_NODES, str(folder), fate, *COMMAND, *SMALL], capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr[-3000:]
    printed = json.loads(done.stdout[done.stdout.index('{\n  "schema"') :])
    assert len(printed["picks"]) == 1
    assert printed["candidates"]["evaluated"] == 12
