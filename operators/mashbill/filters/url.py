"""Documents from sites on a list; the address is taken from the documents' metadata."""

from collections.abc import Iterator
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mashbill.artifacts import StageRun
from mashbill.config import PipelineConfig
from mashbill.config.check import Check
from mashbill.config.filters import UrlFilter
from mashbill.filters.filter import Filter, Verdict
from mashbill.filters.metadata import field_values
from mashbill.filters.sites import ADDRESS, parts_of, read_sites, site_of
from mashbill.storage import local_path

SETTING = "filters.url.blocklist"


class Url(Filter):
    """Documents from sites on a list, or from their subdomains."""

    name, reasons = "url", ("kept", "blocked_site")

    def __init__(self, settings: UrlFilter, blocklist: Path) -> None:
        self.metadata_field = self.field = settings.field
        self.sites = read_sites(blocklist, SETTING, settings.blocklist or str(blocklist))

    @classmethod
    def for_run(cls, run: StageRun) -> Self:
        """The filter with the config's list."""
        settings = run.config.filters.url
        return cls(settings, local_path(run.config, SETTING, settings.blocklist or ""))

    @classmethod
    def files(cls, config: PipelineConfig) -> dict[str, str]:
        """The list of sites."""
        return {SETTING: config.filters.url.blocklist or ""}

    @classmethod
    def checks(cls, config: PipelineConfig) -> Iterator[Check]:
        """The list of sites: that it can be read, and names any."""
        settings = config.filters.url

        def look() -> str:
            made = cls(settings, local_path(config, SETTING, settings.blocklist or ""))
            return f"{settings.blocklist}: {len(made.sites):,} sites"

        yield Check(SETTING, look)

    def __call__(self, texts: pa.Array, metadata: pa.Array) -> Verdict:
        """Decide on documents: the site and each of those it is part of is looked up."""
        del texts
        addresses = field_values(metadata, self.field)
        host = pc.struct_field(pc.extract_regex(addresses, ADDRESS), "host").dictionary_encode()
        verdicts = np.array([self._is_blocked(name) for name in host.dictionary.to_pylist()], bool)
        known = host.indices.is_valid().to_numpy(zero_copy_only=False)
        blocked = np.zeros(len(metadata), bool)
        blocked[known] = verdicts[host.indices.drop_null().to_numpy()]
        without = int(len(known) - known.sum())
        return Verdict(blocked.astype(np.uint8), None, {"url_without_address": without} if without else {})

    def _is_blocked(self, host: str) -> bool:
        site = site_of(host)
        return site is not None and any(part in self.sites for part in parts_of(site))
