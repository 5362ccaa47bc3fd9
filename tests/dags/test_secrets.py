"""S3 through Airflow's connection, under a real Airflow: stages read and write with its credentials, and
nothing that is kept has them: not Airflow's database, logs and rendered fields, not the artifacts."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest

from airflow_server import AirflowServer
from builders.airflow_code import said
from builders.corpus import corpus_config
from builders.processes import processes_about
from builders.s3_server import s3_server

PATIENCE_SECONDS = 500
KEY, SECRET, TOKEN = "AKIAPLANTED0KEY00001", "planted/secret+0123456789abcdefABCDEF00", "planted-token-77"
BUCKET = "planted-lake"
DAG = """
from datetime import timedelta
from airflow.sdk import DAG
from mashbill.operators import CheckConfig, FilterDocuments, IngestDocuments

asked = {{"config": {config!r}, "aws_conn_id": "lake", "retries": 2, "retry_delay": timedelta(seconds=1)}}
with DAG("lake", schedule=None):
    check = CheckConfig(task_id="check", stages=["ingest", "filter"], **asked)
    ingest = IngestDocuments(task_id="ingest", **asked)
    filtered = FilterDocuments(task_id="filter", inputs={{"ingest": ingest.output}}, **asked)
    gone = {{"ingest": "s3://planted-lake/artifacts/ingest/none"}}
    check >> ingest >> FilterDocuments(task_id="fails", inputs=gone, **asked)
    IngestDocuments(task_id="no_connection", config={config!r}, aws_conn_id="none", retries=2)
"""
ENVIRONMENT = """
import json, os
import boto3
from airflow.sdk.log import redact
from mashbill.errors import ConfigError
from mashbill.operators.connections import VARIABLES, s3_access

os.environ["AWS_ACCESS_KEY_ID"] = "mine"
before = {name: os.environ.get(name) for name in VARIABLES}
with s3_access("lake"):
    inside = {name: os.environ.get(name) for name in VARIABLES}
    session = boto3.Session()
    keys = session.get_credentials().get_frozen_credentials()
    address = session.client("s3").meta.endpoint_url
    used = [keys.access_key, keys.secret_key, keys.token, session.region_name, address]
    logged = [redact("said: " + one) for one in (keys.secret_key, keys.token)]
after = {name: os.environ.get(name) for name in VARIABLES}
try:
    with s3_access("lake"):
        raise RuntimeError
except RuntimeError:
    failed = {name: os.environ.get(name) for name in VARIABLES}
try:
    with s3_access("none"):
        missing = ""
except ConfigError as error:
    missing = str(error)
print(json.dumps([before, inside, used, logged, after, failed, missing]))
"""


OF_A_ROLE = """
import json, os
from airflow.sdk.log import redact
from mashbill.operators.connections import s3_access

