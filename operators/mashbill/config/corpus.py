"""Settings of ingest and deduplicate: where the text comes from and what counts as a duplicate."""

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticKnownError

from mashbill.config.section import HowItRuns, Location, Name, Section, Share

OF_A_PIPELINE = "a pipeline, which mixes domains"
"""What a config is read for that is a file: then its domains are several. A stage alone may have one."""


class Source(Section):
    """One place a domain's text comes from."""

    path: Location = Field(
        description="File, folder, glob, s3:// address, prefix or glob, or hf://id; relative paths start "
        "from the root. A folder or prefix is all that lies in it; * stays within a name, ** is any number "
        "of folders, and a path that exists as it is spelt is meant so. Names that begin with a dot or an "
        "underscore are passed over, which is told, unless they are spelt out."
    )
    format: Literal["auto", "jsonl", "parquet", "arrow", "csv", "txt", "warc", "datasets", "hub"] = Field(
        "auto",
        description="File format; auto goes by the ending of a file's name, in capitals or not and under "
        ".gz, .zst, .bz2 or .xz (.tsv is csv; a folder that save_to_disk wrote is datasets), and passes "
        "over endings that name none. Any other is held to be that of every file.",
    )
    split: str = Field("train", description="Split that is read of a dataset on the hub.")
    text_field: str = Field("text", description="Field or column that holds the text.")
    id_field: str | None = Field(
        None,
        description="Field or column that names a document, in a domain; without it the id is made from the "
        "domain, the file's path under the source's folder (or the part before a glob's first wildcard), and "
        "the row.",
    )
    prefix_ids: bool = Field(
        False,
        description="Put the file's path, as in ids that are made, before the ids of id_field: for ids that "
        "begin again in each file.",
    )
    metadata_fields: tuple[Name, ...] = Field(
        (), description="Fields or columns kept in each document's metadata, as text."
    )
    may_give_nothing: tuple[str, ...] = Field(
        (),
        description="Files, by name or pattern (*), that may give no document; any other one of which only "
        "rejected records come fails the domain, unless corpus.max_rejected_share is set and allows it.",
    )
    repair_unicode: bool = Field(False, description="Mend mistaken encodings (mojibake) with ftfy; slow.")
    max_record_bytes: int = Field(
        512_000_000, ge=1_000, description="Most bytes of a record; a larger one is rejected with its place."
    )
    license: str = Field("unknown", description="Licence of the text, kept in each document's metadata.")


class Domain(Section):
    """A named kind of text: what mixtures are made of."""

    name: Name = Field(description="Name of the domain: letters, digits, dot, dash, underscore.")
    sources: tuple[Source, ...] = Field(min_length=1, description="Where the domain's text comes from.")


class CorpusConfig(Section):
    """Named domains of training text, and reference sets that are only ever measured on."""

    domains: tuple[Domain, ...] = Field(min_length=1, description="Domains of training text.")
    references: tuple[Domain, ...] = Field(
        (),
        description="Sets of text that are never trained on: targets of the mixture and measures of ability. "
        "Documents that repeat them are kept out (see may_repeat).",
    )
    evaluations: tuple[Domain, ...] = Field(
        (), description="Evaluation sets; documents that repeat them are kept out (see may_repeat)."
    )
    may_repeat: tuple[str, ...] = Field(
        (),
        description="References and evaluation sets, by name or pattern (*), that training text may repeat. "
        "Documents that repeat any other are removed: equal ones, near duplicates (where deduplication.near "
        "finds them), and those that share a run of words (how many: filters.decontamination).",
    )
    partition_bytes: int = Field(
        64_000_000, ge=100_000, description="Text in one partition of parquet, in bytes."
    )
    max_rejected_share: Share = Field(
        0.05,
        description="Share of a domain's records, and of its text, that may be lost before ingest fails; "
        "what cannot be read of a file is estimated from what the other files hold.",
    )

    @field_validator("domains", mode="before")
    @classmethod
    def _are_several(cls, domains: Any, given: ValidationInfo) -> Any:
        if given.context != OF_A_PIPELINE or not isinstance(domains, list | tuple) or len(domains) > 1:
            return domains
        if domains:
            raise ValueError(
                "has one domain, and a mixture is made of at least two; add another, or split this one by "
                "its kinds of text"
            )
        lengths = {"field_type": "Tuple", "min_length": 2, "actual_length": 0}
        raise PydanticKnownError("too_short", lengths)

    @classmethod
    def of_names(cls, domains: Iterable[str], references: Iterable[str]) -> "CorpusConfig":
        """A corpus of which the names alone are known; as columns of a table they may be any."""
        sets = (
            tuple(Domain.model_construct(name=name, sources=()) for name in names)
            for names in (domains, references)
        )
        return cls.model_construct(domains=next(sets), references=next(sets))

    @classmethod
    def again(cls, values: Mapping[str, Any]) -> "CorpusConfig":
        """A corpus from its JSON values, also one of which the names alone were known.

        Raises:
            ValidationError: it is none.
        """
        sets = (values["domains"], values["references"])
        if any(one["sources"] for one in (*sets[0], *sets[1])):
            return cls.model_validate(values)
        return cls.of_names(*([one["name"] for one in each] for each in sets))

    @property
    def held_out(self) -> tuple[str, ...]:
        """References and evaluation sets that training text must not repeat."""
        names = (given.name for given in (*self.references, *self.evaluations))
        return tuple(n for n in names if not any(fnmatchcase(n, pattern) for pattern in self.may_repeat))

    def named_sets(self) -> Iterator[tuple[str, str]]:
        """Name of each domain, reference and evaluation set, and the setting that gives it."""
        for field in ("domains", "references", "evaluations"):
            yield from ((given.name, f"corpus.{field}[{i}]") for i, given in enumerate(getattr(self, field)))


class DeduplicationConfig(Section):
    """What counts as a duplicate. Earlier domains in the config win over later ones."""

    exact: bool = Field(True, description="Remove documents whose text is equal to an earlier one's.")
    near: bool = Field(True, description="Remove near duplicates found by MinHash.")
    ngram: int = Field(5, ge=1, le=50, description="Words in a shingle.")
    bands: int = Field(
        14,
        ge=1,
        le=256,
        description="Bands of the MinHash signature; a shared band makes two documents candidates.",
    )
    rows: int = Field(
        8, ge=1, le=64, description="Hashes in a band; similarity threshold is about (1/bands)^(1/rows)."
    )
    lines: Literal["off", "line", "paragraph"] = Field(
        "off", description="Remove lines or paragraphs that occurred before, anywhere."
    )
    min_line_bytes: int = Field(
        40, ge=1, description="Least bytes of a line or paragraph that is compared; shorter ones stay."
    )
    against: tuple[Location, ...] = Field(
        (), description="Folders of deduplicate artifacts of finished corpora, which win over this one."
    )
    max_memory_bytes: HowItRuns[int] = Field(
        1_000_000_000,
        ge=1_000,
        description="Memory for matching on each machine: hashes go to as many buckets on disk as it takes.",
    )
