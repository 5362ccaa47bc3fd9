"""Which settings DeepSpeed knows: those that it asks for when it reads its own config.

DeepSpeed passes over a key that it does not know. Its own reader is run on settings that note what is asked
of them, so that the list is that of the version which is installed.
"""

import contextlib
import difflib
import io
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

from pydantic import ValidationError

from mashbill.config.recipe import DeepSpeedSettings
from mashbill.errors import ConfigError, one_line

WHERE = "training.deepspeed"
ONE = {"train_batch_size": 1, "train_micro_batch_size_per_gpu": 1, "gradient_accumulation_steps": 1}
"""A batch that is right for one process, which is what reads the settings here."""
ASKED_ALL = ("activation_checkpointing", "aio")
"""Groups within which DeepSpeed asks for each key by name, and passes over others."""


def check_deepspeed(settings: DeepSpeedSettings) -> str:
    """Say whether DeepSpeed knows each of the settings and takes their values.

    Raises:
        ConfigError: a name is unknown, with the nearest that is known, or a value will not do.
    """
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            from deepspeed.runtime.config import DeepSpeedConfig
    except ImportError:
        return "not compared with DeepSpeed's own, as it is not installed"
    asked = _Noting({**settings, **ONE})
    for group in ASKED_ALL:
        if isinstance(settings.get(group), Mapping):
            asked[group] = _Noting(settings[group])
    try:
        DeepSpeedConfig(asked)
    except (ValidationError, ValueError, TypeError, AssertionError, KeyError) as error:
        raise _misread(settings, error) from error
    _refuse_unknown(settings, asked.names)
    for group in ASKED_ALL:
        if isinstance(settings.get(group), Mapping):
            _refuse_unknown(settings[group], asked[group].names, at=f"{group}.")
    return f"{len(settings)} settings, all known to DeepSpeed {version('deepspeed')}"


class _Noting(dict[str, Any]):
    """Settings that note the names which are asked for."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__(settings)
        self.names: set[str] = set()

    def __contains__(self, name: object) -> bool:
        self.names.add(str(name))
        return super().__contains__(name)

    def __getitem__(self, name: str) -> Any:
        self.names.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self.names.add(name)
        return super().get(name, default)

    def keys(self) -> Any:
        return self  # which notes what is looked for in it

    def __iter__(self) -> Iterator[str]:
        return super().__iter__()


def _refuse_unknown(settings: Mapping[str, Any], known: set[str], at: str = "") -> None:
    for name in settings:
        if name not in known:
            raise ConfigError(
                f"{WHERE}.{at}{name}",
                f"is no setting of DeepSpeed {version('deepspeed')}",
                _nearest(name, known),
            )


def _nearest(name: str, known: set[str]) -> str:
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else "remove it"


def _misread(settings: DeepSpeedSettings, error: Exception) -> ConfigError:
    """DeepSpeed's own words on the group that it stumbles over."""
    from deepspeed.runtime.config import DeepSpeedConfig

    for group, value in settings.items():
        if group in ONE:
            continue
        try:
            DeepSpeedConfig({**ONE, group: value})
        except ValidationError as wrong:
            first = wrong.errors()[0]
            name = ".".join([group, *map(str, first["loc"])])
            mend = "correct it, or remove it"
            if first["type"] == "extra_forbidden":
                mend = _nearest(str(first["loc"][-1]), _fields_of(wrong.title))
            return ConfigError(f"{WHERE}.{name}", one_line(ValueError(first["msg"])).lower(), mend)
        except (ValueError, TypeError, AssertionError, KeyError) as wrong:
            return ConfigError(f"{WHERE}.{group}", f"DeepSpeed refuses it ({one_line(wrong)})", "correct it")
    return ConfigError(WHERE, f"DeepSpeed refuses it ({one_line(error)})", "correct it")


def _fields_of(title: str) -> set[str]:
    """Names that a group of DeepSpeed's settings knows, by the name of its class."""
    from deepspeed.runtime.config_utils import DeepSpeedConfigModel

    classes = list(DeepSpeedConfigModel.__subclasses__())
    for one in classes:
        classes += [inner for inner in one.__subclasses__() if inner not in classes]
    return {name for one in classes if one.__name__ == title for name in one.model_fields}