with s3_access("lake"):
    given = [os.environ[f"AWS_{name}"] for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN")]
print(json.dumps([given, [redact(f"said: {one}") for one in given]]))
"""
OF_THE_WORKER = {
    "AWS_SECRET_ACCESS_KEY": "mine",
    "AWS_SESSION_TOKEN": "mine",
    "AWS_SECURITY_TOKEN": "mine",
    "AWS_CREDENTIAL_EXPIRATION": "2020-01-01T00:00:00Z",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ENDPOINT_URL": "http://localhost:2",
    "AWS_ENDPOINT_URL_S3": "http://localhost:3",
}
"""What a tool that takes a role leaves in a worker's environment."""


def connection(endpoint: str, **more: str) -> str:
    """As Airflow takes it from its environment."""
    extra = {"endpoint_url": endpoint, "region_name": "eu-west-1", "aws_session_token": TOKEN, **more}
    return json.dumps({"conn_type": "aws", "login": KEY, "password": SECRET, "extra": extra})


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with s3_server() as address:
        yield address


@dataclass(frozen=True)
class Lake:
    """What is left once the DAG has run.

    Attributes:
        home: of Airflow.
        states: of the tasks.
        objects: of the bucket, by key.
        lines: of the tasks' logs, by task.
    """

    home: Path
    states: dict[str, str]
    objects: dict[str, bytes]
    lines: dict[str, str]


@pytest.fixture(scope="module")
def lake(endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    folder = tmp_path_factory.mktemp("lake")
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="eu-west-1",
        aws_access_key_id="other",
        aws_secret_access_key="other",
    )
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    for name in ("web", "papers"):
        rows = [json.dumps({"text": f"{name} has a text of its own, number {i}"}) for i in range(5)]
        client.put_object(Bucket=BUCKET, Key=f"raw/{name}.jsonl", Body="\n".join(rows).encode())
    corpus_config(
        folder,
        {name: f"s3://{BUCKET}/raw/{name}.jsonl" for name in ("web", "papers")},
        extra="[filters]\napply = []\n",
    )
    config = folder / "config.toml"
    config.write_text(config.read_text().replace('"artifacts"', f'"s3://{BUCKET}/artifacts"'))
    dags = folder / "dags"
    dags.mkdir()
    (dags / "lake.py").write_text(DAG.format(config=str(config)))
    home = folder / "airflow"
    with pytest.MonkeyPatch.context() as around:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_PROFILE"):
            around.delenv(name, raising=False)
        around.setenv("AWS_EC2_METADATA_DISABLED", "true")
        around.setenv("AIRFLOW_CONN_LAKE", connection(endpoint))
        with AirflowServer(home, dags, 2) as server:
            run = server.trigger("lake", {})
            deadline = time.monotonic() + PATIENCE_SECONDS
            while server.call("GET", f"dags/lake/dagRuns/{run}")["state"] not in {"success", "failed"}:
                assert time.monotonic() < deadline, "it took too long"
                time.sleep(0.5)
            states = {task["task_id"]: task["state"] for task in server.tasks("lake", run)}
            place = f"dags/lake/dagRuns/{run}/taskInstances"
            lines = {name: log_of(server, f"{place}/{name}") for name in states}
    listed = client.list_objects_v2(Bucket=BUCKET)["Contents"]
    objects = {one["Key"]: client.get_object(Bucket=BUCKET, Key=one["Key"])["Body"].read() for one in listed}
    yield Lake(home, states, objects, lines)
    assert processes_about(folder) == {}


def log_of(server: AirflowServer, place: str) -> str:
    """What the last try of a task said; nothing where there was none."""
    tries = server.call("GET", place)["try_number"]
    return str(server.call("GET", f"{place}/logs/{tries}?full_content=true")) if tries else ""


@pytest.mark.airflow
def test_stages_read_and_write_with_the_connections_credentials(lake: Lake) -> None:
    assert {name: lake.states[name] for name in ("check", "ingest", "filter")} == {
        "check": "success",
        "ingest": "success",
        "filter": "success",
    }
    made = {key.split("/")[1] for key in lake.objects if key.startswith("artifacts/")}
    assert {"ingest", "filter"} <= made


@pytest.mark.airflow
def test_a_connection_that_is_not_there_fails_and_is_named(lake: Lake) -> None:
    assert lake.states["no_connection"] == "failed"
    assert "aws_conn_id 'none': is no connection of Airflow's" in lake.lines["no_connection"]


@pytest.mark.airflow
def test_nothing_that_is_kept_has_the_secret(lake: Lake) -> None:
    assert lake.states["fails"] == "failed"  # what fails says much
    files = [path for path in lake.home.parent.rglob("*") if path.is_file()]
    assert lake.home / "airflow.db" in files
    assert [path for path in files if path.suffix == ".log"]
    kept = {str(path): path.read_bytes() for path in files} | lake.objects
    kept |= {f"log of {task}": lines.encode() for task, lines in lake.lines.items()}
    for planted in (SECRET, TOKEN):
        assert [name for name, held in kept.items() if planted.encode() in held] == []


def test_the_environment_has_credentials_within_the_block_alone(tmp_path: Path) -> None:
    before, inside, used, logged, after, failed, missing = said(
        ENVIRONMENT, home=tmp_path, AIRFLOW_CONN_LAKE=connection("http://localhost:1"), **OF_THE_WORKER
    )
    assert used == [KEY, SECRET, TOKEN, "eu-west-1", "http://localhost:1"]
    assert logged == ["said: ***"] * 2
    assert inside["AWS_ACCESS_KEY_ID"] == KEY
    assert inside["AWS_SECRET_ACCESS_KEY"] == SECRET
    assert inside["AWS_SESSION_TOKEN"] == TOKEN
    assert inside["AWS_ENDPOINT_URL_S3"] == "http://localhost:1"
    assert before["AWS_ACCESS_KEY_ID"] == "mine"
    assert after == failed == before
    assert missing.startswith("aws_conn_id 'none': is no connection of Airflow's; add")


def test_what_a_role_gives_is_in_no_log_either(endpoint: str, tmp_path: Path) -> None:
    role = "arn:aws:iam::123456789012:role/lake"
    connected = {"AIRFLOW_CONN_LAKE": connection(endpoint, role_arn=role), "AWS_ENDPOINT_URL_STS": endpoint}
    given, logged = said(OF_A_ROLE, home=tmp_path, **connected)
    assert not {KEY, SECRET, TOKEN} & set(given)
    assert logged == [f"said: {given[0]}", "said: ***", "said: ***"]
