"""Runs on a Ray cluster of three nodes on this machine: one is killed, the server restarts, the cluster falls silent."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from attnlab import paths
from attnlab.config import RunConfig
from attnlab.experiments.grid import cross, make_grid, progress
from attnlab.experiments.grid_queue import feed, start_grid
from attnlab.queue.executors.base import Job, JobState
from attnlab.queue.executors.ray import RayExecutor, submission_id
from attnlab.queue.manager import Manager
from attnlab.queue.settings import ExecutorSettings, load_settings, save_settings
from attnlab.runs.errors import RunRefused
from attnlab.runs.folder import RunFolder, run_folders
from attnlab.runs.records import RunState
from tests.waiting import PATIENCE, wait_until

ROOT = Path(__file__).resolve().parents[2]
# Not imported to be looked for: it reads its environment then, and the cluster's token is not set yet.
pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install -r requirements-ray.txt")

SMALL = RunConfig().changed(
    dataset__options={"train_images": 100, "test_images": 40},
    dataset__subset=64,
    dataset__test_subset=32,
    model__width=4,
    training__epochs=60,
    training__batch_size=8,
    training__device="cpu",
)
LONG = SMALL.changed(training__epochs=5000)


@dataclass
class Nodes:
    """A cluster: a head that takes no jobs, and nodes with one CPU each."""

    cluster: Any
    workers: list[Any]
    port: int

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def settings(self) -> ExecutorSettings:
        return ExecutorSettings(executor="ray", ray_address=self.address)

    def client(self) -> Any:
        from ray.job_submission import JobSubmissionClient

        return JobSubmissionClient(self.address)

    def kill_node_of(self, job: Job) -> None:
        """As if its machine had lost power: Ray's part of it and our worker are gone at once."""
        owner = RunFolder(job.run_dir).owner()
        assert owner is not None
        lost = self.client().get_job_info(submission_id(job)).driver_node_id
        node = next(node for node in self.workers if node.node_id == lost)
        self.cluster.remove_node(node, allow_graceful=False)
        os.kill(owner["process"]["pid"], signal.SIGKILL)
        self.workers.remove(node)


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", "0123456789abcdef" * 4)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_health_check_period_ms", "1000")  # a dead node is noticed soon
        patch.setenv("RAY_health_check_failure_threshold", "3")
        Path("/tmp/ray").mkdir(exist_ok=True)
        from ray.cluster_utils import Cluster

        memory = 80 * 2**20
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        head = {"num_cpus": 0, "include_dashboard": True, "dashboard_port": port, "object_store_memory": memory}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        try:
            workers = [cluster.add_node(num_cpus=1, num_gpus=0, object_store_memory=memory) for _ in range(2)]
            yield Nodes(cluster, workers, port)
        finally:
            cluster.shutdown()


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(paths, "DEMO_RUNS", tmp_path / "no-shipped-runs")
    monkeypatch.setenv("ATTNLAB_CHECKPOINT_STEPS", "3")


@pytest.fixture
def manager(nodes: Nodes, private_home: Path) -> Iterator[Manager]:
    made = Manager(private_home, RayExecutor(nodes.settings), feeders=(feed,))
    yield made
    made.shutdown()


def trained_here(config: RunConfig, where: Path) -> dict[str, np.ndarray]:
    """The weights of the same run by the local worker, with the cluster's one thread."""
    folder = RunFolder.create(where, config)
    command = [sys.executable, "-m", "attnlab.worker.main", str(folder.path), "1"]
    subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, "ATTNLAB_THREADS": "1"}, timeout=PATIENCE)
    return folder.weights()


@pytest.mark.slow
def test_a_grid_outlives_the_node_that_trains_it(nodes: Nodes, manager: Manager, tmp_path: Path) -> None:
    grid = make_grid(cross(SMALL, {"model__attention": ["none", "eca"]}), (0,), title="Two rows")
    start_grid(manager, grid)

    def midway() -> list[RunFolder]:
        at_work = [RunFolder(record.folder) for record in manager.runs() if record.state is RunState.RUNNING]
        return [folder for folder in at_work if 10 < folder.progress()["step"] < 150 and any(folder.checkpoints_path.iterdir())]

    victim = wait_until(midway, "a run in the middle of its training")[0]
    nodes.kill_node_of(Job(victim.path, 1))
    wait_until(lambda: progress(grid, manager.runs()).finished == 2, "two finished runs", 400)

    folders = run_folders(manager.store.runs_path)
    assert len(folders) == 2
    attempts = {folder.run_id: folder.end()["attempt"] for folder in folders}  # type: ignore[index]
    assert attempts[victim.run_id] > 1
    assert max(attempts.values()) <= 3  # Ray may place the next job on the dead node before it has noticed
    for folder in folders:
        steps = [row["step"] for row in folder.metrics() if row["kind"] == "step"]
        assert steps == list(range(1, len(steps) + 1)) and len(steps) == folder.progress()["total_steps"]
    expected, found = trained_here(victim.config, tmp_path / "here"), victim.weights()
    assert expected.keys() == found.keys()
    assert all(np.array_equal(expected[name], found[name]) for name in expected)


