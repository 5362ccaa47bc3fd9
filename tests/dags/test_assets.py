"""What is told of an asset, as Airflow calls it without a server: what is new since the last event alone."""

import json
from typing import Any

import pytest

from builders.airflow_code import said

PROBE = """
import json, sys
from datetime import UTC, datetime
from types import SimpleNamespace
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import ErrorType
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import AssetEventsResult, ErrorResponse
from airflow.sdk.execution_time.context import OutletEventAccessors
from mashbill.operators.assets import PipelineAssets, tell_what_is_new, whole
from mashbill.stages.summary import ArtifactSummary

ASSET = PipelineAssets("team").documents
OTHER = PipelineAssets("team").tokens
NAMED = {"name": ASSET.name, "uri": ASSET.uri, "group": ASSET.group}

class Supervisor:
    def __init__(self, events):
        self.events = events
    def send(self, msg):
        self.asked = msg
        if self.events is None:
            return ErrorResponse(error=ErrorType.ASSET_NOT_FOUND)
        last = self.events[:: 1 if msg.ascending else -1][: msg.limit]
        each = [
            {"id": i, "timestamp": datetime.now(UTC), "extra": extra, "asset": NAMED, "created_dagruns": []}
            for i, extra in enumerate(last)
        ]
        return AssetEventsResult(asset_events=each)

def told(events, partitions):
    supervisor = task_runner.SUPERVISOR_COMMS = Supervisor(events)
    task = BaseOperator(task_id="select", outlets=[OTHER, ASSET, whole(ASSET)])
    made = ArtifactSummary(
        stage="select", address="/lake/select/1", fingerprint="f1", counts={"documents_out": 7}, rows=7,
        bytes=9, files=2, columns=(), partitions=partitions,
    )
    events = OutletEventAccessors()
    tell_what_is_new(task, {"outlet_events": events}, made=made, asset=ASSET)
    return {
        "partitions": sorted(events[ASSET].partition_keys),
        "extra": events[ASSET].extra,
        "whole": [[one.dest_asset_key.name, one.extra] for one in events[whole(ASSET)].asset_alias_events],
        "outlets": [one.name for one in task.outlets],
        "asked of": supervisor.asked.name,
    }

print(json.dumps({case: told(*asked) for case, asked in json.loads(sys.argv[1]).items()}))
"""
NOW = {"code": "c1", "web": "w2"}


def event(**partitions: str) -> dict[str, Any]:
    """What an earlier event of a stage said."""
    return {"stage": "select", "partitions": partitions}


CASES: dict[str, tuple[list[dict[str, Any]] | None, list[str]]] = {
    "the first": ([], ["code", "web"]),
    "an asset that nobody knows yet": (None, ["code", "web"]),
    "one that changed": ([event(code="c1", web="w1")], ["web"]),
    "one more": ([event(web="w2")], ["code"]),
    "as it was": ([event(web="w2", code="c1")], []),
    "as it was before the last": ([event(**NOW), event(code="c0", web="w2")], ["code"]),
    "one by hand after ours": ([event(**NOW), {"by": "ann"}, {}], []),
    "by hand alone": ([{"by": "ann"}], ["code", "web"]),
    "more by hand than it looks at": ([event(**NOW), *[{"by": "ann"}] * 20], ["code", "web"]),
}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    asked = json.dumps({case: [events, NOW] for case, (events, _) in CASES.items()})
    found: dict[str, Any] = said(PROBE, asked, home=tmp_path_factory.mktemp("assets"))
    return found


@pytest.mark.parametrize("case", CASES)
def test_what_is_new_since_the_last_event_is_told(told: dict[str, Any], case: str) -> None:
    new = CASES[case][1]
    assert told[case]["partitions"] == new
    assert told[case]["asked of"] == "team/documents"
    others, own = ["team/tokens"], ["team/documents", "team/documents/whole"]
    assert told[case]["outlets"] == [*others, *(own if new else [])]


def test_an_event_says_where_the_whole_is_and_what_is_in_it(told: dict[str, Any]) -> None:
    wanted = {
        "stage": "select",
        "address": "/lake/select/1",
        "fingerprint": "f1",
        "counts": {"documents_out": 7},
        "partitions": NOW,
    }
    assert told["one more"]["extra"] == wanted
    assert told["one more"]["whole"] == [["team/documents", wanted]]
    assert told["as it was"]["whole"] == []
