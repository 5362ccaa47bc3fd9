"""S3 through Airflow's connection: its credentials are in the environment of the stage while it runs, and
nowhere else: no argument, XCom, log or artifact has them.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from mashbill.errors import ConfigError

VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_CREDENTIAL_EXPIRATION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL_S3",
    "AWS_PROFILE",
)
"""What a connection decides, whatever the worker's own environment says: boto3 would take a token by its
older name before that of the connection, and hold its keys to be as old as the worker's."""


@contextmanager
def s3_access(aws_conn_id: str | None) -> Iterator[None]:
    """Have boto3's own chain find a connection's credentials until the end of the block, here and in the
    processes that are started in it; without a connection it finds the worker's identity.

    Args:
        aws_conn_id: id of a connection of type ``aws``; None changes nothing.
    Raises:
        ConfigError: Airflow's Amazon provider is not installed, or the connection has no credentials.
    """
    if aws_conn_id is None:
        yield
        return
    given = _environment_of(aws_conn_id)
    before = {name: os.environ.get(name) for name in VARIABLES}
    try:
        for name in VARIABLES:
            _set(name, given.get(name))
        yield
    finally:
        for name, value in before.items():
            _set(name, value)


def _environment_of(aws_conn_id: str) -> dict[str, str]:
    from airflow.sdk import BaseHook
    from airflow.sdk.exceptions import AirflowNotFoundException
    from airflow.sdk.log import mask_secret

    where = f"aws_conn_id {aws_conn_id!r}"
    try:
        from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
    except ImportError as error:
        mend = "install apache-airflow-providers-amazon, or leave aws_conn_id out"
        raise ConfigError(where, "needs Airflow's Amazon provider", mend) from error
    try:
        BaseHook.get_connection(aws_conn_id)
    except AirflowNotFoundException as error:
        mend = "add a connection of type aws with that id, or name another"
        raise ConfigError(where, "is no connection of Airflow's", mend) from error
    hook = AwsBaseHook(aws_conn_id=aws_conn_id, client_type="s3")
    session = hook.get_session()
    found = session.get_credentials()
    if found is None:
        raise ConfigError(where, "has no credentials", "give it a key and a secret, or a role")
    keys = found.get_frozen_credentials()
    endpoint = hook.conn_config.get_service_endpoint_url(service_name="s3")
    given = {
        "AWS_ACCESS_KEY_ID": keys.access_key,
        "AWS_SECRET_ACCESS_KEY": keys.secret_key,
        "AWS_SESSION_TOKEN": keys.token,
        "AWS_DEFAULT_REGION": session.region_name,
        "AWS_ENDPOINT_URL_S3": endpoint,
    }
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        if given[name]:
            mask_secret(given[name])
    return {name: value for name, value in given.items() if value}


def _set(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value
