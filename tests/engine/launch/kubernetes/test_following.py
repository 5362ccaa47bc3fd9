"""Jobs that are followed: states as they change, by two watches for however many jobs, whatever breaks."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from builders.kube import KubernetesApi
from builders.orders import order
from builders.pods import ended, placed_in, pod_of, running, told, waiting
from mashbill.errors import ConfigError, RunError
from mashbill.launch.backend import TOKEN, Handle, JobState
from mashbill.launch.kubernetes import following, streams
from mashbill.launch.kubernetes.job import JobBackend

SECONDS = 20
COMPLETE = {"type": "Complete", "status": "True", "reason": "CompletionsReached", "message": ""}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits between tries that a test can wait for."""
    monkeypatch.setattr(streams, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(streams, "LONGEST_PAUSE", 0.05)


def job_of(api: KubernetesApi, handle: Handle) -> dict[str, Any]:
    found = api.get("jobs.batch", handle.name, "default")
    assert found is not None
    return found


def finish(api: KubernetesApi, handle: Handle) -> None:
    """As the Job's controller says that it is done."""
    interim = COMPLETE | {"type": "SuccessCriteriaMet"}
    start = {"startTime": "2026-11-28T10:00:00Z", "completionTime": "2026-11-28T11:00:00Z", "succeeded": 1}
    told(api, "jobs", handle.name, start | {"completedIndexes": "0", "conditions": [interim, COMPLETE]})


async def next_of(states: AsyncIterator[JobState], *, phase: str) -> JobState:
    """The next state of a phase."""
    async with asyncio.timeout(SECONDS):
        async for state in states:
            if state.phase == phase:
                return state
    raise AssertionError(f"never {phase}")


async def rest_of(states: AsyncIterator[JobState]) -> list[JobState]:
    async with asyncio.timeout(SECONDS):
        return [state async for state in states]


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not holds():
            await asyncio.sleep(0.005)


async def away(act: Callable[..., Any], *arguments: Any) -> Any:
    return await asyncio.to_thread(act, *arguments)


def test_a_job_is_followed_from_its_pods_to_its_end(api: KubernetesApi) -> None:
    backend = JobBackend()
    handle = backend.submit(order())

    async def follow() -> list[JobState]:
        states = backend.watch(handle)
        await next_of(states, phase="starting")
        pod = pod_of(job_of(api, handle), status=running())
        await away(placed_in, api, pod)
        await next_of(states, phase="running")
        await away(finish, api, handle)
        return await rest_of(states)

    last = asyncio.run(follow())
    assert [state.phase for state in last] == ["succeeded"]


def test_a_thousand_jobs_share_two_watches(api: KubernetesApi) -> None:
    backend = JobBackend()
    handles = [backend.submit(order(name=f"proxy-{i}", token=f"t{i}")) for i in range(40)]

    async def follow() -> int:
        async with asyncio.timeout(SECONDS):
            watched = [backend.watch(handle) for handle in handles]
            firsts = await asyncio.gather(*(anext(states) for states in watched))
            assert {state.phase for state in firsts} == {"starting"}
            await until(lambda: len(api.watches()) == 2)
            rest = [asyncio.create_task(rest_of(states)) for states in watched]
            for handle in handles:
                await away(finish, api, handle)
            ends = await asyncio.gather(*rest)
        assert all(states[-1].phase == "succeeded" for states in ends)
        return len([call for call in api.audit if call.verb == "watch"])

    assert asyncio.run(follow()) == 2


def test_states_that_are_the_same_are_told_once(api: KubernetesApi) -> None:
    backend = JobBackend()
    handle = backend.submit(order())
    pod = pod_of(job_of(api, handle), status=running())
    placed_in(api, pod)
    name = pod["metadata"]["name"]

    async def follow() -> list[JobState]:
        states: list[JobState] = []

        async def collect() -> None:
            async for state in backend.watch(handle):
                states.append(state)

        collecting = asyncio.create_task(collect())
        await until(lambda: bool(states))
        follower = next(iter(following._FOLLOWERS[asyncio.get_running_loop()].values()))
        for number in range(5):
            await away(told, api, "pods", name, {"message": f"again {number}"})
            await until(lambda n=number: follower.pods.objects[name]["status"].get("message") == f"again {n}")
        await away(finish, api, handle)
        await collecting
        return states

    assert [state.phase for state in asyncio.run(follow())] == ["running", "succeeded"]


@pytest.mark.parametrize("break_it", ["drop", "end", "expire", "stop", "stop and forget"])
def test_a_broken_watch_is_taken_up_again(api: KubernetesApi, break_it: str) -> None:
    backend = JobBackend()
    handle = backend.submit(order())

    def broken() -> None:
        if break_it.startswith("stop"):
            api.stop()
            if break_it == "stop and forget":
                pod = pod_of(job_of(api, handle), rank=len(api.all("pods")))
                api.put(pod | {"metadata": pod["metadata"] | {"uid": None, "creationTimestamp": None}})
                api.compact()
            api.start()
        elif break_it == "expire":
            api.expire_watches()
        else:
            api.drop_watches("dropped" if break_it == "drop" else "ended")

    async def follow() -> JobState:
        states = backend.watch(handle)
        await next_of(states, phase="starting")
        for _ in range(3):
            await until(lambda: len(api.watches()) == 2)
            await away(broken)
        await away(finish, api, handle)
        return (await rest_of(states))[-1]

    assert asyncio.run(follow()).phase == "succeeded"


@pytest.mark.parametrize("code", [429, 500, 503])
def test_refusals_are_waited_out(api: KubernetesApi, code: int) -> None:
    backend = JobBackend()
    handle = backend.submit(order())
    api.faults.refuse(code, times=7, which=lambda call: call.verb in ("list", "watch"))
    finish(api, handle)
    assert asyncio.run(rest_of(backend.watch(handle)))[-1].phase == "succeeded"


def test_after_bookmarks_a_watch_goes_on_from_where_they_say(api: KubernetesApi) -> None:
    backend = JobBackend()
    handle = backend.submit(order())

    async def follow() -> None:
        states = backend.watch(handle)
        await next_of(states, phase="starting")
        await until(lambda: len(api.watches()) == 2)
        for number in range(20):
            other = {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": f"c{number}", "namespace": "default"},
            }
            await away(api.put, other)
        await away(api.bookmark)
        lists = len([call for call in api.audit if call.verb == "list"])
        follower = next(iter(following._FOLLOWERS[asyncio.get_running_loop()].values()))
        newest = max(int(item["metadata"]["resourceVersion"]) for item in api.all("configmaps"))
        await until(lambda: int(follower.jobs.version) >= newest and int(follower.pods.version) >= newest)
        await away(api.compact)
        await away(api.drop_watches)
        await until(lambda: len(api.watches()) == 2)
        await away(finish, api, handle)
        await rest_of(states)
        assert len([call for call in api.audit if call.verb == "list"]) == lists

    asyncio.run(follow())


def test_a_job_that_someone_else_removes_is_gone(api: KubernetesApi) -> None:
    backend = JobBackend()
    handle = backend.submit(order())

    async def follow() -> JobState:
        states = backend.watch(handle)
        await next_of(states, phase="starting")
        await away(backend.cancel, handle)
        return (await rest_of(states))[-1]

    told_last = asyncio.run(follow())
    assert told_last.phase == "gone"


def test_a_job_of_the_same_name_and_another_uid_is_not_followed(api: KubernetesApi) -> None:
    backend = JobBackend()
    handle = backend.submit(order())
    backend.cancel(handle)
    later = backend.submit(order(token="later"))
    assert later.uid != handle.uid
    assert [state.phase for state in asyncio.run(rest_of(backend.watch(handle)))] == ["gone"]


def test_pods_of_another_job_of_the_name_are_none_of_this_one(api: KubernetesApi) -> None:
    backend = JobBackend()
    handle = backend.submit(order())
    theirs = pod_of(job_of(api, handle), status=running())
    theirs["metadata"]["annotations"][TOKEN] = "theirs"
    placed_in(api, theirs)
    (placed,) = api.all("pods")
    api.logs.write(placed["metadata"]["uid"], "mashbill", "their words")
    assert backend.state(handle).phase == "starting"
    assert backend.logs(handle) == ""

    async def follow() -> list[JobState]:
        states = backend.watch(handle)
        first = await next_of(states, phase="starting")
        await away(finish, api, handle)
        return [first, *await rest_of(states)]

    assert [state.phase for state in asyncio.run(follow())] == ["starting", "succeeded"]


def test_a_log_is_that_of_the_rank(api: KubernetesApi) -> None:
    backend = JobBackend()
    handle = backend.submit(order(nodes=2))
    for rank in range(2):
        placed_in(api, pod_of(job_of(api, handle), rank, running()))
    for pod in api.all("pods"):
        api.logs.write(pod["metadata"]["uid"], "mashbill", f"{pod['metadata']['name']} says\n")
    assert [backend.logs(handle, rank) for rank in range(2)] == [
        f"train-1b-0-{rank}-axyz{rank} says\n" for rank in range(2)
    ]


def test_an_image_that_is_not_there_ends_the_wait_and_nothing_is_left(api: KubernetesApi) -> None:
    backend = JobBackend()
    for look in ("watch", "state"):
        handle = backend.submit(order(token=look))
        pod = pod_of(job_of(api, handle), status=waiting("ErrImagePull", "rpc error: not found"))
        placed_in(api, pod)
        last = asyncio.run(rest_of(backend.watch(handle)))[-1] if look == "watch" else backend.state(handle)
        assert last.phase == "failed"
        assert last.failure is not None
        assert last.failure.why.startswith("image can't be pulled: registry.example/mashbill:0.2")
        assert api.all("jobs.batch") == []
        for left in api.all("pods"):
            from builders.kube.clients import client_of

            client_of(api).call_api(
                f"/api/v1/namespaces/default/pods/{left['metadata']['name']}",
                "DELETE",
                auth_settings=["BearerToken"],
                body={"gracePeriodSeconds": 0},
                response_types_map={200: "object"},
            )


def test_a_failed_ranks_last_words_are_told_by_both_looks(api: KubernetesApi) -> None:
    backend = JobBackend()
    handle = backend.submit(order())
    pod = pod_of(job_of(api, handle), status=ended(1))
    placed_in(api, pod)
    (made,) = api.all("pods")
    words = "\n".join(f"step {i}" for i in range(500)) + "\nRuntimeError: NCCL communicator timed out"
    api.logs.write(made["metadata"]["uid"], "mashbill", words)
    failed = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "limit"}
    interim = failed | {"type": "FailureTarget"}
    told(api, "jobs", handle.name, {"startTime": "2026-11-28T10:00:00Z", "conditions": [interim, failed]})
    for state in (backend.state(handle), asyncio.run(rest_of(backend.watch(handle)))[-1]):
        assert state.failure is not None
        assert state.failure.why.startswith("NCCL time-out (exit code 1)")
        assert state.failure.last_words.endswith("RuntimeError: NCCL communicator timed out")
        assert "step 10\n" not in state.failure.last_words
    assert backend.logs(handle, lines=2).splitlines() == [
        "step 499",
        "RuntimeError: NCCL communicator timed out",
    ]
    assert backend.logs(handle, rank=3) == ""


