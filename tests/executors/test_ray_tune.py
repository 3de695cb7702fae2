"""Ray: a search on a cluster, on one that loses a node, and on one that is not there."""

import socket
import time

import pytest

from nas import executors
from nas.core.errors import ExecutorError
from tests.executors.fakes import Evaluator, counted, eventually, job, notes, run, search, shape

RAY = executors.load("ray_tune")


def unused_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture
def cluster():
    """Two nodes of two processors on this machine, and this process connected to them."""
    import ray
    from ray.cluster_utils import Cluster

    one = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
    second = one.add_node(num_cpus=2)
    try:
        ray.init(address=one.address, log_to_driver=False)
        yield one, second
    finally:
        ray.shutdown()
        one.shutdown()


@pytest.mark.parametrize("address", ["127.0.0.1:{port}", "nowhere.invalid:6379", "not-an-address"])
def test_a_cluster_that_is_not_there_is_said_quickly(address, tmp_path):
    asked = address.format(port=unused_port())
    study = search(tmp_path, 2)
    begun = time.monotonic()
    with pytest.raises(ExecutorError, match=rf"no Ray cluster could be reached \(asked for {asked}\): .* `ray start --head`"):
        RAY(executors.Job(study, Evaluator(tmp_path / "log"), lambda: None, 1, asked, tmp_path))
    assert time.monotonic() - begun < 15
    assert study.evaluated == 0


@pytest.mark.slow
def test_a_cluster_that_none_started_is_said_quickly(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / "no-cluster-here"))
    begun = time.monotonic()
    with pytest.raises(ExecutorError, match=r"asked for auto.*ray start --head"):
        RAY(executors.Job(search(tmp_path, 2), Evaluator(tmp_path / "log"), lambda: None, 1, "auto", tmp_path))
    assert time.monotonic() - begun < 60


def test_it_makes_the_search_that_this_process_would_make(tmp_path):
    """The one test with a real cluster that is not slow; tests/conformance has the rest."""
    (tmp_path / "here").mkdir()
    here = search(tmp_path / "here", 4)
    run(tmp_path / "here", here)
    study = search(tmp_path, 4)
    RAY(job(study, Evaluator(tmp_path / "log"), tmp_path))
    assert shape(study) == shape(here)


@pytest.mark.slow
def test_two_nodes_share_a_search(cluster, tmp_path):
    study, log = search(tmp_path, 16), tmp_path / "log"
    RAY(job(study, Evaluator(log, seconds=1.5), tmp_path, workers=4))
    assert study.evaluated == 16
    assert counted(notes(log), "packed") == 1
    assert 3 <= len({pid for what, _, pid in notes(log) if what == "ended"}) <= 4, "more workers than one node has"


@pytest.mark.slow
def test_a_search_survives_the_death_of_a_node(cluster, tmp_path):
    nodes, second = cluster
    study, log, killed = search(tmp_path, 16), tmp_path / "log", []

    def told():
        if study.evaluated == 5 and not killed:
            killed.append(second)
            nodes.remove_node(second, allow_graceful=False)

    RAY(job(study, Evaluator(log, seconds=0.5), tmp_path, workers=4, told=told))
    assert killed and study.evaluated == 16
    done = [record.architecture for record in study.records if record.evaluation]
    assert len(done) == len(set(done)) == 16
    assert eventually(lambda: counted(notes(log), "ended") >= 16)
