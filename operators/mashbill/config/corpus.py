"""Settings of ingest and deduplicate: where the text comes from and what counts as a duplicate."""

from typing import Literal, Self

from pydantic import Field, model_validator

from mashbill.config.section import Location, Name, Section, Share


class Source(Section):
    """One place a domain's text comes from."""

    path: Location = Field(
        description="File, folder, glob, s3:// address, prefix or glob, or hf://id; relative paths start "
        "from the root."
    )
    format: Literal["auto", "jsonl", "parquet", "arrow", "csv", "txt", "warc", "datasets", "hub"] = Field(
        "auto",
        description="File format; auto goes by the file name's ending (a folder with dataset_info.json is "
        "datasets).",
    )
    split: str = Field("train", description="Split that is read of a dataset on the hub.")
    text_field: str = Field("text", description="Field or column that holds the text.")
    id_field: str | None = Field(
        None,
        description="Field or column that names a document; without it the id is made from file name and "
        "row.",
    )
    metadata_fields: tuple[Name, ...] = Field(
        (), description="Fields or columns kept in each document's metadata, as text."
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

    domains: tuple[Domain, ...] = Field(min_length=2, description="Domains of training text.")
    references: tuple[Domain, ...] = Field(
        (),
        description="Sets of text that are never trained on: targets of the mixture and measures of ability.",
    )
    evaluations: tuple[Domain, ...] = Field(
        (), description="Evaluation sets that training text must not contain (see filters.decontamination)."
    )
    partition_bytes: int = Field(
        64_000_000, ge=100_000, description="Text in one partition of parquet, in bytes."
    )
    max_rejected_share: Share = Field(
        0.05, description="Share of a domain's records that may be rejected before ingest fails."
    )

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [d.name for d in (*self.domains, *self.references, *self.evaluations)]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise ValueError(
                f"the name {twice[0]!r} is used twice; domains, references and evaluations share one set "
                "of names"
            )
        return self


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
    max_memory_bytes: int = Field(
        4_000_000_000,
        ge=1_000,
        description="Memory for matching on each machine: hashes go to as many buckets on disk as it takes.",
    )
