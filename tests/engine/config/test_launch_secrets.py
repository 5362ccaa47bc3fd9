"""No secret stands in the settings of a launch: they are kept with the job, where others read them."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from mashbill.config import load_config
from mashbill.config.launch import LaunchConfig
from mashbill.errors import ConfigError


@pytest.mark.parametrize(
    "name, value",
    [
        ("AWS_SECRET_ACCESS_KEY", "x"),
        ("AWS_ACCESS_KEY_ID", "x"),
        ("AWS_SESSION_TOKEN", "x"),
        ("HF_TOKEN", "x"),
        ("WANDB_API_KEY", "x"),
        ("wandb_apikey", "x"),
        ("DB_PASSWORD", "x"),
        ("MY_PRIVATE_KEY", "x"),
        ("CLIENT_SECRET", "x"),
        ("HTTPS_PROXY", "http://ann:hunter2@proxy.example:3128"),
    ],
)
def test_a_secret_is_refused_by_its_name_and_not_repeated(name: str, value: str) -> None:
    with pytest.raises(ValidationError) as told:
        LaunchConfig(environment={"NCCL_DEBUG": "INFO", name: value})
    message = told.value.errors()[0]["msg"]
    assert f"{name} is a secret" in message
    assert "environment_from" in message
    assert "hunter2" not in message


@pytest.mark.parametrize(
    "name, value",
    [
        ("NCCL_IB_HCA", "mlx5"),
        ("TOKENIZERS_PARALLELISM", "false"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/var/run/token"),
        ("HF_TOKEN_PATH", "/secrets/hf"),
        ("TOKENS", "25"),
        ("SECRETARIAT", "x"),
        ("AWS_ENDPOINT_URL", "https://s3.example:9000"),
        ("KEYBOARD", "qwerty"),
        ("HTTPS_PROXY", "http://proxy.example:3128"),
    ],
)
def test_what_only_sounds_like_one_is_taken(name: str, value: str) -> None:
    assert LaunchConfig(environment={name: value}).environment == {name: value}


def test_the_line_about_a_secret_does_not_hold_it(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text('[launch.train]\nenvironment = { HF_TOKEN = "hf_planted" }\n')
    with pytest.raises(ConfigError) as told:
        load_config(path)
    assert "HF_TOKEN is a secret" in str(told.value)
    assert "hf_planted" not in str(told.value)
