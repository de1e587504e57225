"""Trains on a Ray cluster: each attempt at a run, with the seeds that train together with it, is one Ray job.

The job is the worker command that every executor uses, ``python -m attnlab.worker.main LOCATION ATTEMPT``; the location
is the URL of a run folder that all machines reach by the same path. Ray places and starts the job. What a run does and
how it ended is in its folder, so nothing is lost when the cluster forgets a job, and the queue follows it like any run.

* The submission id is made from the run and the attempt. A second submission is refused by Ray and does no harm.
* Ray does not retry. When a worker is lost, so is the attempt; the queue starts the next one from the last checkpoint.
* A cluster that does not answer does not mean that runs failed: their jobs are `JobState.UNKNOWN` until it answers.
* One thread talks to the Jobs server, by HTTP with token authentication; this process never joins the cluster. A cluster
  that answers without a token is refused: anybody who can reach it could run any program on it.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from queue import Empty, Queue
from typing import TYPE_CHECKING, Any

from attnlab import paths, plugins
from attnlab.config import RunConfig
from attnlab.queue.executors.base import Answer, Job, JobState
from attnlab.queue.settings import ExecutorSettings
from attnlab.runs.errors import RunRefused
from attnlab.runs.folder import RunFolder
from attnlab.runs.ownership import is_locked
from attnlab.training.budget import Speed
from attnlab.worker.timing import Tell

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

MISSING = "the executor 'ray' needs Ray: pip install -r requirements-ray.txt"
OPEN_CLUSTER = (
    "the Ray cluster at {address} answers without a token, so anybody who can reach it could run any program on it; "
    "start all its nodes, and this app, with RAY_AUTH_MODE=token and the same RAY_AUTH_TOKEN"
)
LOST_ATTEMPTS = 3
"""A run that loses its worker this many times is not started again by itself."""

_LOOK_SECONDS = 1.0
_SILENCE_SECONDS = 15.0
_HTTP_SECONDS = 5.0


@dataclass(frozen=True)
class Demand:
    """The CPUs and GPUs that a job needs on one node."""

    cpus: float
    gpus: float = 0.0

    def __str__(self) -> str:
        parts = [f"{amount:g} {name}{'s' if amount != 1 else ''}" for amount, name in ((self.cpus, "CPU"), (self.gpus, "GPU"))]
        return " and ".join(parts if self.gpus else parts[:1])

    def times_in(self, node: Mapping[str, float]) -> int:
        """How many such jobs fit on the node at the same time."""
        counts = [node.get(name, 0.0) // amount for name, amount in (("CPU", self.cpus), ("GPU", self.gpus)) if amount]
        return int(min(counts))


class RayExecutor:
    """Jobs on a Ray cluster.

    Args:
        settings: the address of the cluster, and what a job needs.

    Raises:
        ValueError: when Ray is not installed.
    """

    retries = LOST_ATTEMPTS - 1

    def __init__(self, settings: ExecutorSettings) -> None:
        # Without this variable Ray's client sends no token, whatever else is set.
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        try:
            import ray.job_submission  # noqa: F401
        except ImportError:
            raise ValueError(MISSING) from None
        self.settings = settings
        self._lock = threading.Lock()
        self._actions: Queue[Callable[[JobSubmissionClient], None] | None] = Queue()
        self._submitted: dict[str, str] = {}  # submission id -> "", or why the job was refused
        self._waiting: set[str] = set()
        self._statuses: dict[str, tuple[str, str]] | None = None  # of every job of the cluster: status and message
        self._nodes: list[dict[str, float]] = []
        self._last_answer = float("-inf")
        self._silence_reason = "it has not been asked yet"
        self._thread = threading.Thread(target=self._talk, name="attnlab-ray", daemon=True)
        self._thread.start()

    @property
    def slots(self) -> int:
        """How many jobs fit on the living nodes; 0 while the cluster does not answer, so that nothing leaves the queue."""
        with self._lock:
            return sum(self._demand("auto").times_in(node) for node in self._nodes) if self._in_contact() else 0

    @property
    def trouble(self) -> str:
        """Why nothing can be started now, in a sentence; empty when something can."""
        with self._lock:
            if self._in_contact():
                return ""
            return f"No contact with the Ray cluster at {self.settings.ray_address}: {self._silence_reason}. Its runs continue."

    def warm(self) -> None:
        """Does nothing: each job starts its own process."""

    def admit(self, config: RunConfig) -> None:
        """
        Raises:
            RunRefused: when no node of the cluster is large enough, now or later.
        """
        with self._lock:
            if not self._in_contact():
                return  # it waits in the queue, and is checked again before it is started
            demand = self._demand(config.training.device)
            if not any(demand.times_in(node) for node in self._nodes):
                largest = {name: max((node.get(name, 0.0) for node in self._nodes), default=0.0) for name in ("CPU", "GPU")}
                raise RunRefused(
                    f"a run needs {demand} on one node; the {len(self._nodes)} nodes of {self.settings.ray_address} have at "
                    f"most {largest['CPU']:g} CPUs and {largest['GPU']:g} GPUs. Lower the demand or choose another device"
                )

    def start(self, job: Job) -> None:
        folder = RunFolder(job.run_dir)
        try:
            self.admit(folder.config)
        except RunRefused as error:
            raise OSError(str(error)) from error
        name = submission_id(job)
        with self._lock:
            self._waiting.add(name)
            demand = self._demand(folder.config.training.device)
        self._actions.put(lambda client: self._submit(client, name, job, demand))

    def poll(self, job: Job) -> Answer:
        name = submission_id(job)
        with self._lock:
            refused = self._submitted.get(name)
            status = None if self._statuses is None else self._statuses.get(name)
            waiting, contact, silence = name in self._waiting, self._in_contact(), self._silence_reason
        if refused:
            return Answer(JobState.GONE, refused)
        if not contact or self._statuses is None:
            return Answer(JobState.UNKNOWN, silence)
        if waiting:
            return Answer(JobState.PENDING)
        if status is None:  # submitted since the last look, or never
            exists = refused == "" or is_locked(RunFolder(job.run_dir).lock_path)
            return Answer(JobState.PENDING) if exists else Answer(JobState.GONE, "the cluster does not know the job")
        word, message = status[0].lower(), status[1]
        if word in ("pending", "running"):
            return Answer(JobState(word))
        return Answer(JobState.GONE, f"Ray reports {word}: {message}" if message else f"Ray reports {word}")

    def cancel(self, job: Job, *, force: bool = False) -> None:
        """Ray sends SIGTERM, and SIGKILL three seconds later, with ``force`` or without."""
        name = submission_id(job)
        self._actions.put(lambda client: _unless_over(client.stop_job, name))

    def measure(self, config: RunConfig, tell: Tell, *, seconds: float = 1.5) -> Speed:
        """
        Raises:
            RunRefused: always: which node would train it is not known.
        """
        raise RunRefused("how fast a Ray cluster is cannot be measured before it trains; give the number of epochs instead")

    def close(self) -> None:
        self._actions.put(None)
        self._thread.join(_HTTP_SECONDS)

    def _in_contact(self) -> bool:
        return time.monotonic() - self._last_answer < _SILENCE_SECONDS

    def _demand(self, device: str) -> Demand:
        """What a run on this device needs; on "auto" it takes a GPU if the cluster has one."""
        has_gpu = any(node.get("GPU") for node in self._nodes)
        on_gpu = device == "cuda" or (device == "auto" and has_gpu)
        return Demand(self.settings.ray_cpus, self.settings.ray_gpus if on_gpu else 0.0)

    def _submit(self, client: JobSubmissionClient, name: str, job: Job, demand: Demand) -> None:
        location = job.run_dir.resolve().as_uri()
        command = [sys.executable, "-m", "attnlab.worker.main", location, str(job.attempt)]
        environment = {
            "PYTHONPATH": paths.python_path(),
            "ATTNLAB_THREADS": f"{max(1, int(demand.cpus))}",
            **{key: value for key, value in os.environ.items() if key.startswith("ATTNLAB_") and key != "ATTNLAB_THREADS"},
            "ATTNLAB_HOME": str(paths.home()),
            plugins.VARIABLE: os.pathsep.join(map(str, plugins.folders())),
        }
        refused = ""
        try:
            client.submit_job(
                entrypoint=shlex.join(command),
                submission_id=name,
                runtime_env={"env_vars": environment},
                entrypoint_num_cpus=demand.cpus,
                entrypoint_num_gpus=demand.gpus or None,
            )
        except RuntimeError as error:
            if not _is_known(client, name):
                refused = f"Ray refused the job: {str(error).strip().splitlines()[-1]}"
        with self._lock:
            self._submitted[name] = refused
            self._waiting.discard(name)

    def _talk(self) -> None:
        """The thread that talks to the cluster. An action that fails for lack of an answer is tried again later."""
        client: JobSubmissionClient | None = None
        pending: list[Callable[[JobSubmissionClient], None]] = []
        while True:
            try:
                action = self._actions.get(timeout=_LOOK_SECONDS)
                if action is None:
                    return
                pending.append(action)
            except Empty:
                pass
            try:
                client = client or self._connected()
                while pending:
                    pending[0](client)
                    pending.pop(0)
                self._look(client)
            except (OSError, RuntimeError, ValueError) as error:  # requests' errors are OSErrors
                client = None
                with self._lock:
                    self._last_answer = float("-inf")
                    self._silence_reason = str(error).strip().splitlines()[-1] if str(error).strip() else repr(error)

    def _connected(self) -> JobSubmissionClient:
        from ray.job_submission import JobSubmissionClient

        address = self.settings.ray_address
        try:
            urllib.request.urlopen(f"{address}/api/version", timeout=_HTTP_SECONDS).close()
        except urllib.error.HTTPError as error:
            if error.code not in (401, 403):
                raise
        except urllib.error.URLError as error:
            raise ConnectionError(f"nothing answers there ({error.reason})") from None
        else:
            raise ValueError(OPEN_CLUSTER.format(address=address))
        return JobSubmissionClient(address)

    def _look(self, client: JobSubmissionClient) -> None:
        """One request for all jobs and one for all nodes, however many runs there are."""
        statuses = {
            job.submission_id: (str(job.status), _last_line(job.message)) for job in client.list_jobs() if job.submission_id
        }
        nodes = _nodes(client)
        with self._lock:
            self._statuses, self._nodes = statuses, nodes
            self._submitted = {name: refused for name, refused in self._submitted.items() if refused or name not in statuses}
            self._last_answer, self._silence_reason = time.monotonic(), "it has not answered for a while"


def submission_id(job: Job) -> str:
    """The name of a job, the same whoever submits it. A run that was deleted and made again gets another name."""
    created = RunFolder(job.run_dir).meta()["created"]
    digest = hashlib.sha256(f"{job.run_dir.resolve()} {created}".encode()).hexdigest()[:10]
    return f"attnlab-{job.run_dir.name}-{digest}-{job.attempt}"


def _nodes(client: JobSubmissionClient) -> list[dict[str, float]]:
    """CPUs and GPUs of each node that is alive."""
    answer = client._do_request("GET", "/api/v0/nodes?limit=10000")  # the client holds the token, but has no method for nodes
    if answer.status_code != 200:
        raise RuntimeError(f"the cluster did not list its nodes (HTTP {answer.status_code})")
    nodes: Sequence[dict[str, Any]] = answer.json()["data"]["result"]["result"]
    return [dict(node["resources_total"]) for node in nodes if node["state"] == "ALIVE"]


def _is_known(client: JobSubmissionClient, name: str) -> bool:
    try:
        client.get_job_info(name)
    except RuntimeError:
        return False
    return True


def _unless_over(stop: Callable[[str], bool], name: str) -> None:
    try:
        stop(name)
    except RuntimeError:  # it has ended, or the cluster has forgotten it; the next look shows which
        return


def _last_line(message: str | None) -> str:
    """The sentence with the reason; Ray puts names and addresses before it."""
    lines = [line.strip() for line in (message or "").splitlines() if line.strip()]
    return lines[-1] if lines else ""
