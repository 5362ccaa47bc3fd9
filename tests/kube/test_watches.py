"""Watches: where they begin, what they see, how they end, and what they cost."""

import asyncio
import itertools
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
import urllib3
from kubernetes import client, watch

from builders.kube import KubernetesApi
from builders.kube.samples import job, pod

PODS = "/api/v1/namespaces/default/pods"


def events(api: KubernetesApi, path: str, **query: Any) -> Iterator[dict[str, Any]]:
    """Events of a watch, as they come over the wire."""
    asked = "&".join(f"{key}={value}" for key, value in {"watch": 1, "timeoutSeconds": 5, **query}.items())
    headers = {"Authorization": f"Bearer {api.token}"}
    with urllib3.PoolManager() as pool:
        url = f"{api.plain_url}{path}?{asked}"
        response = pool.request("GET", url, headers=headers, preload_content=False, retries=False)
        rest = b""
        for data in response.stream():
            *lines, rest = (rest + data).split(b"\n")
            yield from map(json.loads, lines)


def brief(seen: Iterator[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(event["type"], event["object"]["metadata"].get("name", "")) for event in seen]


def test_watch_goes_on_after_a_version(api: KubernetesApi, core: client.CoreV1Api) -> None:
    core.create_namespaced_pod("default", pod("a"))
    version = core.list_namespaced_pod("default").metadata.resource_version
    core.create_namespaced_pod("default", pod("b"))
    core.delete_namespaced_pod("a", "default")
    seen = list(itertools.islice(events(api, PODS, resourceVersion=version), 2))
    assert brief(iter(seen)) == [("ADDED", "b"), ("DELETED", "a")]
    versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in seen]
    assert versions == sorted(versions)
    assert versions[0] > int(version)


def test_watch_of_a_forgotten_version_is_told_410_in_an_event(
    api: KubernetesApi, core: client.CoreV1Api
) -> None:
    version = core.create_namespaced_pod("default", pod("a")).metadata.resource_version
    core.create_namespaced_pod("default", pod("b"))
    api.compact()
    (event,) = events(api, PODS, resourceVersion=version)
    assert event["type"] == "ERROR"
    assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")
    assert event["object"]["message"].startswith(f"too old resource version: {version} (")
    with pytest.raises(client.ApiException) as refused:
        list(watch.Watch().stream(core.list_namespaced_pod, "default", resource_version=version))
    assert refused.value.status == 410


def test_watch_from_zero_begins_with_what_there_is(api: KubernetesApi, core: client.CoreV1Api) -> None:
    for name in ("a", "b"):
        core.create_namespaced_pod("default", pod(name))
    api.compact()
    seen = itertools.islice(events(api, PODS, resourceVersion=0), 2)
    assert brief(seen) == [("ADDED", "a"), ("ADDED", "b")]


def test_what_comes_under_a_selector_is_added_and_what_leaves_it_deleted(
    api: KubernetesApi, core: client.CoreV1Api
) -> None:
    core.create_namespaced_pod("default", pod("a"))
    version = core.list_namespaced_pod("default").metadata.resource_version
    for value in ("x", "x", "y", None):
        metadata = {"labels": {"a": value}, "annotations": {"at": str(time.time())}}
        core.patch_namespaced_pod("a", "default", {"metadata": metadata})
    seen = events(api, PODS, resourceVersion=version, labelSelector="a=x", timeoutSeconds=1)
    assert brief(seen) == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]


def test_bookmarks_tell_the_version_of_the_cluster(api: KubernetesApi, batch: client.BatchV1Api) -> None:
    seen = events(api, PODS, allowWatchBookmarks="true", resourceVersion=1)
    threading.Thread(target=lambda: _until_watched(api) or api.bookmark()).start()
    batch.create_namespaced_job("default", job("j"))
    event = next(seen)
    assert event["type"] == "BOOKMARK"
    assert event["object"]["kind"] == "Pod"
    assert int(event["object"]["metadata"]["resourceVersion"]) > 1
    api.drop_watches("ended")
    assert list(seen) == []


def _until_watched(api: KubernetesApi, count: int = 1) -> None:
    while len(api.watches()) < count:
        time.sleep(0.01)


def test_watch_without_bookmarks_has_none(api: KubernetesApi) -> None:
    api.server.bookmark_seconds = 0.05
    assert not list(events(api, PODS, resourceVersion=1, timeoutSeconds=1))
    assert list(events(api, PODS, resourceVersion=1, timeoutSeconds=1, allowWatchBookmarks="true"))


def test_initial_events_end_with_a_marked_bookmark(api: KubernetesApi, core: client.CoreV1Api) -> None:
    core.create_namespaced_pod("default", pod("a"))
    query = {"sendInitialEvents": "true", "allowWatchBookmarks": "true"}
    query["resourceVersionMatch"] = "NotOlderThan"
    first, second = itertools.islice(events(api, PODS, **query), 2)
    assert first["type"] == "ADDED"
    assert second["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


def test_timeout_ends_a_watch_without_an_error(api: KubernetesApi) -> None:
    assert list(events(api, PODS, timeoutSeconds=1)) == []


def test_dropped_watch_breaks_off_and_an_ended_one_does_not(
    api: KubernetesApi, core: client.CoreV1Api
) -> None:
    core.create_namespaced_pod("default", pod("a"))
    seen = events(api, PODS)
    assert next(seen)["type"] == "ADDED"
    assert api.drop_watches() == 1
    with pytest.raises(urllib3.exceptions.ProtocolError):
        next(seen)
    seen = events(api, PODS)
    next(seen)
    api.drop_watches("ended")
    assert list(seen) == []


def test_open_watch_is_told_that_its_version_is_gone(api: KubernetesApi, core: client.CoreV1Api) -> None:
    core.create_namespaced_pod("default", pod("a"))
    seen = events(api, PODS)
    next(seen)
    assert api.expire_watches() == 1
    assert [event["object"]["code"] for event in seen] == [410]


def test_many_watches_hear_of_one_change(api: KubernetesApi) -> None:
    count = 400

    async def run() -> set[str]:
        headers = {"Authorization": f"Bearer {api.token}"}
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(api.plain_url, headers=headers, connector=connector) as session:

            async def one() -> str:
                async with session.get(f"{PODS}?watch=1&labelSelector=a%3Db") as response:
                    event = json.loads(await response.content.readline())
                    return event["object"]["metadata"]["name"]

            tasks = [asyncio.create_task(one()) for _ in range(count)]
            while len(api.server.watches) < count:
                await asyncio.sleep(0.02)
            made = pod("p")
            made["metadata"] |= {"namespace": "default", "labels": {"a": "b"}}
            await asyncio.to_thread(
                api.put, pod("other") | {"metadata": {"name": "o", "namespace": "default"}}, made
            )
            return set(await asyncio.gather(*tasks))

    assert asyncio.run(run()) == {"p"}
    assert not api.server.audit[-1].name
