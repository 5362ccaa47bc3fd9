"""Jobs on a running Ray cluster, by its job API: one driver a job, which spreads its partitions over the
cluster."""

import asyncio
import shlex
import time
from collections.abc import AsyncIterator
from typing import Any

from mashbill.config.launch import LaunchConfig
from mashbill.errors import ConfigError, MashbillError, RunError, line_of
from mashbill.launch.amounts import number_of
from mashbill.launch.backend import (
    NODE,
    NODES,
    PAUSED_EXIT,
    TOKEN,
    Failure,
    Handle,
    JobState,
    Order,
    Phase,
)
from mashbill.launch.ray_api import answering, client_of, patiently

FIRST_LOOK_SECONDS, LONGEST_LOOK_SECONDS = 1.0, 15.0
PATIENCE_SECONDS = 1_800.0
"""How long a cluster may be out of reach while a job is watched."""
LAST_LINES = 15
NOT_THERE = "Request failed with status code 404"
"""How the client says that there is no such job; other answers may have the number in the job's name."""
PHASES: dict[str, Phase] = {
    "PENDING": "queued",
    "RUNNING": "running",
    "STOPPED": "gone",
    "SUCCEEDED": "succeeded",
    "FAILED": "failed",
}


class RayBackend:
    """A running Ray cluster."""

    name = "ray"

    def check(self, takes: LaunchConfig) -> list[MashbillError]:
        """Whether its job API answers, and takes jobs of one driver."""
        address, found = takes.ray.address or "", list[MashbillError]()
        if takes.nodes > 1:
            what = "a Ray job has one driver, which spreads its own work"
            found.append(ConfigError("nodes", what, "leave nodes out"))
        try:
            client = client_of(address)
            with answering("the list of jobs", address):
                client.list_jobs()
        except MashbillError as error:
            found.append(error)
        return found

    def submit(self, order: Order) -> Handle:
        """Submit an order, unless it was; a cluster that has just started is waited for."""
        address = order.takes.ray.address or ""

        def once() -> Any:
            client = client_of(address)
            there = _details(client, order.name, address)
            if there is None:
                _submit(client, order)
                there = _details(client, order.name, address)
            return there

        there = patiently(f"job {order.name}", address, once)
        if there is None:
            raise RunError(f"job {order.name}", "was removed as soon as it was there", "run again")
        if (there.metadata or {}).get(TOKEN) != order.token:
            what = f"is on {address} for another order"
            raise ConfigError(f"job {order.name}", what, "wait for it, or stop and delete it")
        # a job that is deleted and submitted anew has another token
        return Handle(self.name, order.name, order.token, uid=order.token, place={"address": address})

    def state(self, handle: Handle) -> JobState:
        """How a job is."""
        address = handle.place["address"]
        client = client_of(address)
        found = _details(client, handle.name, address)
        if found is None or (found.metadata or {}).get(TOKEN) != handle.token:
            return JobState("gone", "was removed from the cluster")
        phase, message = PHASES[str(found.status.value)], line_of(found.message or "")
        if phase == "gone":
            return JobState("gone", "was stopped")
        if phase != "failed":
            return JobState(phase, message if phase == "queued" else "")
        code = found.driver_exit_code
        words = _said(client, handle.name, LAST_LINES)
        why = f"exit code {code}" if code is not None else message or found.error_type or "failed"
        node = f"Ray node {found.driver_node_id[:8]}" if found.driver_node_id else ""
        said = "was asked to end and has saved" if code == PAUSED_EXIT else ""
        return JobState("failed", said, Failure("driver", node, 0, why=why, exit_code=code, last_words=words))

    async def watch(self, handle: Handle) -> AsyncIterator[JobState]:
        """States as they change; it looks with growing pauses, as the job API has no watch."""
        before, pause, since = None, FIRST_LOOK_SECONDS, time.monotonic()
        while before is None or not before.ended:
            try:
                now = await asyncio.to_thread(self.state, handle)
            except RunError:
                if time.monotonic() - since > PATIENCE_SECONDS:
                    raise
            else:
                since = time.monotonic()
                if now != before:
                    pause = FIRST_LOOK_SECONDS
                    yield now
                before = now
                if now.ended:
                    return
            await asyncio.sleep(pause)
            pause = min(1.5 * pause, LONGEST_LOOK_SECONDS)

    def cancel(self, handle: Handle) -> None:
        """Stop a job."""
        if not self.state(handle).ended:
            address = handle.place["address"]
            with answering(f"job {handle.name}", address):
                client_of(address).stop_job(handle.name)

    def logs(self, handle: Handle, rank: int = 0, lines: int = 100) -> str:
        """The last lines of the driver."""
        if rank or self.state(handle).phase == "gone":
            return ""
        return _said(client_of(handle.place["address"]), handle.name, lines)


def _details(client: Any, name: str, address: str) -> Any:
    """What the cluster tells of a job; None where there is none.

    Raises:
        RunError: it does not answer, or cannot just now.
    """
    with answering(f"job {name}", address):
        try:
            return client.get_job_info(name)
        except RuntimeError as error:
            if not str(error).startswith(NOT_THERE):
                raise
            return None


def _said(client: Any, name: str, lines: int) -> str:
    """The last lines of a driver; empty where its log is lost with its node."""
    try:
        said: str = client.get_job_logs(name) or ""
    except RuntimeError:
        return ""
    return "\n".join(said.splitlines()[-lines:])


def _submit(client: Any, order: Order) -> None:
    """Submit; where another try of the same order was faster, that is the job."""
    takes, address = order.takes, order.takes.ray.address or ""
    try:
        with answering(f"job {order.name}", address):
            client.submit_job(
                submission_id=order.name,
                entrypoint=shlex.join(order.command),
                runtime_env={"env_vars": {**order.environment, NODE: "0", NODES: "1"}},
                metadata={TOKEN: order.token, **order.labels},
                entrypoint_num_cpus=number_of(takes.cpus) if takes.cpus else None,
                entrypoint_num_gpus=takes.gpus or None,
                entrypoint_memory=int(number_of(takes.memory)) if takes.memory else None,
            )
    except MashbillError:
        if _details(client, order.name, address) is None:
            raise