def test_a_right_that_was_taken_away_ends_the_wait(
    api: KubernetesApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = JobBackend().submit(order())
    monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig_of(api.user_token("ann"), "admin")))
    with pytest.raises(ConfigError, match="is forbidden in namespace default"):
        asyncio.run(rest_of(JobBackend().watch(handle)))


def test_a_cluster_that_is_silent_for_too_long_ends_the_wait(
    api: KubernetesApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = JobBackend().submit(order())
    monkeypatch.setattr(following, "PATIENCE_SECONDS", 0.2)
    api.stop()
    with pytest.raises(RunError, match=r"context admin at .* does not answer"):
        asyncio.run(rest_of(JobBackend().watch(handle)))
    api.start()


def test_a_token_that_ran_out_is_fetched_anew(
    api: KubernetesApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = JobBackend()
    handle = backend.submit(order())
    api.faults.refuse(401, times=1)
    assert backend.state(handle).phase == "starting"
    finish(api, handle)
    api.faults.refuse(401, times=1)
    assert asyncio.run(rest_of(backend.watch(handle)))[-1].phase == "succeeded"


def test_following_leaves_nothing_behind(api: KubernetesApi) -> None:
    backend = JobBackend()
    handle = backend.submit(order())

    async def follow() -> None:
        states = backend.watch(handle)
        await next_of(states, phase="starting")
        await states.aclose()  # type: ignore[attr-defined]
        assert not following._FOLLOWERS.get(asyncio.get_running_loop())
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(follow())