@pytest.mark.slow
def test_submitting_twice_is_harmless_and_a_restarted_server_adopts_the_job(
    nodes: Nodes, manager: Manager, private_home: Path
) -> None:
    wait_until(lambda: manager.executor.slots, "contact")
    run_id = manager.submit(LONG)
    manager.wait(run_id, PATIENCE, RunState.RUNNING)
    job = Job(manager.get(run_id).folder, 1)
    manager.shutdown()

    second = RayExecutor(nodes.settings)
    wait_until(lambda: second.poll(job).state is JobState.RUNNING, "the job seen by another server")
    second.start(job)
    wait_until(lambda: second.poll(job).state is JobState.RUNNING, "one job, not two")
    assert [each.submission_id for each in nodes.client().list_jobs()].count(submission_id(job)) == 1
    second.close()

    again = Manager(private_home, RayExecutor(nodes.settings), feeders=(feed,))
    try:
        assert again.get(run_id).state is RunState.RUNNING
        again.stop(run_id)
        stopped = again.wait(run_id, PATIENCE)
        assert (stopped.state, stopped.attempt) == (RunState.STOPPED, 1)
        assert RunFolder(stopped.folder).has_weights
    finally:
        again.shutdown()


@pytest.mark.slow
def test_seeds_that_wait_train_together_in_one_job(nodes: Nodes, manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTNLAB_STACK", "1")
    run_ids = manager.submit_many(SMALL.changed(training__epochs=2, training__device="auto"), range(10, 14))
    done = [manager.wait(run_id, PATIENCE) for run_id in run_ids]
    assert [record.state for record in done] == [RunState.FINISHED] * 4
    jobs = {each.submission_id for each in nodes.client().list_jobs()}
    own_jobs = [record for record in done if submission_id(Job(record.folder, record.attempt)) in jobs]
    assert len(own_jobs) < 4
    assert max(record.result["extra"].get("stacked", 1) for record in done) > 1


@pytest.mark.slow
def test_what_no_node_can_give_is_refused_before_it_is_queued(nodes: Nodes, private_home: Path) -> None:
    manager = Manager(private_home, RayExecutor(nodes.settings.model_copy(update={"ray_cpus": 64})))
    try:
        wait_until(lambda: not manager.executor.trouble, "contact")
        with pytest.raises(RunRefused, match=r"needs 64 CPUs on one node; .* at most 1 CPUs and 0 GPUs"):
            manager.submit(SMALL)
        with pytest.raises(RunRefused, match="64 CPUs and 1 GPU"):
            start_grid(manager, make_grid(cross(SMALL, {"training__device": ["cuda"]}), (0,), title="Too large"))
        assert run_folders(manager.store.runs_path) == []
    finally:
        manager.shutdown()


@pytest.mark.slow
def test_a_silent_cluster_is_no_failure_and_its_runs_go_on(nodes: Nodes, manager: Manager) -> None:
    """Last in this file: it ends the cluster's Jobs server."""
    wait_until(lambda: manager.executor.slots, "contact")
    run_id = manager.submit(SMALL.changed(seed=7))
    manager.wait(run_id, PATIENCE, RunState.RUNNING)
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or ()
        if "dashboard.py" in " ".join(command) and f"--port={nodes.port}" in command:  # and not that of another cluster
            process.send_signal(signal.SIGKILL)
    wait_until(lambda: "No contact" in manager.trouble, "the silence told")
    assert manager.executor.poll(Job(manager.get(run_id).folder, 1)).state is JobState.UNKNOWN
    assert manager.executor.slots == 0
    waiting = manager.submit(SMALL.changed(seed=8))
    assert manager.wait(run_id, PATIENCE).state is RunState.FINISHED
    assert manager.get(waiting).state is RunState.QUEUED


def test_a_cluster_without_a_token_is_refused(private_home: Path) -> None:
    class Open(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Open)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    executor = RayExecutor(ExecutorSettings(executor="ray", ray_address=f"http://127.0.0.1:{server.server_port}"))
    try:
        wait_until(lambda: "without a token" in executor.trouble, "the refusal")
        assert executor.slots == 0
    finally:
        executor.close()
        server.shutdown()


@pytest.mark.slow
def test_without_ray_the_message_says_what_to_install(private_home: Path) -> None:
    code = "import sys; sys.modules['ray'] = None; from attnlab.cli.app import main; raise SystemExit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, "train", "--executor", "ray", "--epochs", "1"],
        capture_output=True, text=True, cwd=ROOT, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 2
    assert "pip install -r requirements-ray.txt" in done.stderr
    assert not list(private_home.glob("runs/*"))


def test_settings_are_kept_and_the_environment_wins(private_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_settings(private_home, ExecutorSettings(executor="thread", ray_cpus=4))
    assert load_settings(private_home).ray_cpus == 4
    monkeypatch.setenv("ATTNLAB_RAY_CPUS", "8")
    assert (load_settings(private_home).executor, load_settings(private_home).ray_cpus) == ("thread", 8)
    monkeypatch.setenv("ATTNLAB_RAY_CPUS", "many")
    with pytest.raises(ValueError, match=r"ATTNLAB_RAY_CPUS.*ray_cpus"):
        load_settings(private_home)


def test_a_location_that_is_no_shared_path_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "attnlab.worker.main", "s3://bucket/run", "1"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=PATIENCE,
    )
    assert done.returncode != 0
    assert "only folders on a shared path (file://)" in done.stderr
