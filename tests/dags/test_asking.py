"""The approval before training, as Airflow calls it without a server: when a person is asked, how long they
are waited for, and what comes of the answer."""

import json
from typing import Any

import pytest

from builders.airflow_code import said
from builders.approvals import REASON, committed, doubtful
from builders.corpus import corpus_config, write_jsonl
from mashbill.mixtures import Decision

PROBE = """
import asyncio, json, sys, uuid
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from airflow.sdk.api.datamodels._generated import HITLDetailResponse, HITLUser
from airflow.sdk.exceptions import AirflowFailException, TaskAwaitingInput, TaskDeferred
from airflow.sdk.execution_time import task_runner
from mashbill.operators import ApproveTraining, AskWhereInDoubt, Gate
from mashbill.operators.answer_trigger import EarlierAnswer

asked = json.loads(sys.argv[1])
ID = uuid.uuid4()
TIMEOUT = {"error": "nobody", "error_type": "timeout"}

class Supervisor:
    def __init__(self):
        self.heard, self.answer = [], None
    def send(self, msg):
        self.heard.append(msg)
        return self.answer
    asend = send

class Kept(dict):
    def set(self, key, value):
        self[key] = json.loads(json.dumps(value))

supervisor = task_runner.SUPERVISOR_COMMS = Supervisor()

def context(kept, round=3):
    ti = SimpleNamespace(id=ID, max_tries=round)
    return {"task_state_store": kept, "ti": ti, "task_instance": ti}

def approval(**given):
    inputs = {"mix": asked["mix"], "gate": asked["gate"]}
    return ApproveTraining(
        task_id="approve", subject="Train?", config=asked["config"], inputs=inputs, gate=Gate(**given)
    )

def outcome(call, *arguments):
    try:
        return ["done", call(*arguments)["chosen_options"]]
    except AirflowFailException as error:
        return ["failed", str(error)]
    except TaskAwaitingInput as wait:
        return ["waits", round(wait.timeout.total_seconds()), wait.method_name]
    except TaskDeferred as wait:
        return ["looks", wait.trigger.ti_id == str(ID), wait.method_name]

def answer(word, user="ann"):
    told = {"chosen_options": [word], "params_input": {}, "responded_at": datetime.now(UTC)}
    return {**told, "responded_by_user": {"id": user, "name": user}}

def waits(timeout, many):
    kept, task = Kept(), approval(timeout=timeout)
    found = [outcome(task.execute, context(kept))]
    found += [outcome(task.execute_complete, context(kept), TIMEOUT) for _ in range(many)]
    return [one[1] for one in found]

def unanswered(default):
    kept, task = Kept(), approval(timeout=timedelta(hours=1), default=default)
    outcome(task.execute, context(kept))
    kept["mashbill_until"] = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    return outcome(task.execute_complete, context(kept), TIMEOUT)

def kept_answer(**told):
    supervisor.answer = told and HITLDetailResponse(**told)
    async def first():
        return await anext(EarlierAnswer(ID, settle_seconds=0).run())
    return asyncio.run(first()).payload

def branch(gate, asks):
    config, address = asked[gate]
    given = {"approval": "approve", "go_on": "train", "asks": asks, "config": config}
    task = AskWhereInDoubt(task_id="branch", inputs={"gate": address}, **given)
    try:
        return task.choose_branch({})
    except AirflowFailException as error:
        return str(error)

kept, task = Kept(), approval(approvers=("ann", "bea"))
first = outcome(task.execute, context(kept))
(question,) = supervisor.heard
now = datetime.now(UTC)
told = {"response_received": True, "responded_at": now, "chosen_options": ["Approve"]}
given = kept_answer(responded_by_user=HITLUser(id="1", name="ann"), **told)
given["responded_at"] = str(given["responded_at"])
found = {
    "first": first,
    "question": [[one.id for one in question.assigned_users], question.options, question.body],
    "again": outcome(approval().execute, context(kept)),
    "cleared": outcome(approval().execute, context(kept, 4)),
    "taken up": outcome(approval().take_up, context(kept), answer("Approve")),
    "asked anew": outcome(approval().take_up, context(kept), {}),
    "answers": [
        outcome(approval().execute_complete, context(kept), answer(word)) for word in ("Approve", "Reject")
    ],
    "waits": [waits(None, 5), waits(timedelta(seconds=90), 2)],
    "defaults": [unanswered(one) for one in ("approve", "reject", None)],
    "branches": {
        f"{gate} {asks}": branch(gate, asks)
        for gate in ("doubt", "sure")
        for asks in ("in_doubt", "always", "never")
    },
    "given": given,
    "not given": kept_answer(**{**told, "response_received": False}),
}
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("asking")
    configs, gates = {}, {}
    for name in ("doubt", "sure"):
        place = folder / name
        place.mkdir()
        write_jsonl(place / "a.jsonl", ["a text"])
        configs[name] = corpus_config(place, {"a": "a.jsonl", "b": "a.jsonl"})
    in_doubt = {stage: made.address for stage, made in doubtful(configs["doubt"], folder / "doubt").items()}
    sure = folder / "sure" / "gate"
    sure.mkdir()
    Decision(decision="train", reason="a gain", gain=0.1, gain_interval=(0.05, 0.15)).write(sure)
    gates = {"doubt": in_doubt["gate"], "sure": committed(configs["sure"], "gate", sure, {}).address}
    asked: dict[str, Any] = {"config": str(folder / "doubt" / "config.toml"), **in_doubt}
    asked |= {name: [str(folder / name / "config.toml"), gates[name]] for name in gates}
    found: dict[str, Any] = said(PROBE, json.dumps(asked), home=folder / "airflow")
    return found


def test_the_question_goes_to_the_approvers_and_says_what_is_to_be_decided(told: dict[str, Any]) -> None:
    users, options, body = told["question"]
    assert (users, options) == (["ann", "bea"], ["Approve", "Reject"])
    assert REASON[1:] in body


@pytest.mark.parametrize(
    "case, expected",
    [
        ("first", ["waits", 20, "execute_complete"]),
        ("again", ["looks", True, "take_up"]),
        ("cleared", ["waits", 20, "execute_complete"]),
        ("taken up", ["done", ["Approve"]]),
        ("asked anew", ["waits", 20, "execute_complete"]),
    ],
)
def test_who_was_asked_is_not_asked_again_unless_the_task_was_cleared(
    told: dict[str, Any], case: str, expected: list[Any]
) -> None:
    assert told[case] == expected


def test_a_no_fails_the_task_for_good_and_says_whose_it_is(told: dict[str, Any]) -> None:
    assert told["answers"] == [
        ["done", ["Approve"]],
        ["failed", "approval: the training was rejected by ann"],
    ]


def test_it_looks_less_and_less_often_and_no_later_than_its_time_is_over(told: dict[str, Any]) -> None:
    assert told["waits"] == [[20, 180, 1800, 3600, 3600, 3600], [20, 90, 90]]


def test_when_the_time_is_over_the_default_holds_or_the_task_fails(told: dict[str, Any]) -> None:
    assert told["defaults"] == [
        ["done", ["Approve"]],
        ["failed", "approval: the training was rejected by the default, as nobody answered in time"],
        ["failed", "approval: nobody answered within 1:00:00; clear the task to ask again"],
    ]


def test_a_person_is_asked_in_doubt_or_always_and_where_never_doubt_fails(told: dict[str, Any]) -> None:
    never = told["branches"].pop("doubt never")
    assert "set gate.within_noise to train or refuse" in never
    assert told["branches"] == {
        "doubt in_doubt": "approve",
        "doubt always": "approve",
        "sure in_doubt": "train",
        "sure always": "approve",
        "sure never": "train",
    }


def test_an_earlier_answer_is_told_with_who_gave_it_and_no_answer_as_nothing(told: dict[str, Any]) -> None:
    given = told["given"]
    assert (given["chosen_options"], given["responded_by_user"]) == (["Approve"], {"id": "1", "name": "ann"})
    assert told["not given"] == {}
