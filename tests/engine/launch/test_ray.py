"""Jobs on a Ray cluster by its job API, a real one of one node."""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders.ray_cluster import ray_cluster
from mashbill.config import LaunchConfig
from mashbill.errors import ConfigError, RunError
from mashbill.launch.backend import Handle, JobState, Order
from mashbill.launch.registry import backend_named

SAYS = (
    "import os, ray; ray.init(); print(os.environ['MASHBILL_NODE'], os.environ['LAKE'], ray.is_initialized())"
)
WAITS = "import time; print('here', flush=True); time.sleep(600)"
BACKEND = backend_named("ray")
SOURCE = str(Path(__file__).parents[3] / "operators")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with ray_cluster({"PYTHONPATH": SOURCE}) as found:
        yield found


def order(address: str, name: str, code: str, token: str = "one") -> Order:
    takes = LaunchConfig.model_validate({"backend": "ray", "ray": {"address": address}})
    return Order(name, token, (sys.executable, "-c", code), takes, {"LAKE": "s3://lake"}, {"stage": "score"})


def followed(handle: Handle) -> list[JobState]:
    async def follow() -> list[JobState]:
        return [state async for state in BACKEND.watch(handle)]

    return asyncio.run(asyncio.wait_for(follow(), 120))


def test_a_job_runs_on_the_cluster_with_its_environment_and_its_log_is_kept(address: str) -> None:
    handle = Handle.of(BACKEND.submit(order(address, "says", SAYS)).text())
    assert followed(handle)[-1].phase == "succeeded"
    assert "0 s3://lake True" in BACKEND.logs(handle).splitlines()


def test_an_order_that_is_submitted_twice_is_one_job_and_another_of_its_name_is_refused(address: str) -> None:
    first, again = (BACKEND.submit(order(address, "twice", WAITS)) for _ in range(2))
    assert first == again
    with pytest.raises(ConfigError, match="another order"):
        BACKEND.submit(order(address, "twice", WAITS, token="other"))
    BACKEND.cancel(first)
    assert followed(first)[-1].phase == "gone"
    BACKEND.cancel(first)


@pytest.mark.parametrize("code, exit_code", [("raise SystemExit(3)", 3), ("import os; os._exit(75)", 75)])
def test_a_job_that_fails_says_its_exit_code_and_its_last_words(
    address: str, code: str, exit_code: int
) -> None:
    spoken = f"print('the last word', flush=True)\n{code}"
    handle = BACKEND.submit(order(address, f"fails-{exit_code}", spoken))
    state = followed(handle)[-1]
    assert state.phase == "failed"
    assert state.failure is not None
    assert state.failure.exit_code == exit_code
    assert "the last word" in state.failure.last_words
    assert bool(state.message) == (exit_code == 75)


def test_a_job_that_was_removed_is_gone_and_so_is_one_of_its_name_that_another_submitted(
    address: str,
) -> None:
    from ray.job_submission import JobSubmissionClient

    handle = BACKEND.submit(order(address, "removed", "pass"))
    assert followed(handle)[-1].phase == "succeeded"
    JobSubmissionClient(address).delete_job("removed")
    assert BACKEND.state(handle).phase == "gone"
    BACKEND.submit(order(address, "removed", "pass", token="other"))
    assert BACKEND.state(handle).phase == "gone"
    assert BACKEND.logs(handle) == ""


def test_what_will_not_do_is_told_before_anything_is_submitted(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mashbill.launch.ray_api.SUBMIT_PATIENCE_SECONDS", 0.0)
    takes = order(address, "checked", SAYS).takes
    assert BACKEND.check(takes) == []
    several = takes.model_copy(update={"nodes": 2})
    assert "leave nodes out" in str(BACKEND.check(several)[0])
    away = LaunchConfig.model_validate({"backend": "ray", "ray": {"address": "http://127.0.0.1:9"}})
    assert "no Ray job API answers at http://127.0.0.1:9" in str(BACKEND.check(away)[0])
    with pytest.raises(RunError, match="no Ray job API answers"):
        BACKEND.submit(order("http://127.0.0.1:9", "away", SAYS))
