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
from mashbill.errors import ConfigError
from mashbill.filters.filter import Filter, Verdict
from mashbill.storage import local_path

SETTING = "filters.url.blocklist"
PARENTS = 6  # labels of a site that are looked up: itself and the sites it is part of


class Url(Filter):
    """Documents from sites on a list, or from their subdomains."""

    name, reasons = "url", ("kept", "blocked_site")

    def __init__(self, settings: UrlFilter, blocklist: Path) -> None:
        try:
            lines = blocklist.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                SETTING,
                f"{blocklist} cannot be read ({error})",
                "give a text file, one site a line",
            ) from error
        self.sites = pa.array(
            sorted({line.strip().lower().removeprefix("www.") for line in lines if line.strip()}),
            pa.large_string(),
        )
        self.pattern = rf'"{settings.field}": ?"(?:[a-z]+://)?(?:[^/"@]*@)?(?:www\.)?(?P<site>[^/":?#]+)'

        if not len(self.sites):
            raise ConfigError(SETTING, f"{blocklist} names no site", "give a text file, one site a line")

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
        """Decide on documents: the site and each of its parents is looked up."""
        del texts
        site = pc.struct_field(
            pc.extract_regex(pc.utf8_lower(metadata.cast(pa.large_string())), self.pattern), "site"
        )
        blocked = np.zeros(len(metadata), bool)
        for _ in range(PARENTS):
            found = pc.fill_null(pc.is_in(site.cast(pa.large_string()), self.sites), False)
            blocked |= found.to_numpy(zero_copy_only=False)
            site = pc.struct_field(pc.extract_regex(site, r"^[^.]+\.(?P<parent>.+)$"), "parent")
        return Verdict(blocked.astype(np.uint8), None, {})
