"""The earlier search that a plan reuses, found in the artifact store, and what it was made from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mashbill.artifacts import Artifact, ArtifactStore, open_store
from mashbill.artifacts.manifest import Manifest
from mashbill.config import PipelineConfig
from mashbill.errors import ConfigError, DataError
from mashbill.mixtures import Choice

LAST = "last"
COMMON = 2  # domains that both must have


@dataclass(frozen=True)
class EarlierSearch:
    """A finished choice and the manifests of what it came from.

    Attributes:
        address: of its mix artifact.
        mix, sweep, tokenize: manifests.
    """

    address: str
    mix: Manifest
    sweep: Manifest
    tokenize: Manifest


def find_earlier(config: PipelineConfig, inputs: Mapping[str, Artifact]) -> EarlierSearch | None:
    """The search that ``plan.reuse`` stands for; None where it is unset, or where ``last`` finds none.

    The last is the newest choice that was made from other token shards than today's and has two domains in
    common with them. A rerun finds the same, as its own choice is made from today's.

    Raises:
        ConfigError: the address that is given holds no choice, or what that was made from is gone.
    """
    reuse, store = config.plan.reuse, open_store(config)
    if reuse is None:
        return None
    if reuse != LAST:
        address = config.resolve(reuse).rstrip("/")
        try:
            return _search_at(store, address, store.manifest_at(address))
        except DataError as error:
            raise ConfigError(
                f"plan.reuse {reuse}",
                f"cannot be used ({error.where} {error.what})",
                "give the address of a mix",
            ) from error
    today = inputs["tokenize"].address
    made = [
        (address, manifest)
        for address, manifest in store.manifests("mix").items()
        if manifest.inputs["tokenize"] != today
    ]
    for address, manifest in sorted(made, key=lambda item: item[1].started, reverse=True):
        try:
            search = _search_at(store, address, manifest)
            domains = set(Choice.read(store.open(address)).mixture)
        except DataError:  # something it was made from was deleted, or is of an earlier version
            continue
        if len(domains & set(config.mixture_names)) >= COMMON:
            return search
    return None


def reuse_identity(config: PipelineConfig, inputs: Mapping[str, Artifact]) -> Any:
    """What a plan depends on beside its config and inputs: the earlier search, and what is asked of it."""
    if config.plan.reuse is None:
        return None
    earlier = find_earlier(config, inputs)
    return {
        "mix": earlier.mix.fingerprint if earlier else None,
        "revised_share": config.plan.revised_share,
        "target": config.target,
        "proxy": config.proxy.what_is_computed(),
        "vocabulary": config.tokens.vocabulary,
        "mixtures_of": config.mixture_names,
    }


def _search_at(store: ArtifactStore, address: str, mix: Manifest) -> EarlierSearch:
    if mix.stage != "mix":
        raise DataError(address, f"is a result of {mix.stage}", "give the address of a mix")
    sweep, tokenize = store.manifest_at(mix.inputs["sweep"]), store.manifest_at(mix.inputs["tokenize"])
    for needed in (mix.inputs["fit"], tokenize.inputs["select"], tokenize.inputs["ingest"]):
        store.manifest_at(needed)
    return EarlierSearch(address, mix, sweep, tokenize)
