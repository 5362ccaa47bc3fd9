"""The rules that are column expressions: length, sites, patterns, personal data, and the two that look things
up."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mashbill.classifiers import FastTextScorer
from mashbill.config import FiltersConfig
from mashbill.errors import ConfigError
from mashbill.filters.decontamination import NgramIndex
from mashbill.filters.kernels import Verdict

EMAIL = r"\b[A-Za-z0-9._%+-]+@(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,}\b"
OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
IP = rf"\b(?:{OCTET}\.){{3}}{OCTET}\b"
PHONE = (
    r"\+[0-9]{1,3}[ .-]?(?:\([0-9]{1,4}\)[ .-]?)?[0-9]{2,4}(?:[ "
    r".-]?[0-9]{2,4}){1,4}\b|\(?\b[0-9]{3}\)?[ .-][0-9]{3}[ .-][0-9]{4}\b"
)


class Length:
    """Documents that are too short or too long, in characters."""

    name, reasons = "length", ("kept", "too_short", "too_long")

    def __init__(self, filters: FiltersConfig) -> None:
        self.least, self.most = filters.length.min_characters, filters.length.max_characters

    def __call__(self, texts: pa.Array, metadata: pa.Array) -> Verdict:
        """Decide on documents."""
        del metadata
        lengths = pc.utf8_length(texts).to_numpy(zero_copy_only=False)
        return Verdict(
            np.where(lengths < self.least, 1, np.where(lengths > self.most, 2, 0)).astype(np.uint8), None, {}
        )


class Url:
    """Documents from sites on a list, or from their subdomains."""

    name, reasons = "url", ("kept", "blocked_site")

    def __init__(self, filters: FiltersConfig, blocklist: Path) -> None:
        try:
            lines = blocklist.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                "filters.url.blocklist",
                f"{blocklist} cannot be read ({error})",
                "give a text file, one site a line",
            ) from error
        self.sites = pa.array(
            sorted({line.strip().lower().removeprefix("www.") for line in lines if line.strip()}),
            pa.large_string(),
        )
        self.pattern = rf'"{filters.url.field}": ?"(?:[a-z]+://)?(?:[^/"@]*@)?(?:www\.)?(?P<site>[^/":?#]+)'

    def __call__(self, texts: pa.Array, metadata: pa.Array) -> Verdict:
        """Decide on documents: the site and each of its parents is looked up."""
        del texts
        site = pc.struct_field(
            pc.extract_regex(pc.utf8_lower(metadata.cast(pa.large_string())), self.pattern), "site"
        )
        blocked = np.zeros(len(metadata), bool)
        for _ in range(6):
            found = pc.fill_null(pc.is_in(site.cast(pa.large_string()), self.sites), False)
            blocked |= found.to_numpy(zero_copy_only=False)
            site = pc.struct_field(pc.extract_regex(site, r"^[^.]+\.(?P<parent>.+)$"), "parent")
        return Verdict(blocked.astype(np.uint8), None, {})


class Language:
    """Documents that a fastText language model takes for another language."""

    name, reasons = "language", ("kept", "other_language")

    def __init__(self, filters: FiltersConfig, classifier: Path) -> None:
        self.scorer = FastTextScorer.load(classifier)
        self.labels, self.least = filters.language.labels, filters.language.min_probability
        for label in self.labels:
            if label not in self.scorer.labels:
                raise ConfigError(
                    "filters.language.labels",
                    f"names {label}, which the model does not know",
                    "use the model's labels",
                )

    def __call__(self, texts: pa.Array, metadata: pa.Array) -> Verdict:
        """Decide on documents; one without a known feature is of no language."""
        del metadata
        probability = np.sum([self.scorer.score(texts, label=label) for label in self.labels], axis=0)
        return Verdict((~(probability >= self.least)).astype(np.uint8), None, {})


class Regex:
    """Documents that a pattern matches, or that lack a match."""

    name, reasons = "regex", ("kept", "pattern_found", "pattern_missing")

    def __init__(self, filters: FiltersConfig) -> None:
        self.remove, self.require = filters.regex.remove, filters.regex.require

    def __call__(self, texts: pa.Array, metadata: pa.Array) -> Verdict:
        """Decide on documents."""
        del metadata
        codes = np.zeros(len(texts), np.uint8)
        for pattern in self.require:
            codes[~pc.match_substring_regex(texts, pattern).to_numpy(zero_copy_only=False)] = 2
        for pattern in self.remove:
            codes[pc.match_substring_regex(texts, pattern).to_numpy(zero_copy_only=False)] = 1
        return Verdict(codes, None, {})


class PersonalData:
    """Masks e-mail addresses, IPv4 addresses and telephone numbers; removes no document."""

    name, reasons = "personal_data", ("kept",)

    def __init__(self, filters: FiltersConfig) -> None:
        c = filters.personal_data
        kinds = (("email", EMAIL, c.email), ("ip", IP, c.ip), ("phone", PHONE, c.phone))
        self.kinds = [(kind, pattern, mask) for kind, pattern, mask in kinds if mask]

    def __call__(self, texts: pa.Array, metadata: pa.Array) -> Verdict:
        """Mask what is found."""
        del metadata
        counts: dict[str, int] = {}
        for kind, pattern, mask in self.kinds:
            found = pc.sum(pc.count_substring_regex(texts, pattern)).as_py() or 0
            if found:
                counts[f"masked_{kind}"] = found
                texts = pc.replace_substring_regex(texts, pattern, mask.replace("\\", "\\\\"))
        return Verdict(np.zeros(len(texts), np.uint8), texts if counts else None, counts)


class Decontamination:
    """Documents that share runs of words with an evaluation set; the reason names the set."""

    name = "decontamination"

    def __init__(self, filters: FiltersConfig, sets: dict[str, pa.Array]) -> None:
        self.index = NgramIndex(sets, filters.decontamination.ngram)
        self.allowed = filters.decontamination.max_shared_ngrams
        self.reasons = ("kept", *(f"contains_{name}" for name in sets))

    def __call__(self, texts: pa.Array, metadata: pa.Array) -> Verdict:
        """Decide on documents; where several sets are hit, the one with most runs is named."""
        del metadata
        hits = self.index.hits(texts)
        worst = hits.argmax(axis=1)
        over = hits.max(axis=1) > self.allowed
        counts = {
            f"shared_ngrams_{name}": int(n)
            for name, n in zip(self.index.names, hits.sum(axis=0), strict=True)
            if n
        }
        return Verdict(np.where(over, worst + 1, 0).astype(np.uint8), None, counts)
