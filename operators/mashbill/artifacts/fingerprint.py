"""What identifies a result: a hash of everything that determines it."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

FORMAT_VERSION = 1


def fingerprint(
    stage: str, version: int, settings: Mapping[str, Any], *, inputs: Mapping[str, str], external: Any = None
) -> str:
    """The identity of a stage's result.

    Args:
        stage: name of the stage.
        version: version of its algorithm and output format; raising it makes old results stale.
        settings: the config sections it reads, as JSON values.
        inputs: fingerprints of the input artifacts by stage.
        external: identity of files outside the artifacts that it reads, as a JSON value.
    Returns:
        32 hexadecimal digits.
    """
    content = [FORMAT_VERSION, stage, version, settings, dict(inputs), external]
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()[:32]
