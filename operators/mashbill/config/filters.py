"""Settings of the filter stage: which rules are applied, in which order, with the papers' thresholds as
defaults."""

from typing import Self

from pydantic import Field, field_validator, model_validator

from mashbill.config.section import Location, Section, Share


class FilterSection(Section):
    """Settings of one filter; each field of ``FiltersConfig`` that holds one is a filter, by its name."""

    def lacks(self) -> str | None:
        """The setting without which the filter cannot be applied, where it is empty."""
        return None


class LengthFilter(FilterSection):
    """Documents that are too short or too long."""

    min_characters: int = Field(200, ge=0, description="Least characters of a document.")
    max_characters: int = Field(1_000_000, ge=1, description="Most characters of a document.")


class UrlFilter(FilterSection):
    """Documents from sites on a list. The address is taken from the documents' metadata."""

    blocklist: Location | None = Field(
        None,
        description="Text file with one site a line; its subdomains are blocked too. A line may be an "
        "address (its site counts, without scheme, user, port and path), *.site, a hosts file's or an ad "
        "blocker's; names in other scripts match in either form. # begins a comment.",
    )
    field: str = Field(
        "url",
        description="Metadata field that holds the address (see a source's metadata_fields); dots lead into "
        "objects. A domain none of whose documents has it is told, and an error where no domain has it.",
    )

    def lacks(self) -> str | None:
        """The list."""
        return None if self.blocklist else "blocklist"


class LanguageFilter(FilterSection):
    """Documents that a fastText language model takes for another language."""

    classifier: Location | None = Field(None, description="fastText .bin or .ftz file of a language model.")
    labels: tuple[str, ...] = Field(
        ("__label__en",), min_length=1, description="Labels of the languages that stay."
    )
    min_probability: Share = Field(
        0.65, description="Least probability of all these labels together (FineWeb: 0.65 for one)."
    )

    def lacks(self) -> str | None:
        """The model."""
        return None if self.classifier else "classifier"


class RegexFilter(FilterSection):
    """Documents that a pattern matches (RE2 syntax)."""

    remove: tuple[str, ...] = Field((), description="Patterns whose match removes a document.")
    require: tuple[str, ...] = Field((), description="Patterns without whose match a document is removed.")

    def lacks(self) -> str | None:
        """A pattern."""
        return None if self.remove or self.require else "remove"

    @field_validator("remove", "require")
    @classmethod
    def _compiles(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            import pyarrow as pa
            import pyarrow.compute as pc

            try:
                pc.match_substring_regex(pa.array([""]), pattern)
            except pa.ArrowInvalid as error:
                raise ValueError(f"{pattern!r} is not a pattern ({error}); see RE2's syntax") from error
        return patterns


class C4Filter(FilterSection):
    """C4's rules: lines that are no prose go, then documents of which too little is left."""

    min_sentences: int = Field(5, ge=0, description="Least sentences left.")
    min_words_per_line: int = Field(3, ge=0, description="Least words of a line.")
    max_word_characters: int = Field(
        1_000, ge=1, description="Most characters of a word; a line with a longer one goes."
    )


class GopherRepetitionFilter(FilterSection):
    """Gopher's repetition rules (arXiv 2112.11446, table A1); shares are of the document's characters, unless
    said otherwise."""

    max_duplicate_paragraphs: Share = Field(
        0.3, description="Most paragraphs seen before, as a share of paragraphs."
    )
    max_duplicate_paragraph_characters: Share = Field(0.2, description="Most text in paragraphs seen before.")
    max_duplicate_lines: Share = Field(0.3, description="Most lines seen before, as a share of lines.")
    max_duplicate_line_characters: Share = Field(0.2, description="Most text in lines seen before.")
    max_top_ngrams: tuple[Share, Share, Share] = Field(
        (0.2, 0.18, 0.16), description="Most text in the commonest 2-, 3- and 4-gram."
    )
    max_duplicate_ngrams: tuple[Share, Share, Share, Share, Share, Share] = Field(
        (0.15, 0.14, 0.13, 0.12, 0.11, 0.10), description="Most text in 5- to 10-grams seen before."
    )


class GopherQualityFilter(FilterSection):
    """Gopher's quality rules (arXiv 2112.11446, appendix A.1.1)."""

    min_words: int = Field(50, ge=0, description="Least words; in scripts without blanks a character is one.")
    max_words: int = Field(100_000, ge=1, description="Most words.")
    min_mean_word_characters: float = Field(
        3, ge=0, description="Least mean length of a word, where most stand between blanks."
    )
    max_mean_word_characters: float = Field(10, gt=0, description="Most mean length of a word.")
    max_symbols_per_word: float = Field(0.1, ge=0, description="Most hash signs, and most ellipses, a word.")
    max_bullet_lines: Share = Field(0.9, description="Most lines that begin with a bullet.")
    max_ellipsis_lines: Share = Field(0.3, description="Most lines that end with an ellipsis.")
    min_alphabetic_words: Share = Field(0.8, description="Least words with a letter.")
    min_stop_words: int = Field(2, ge=0, description="Least different stop words.")
    stop_words: tuple[str, ...] = Field(
        ("the", "be", "to", "of", "and", "that", "have", "with"),
        description="The stop words; asked of text in a script of theirs alone.",
    )


class FineWebFilter(FilterSection):
    """FineWeb's extra rules (arXiv 2406.17557, section 3.6)."""

    min_lines_ending_in_punctuation: Share = Field(0.12, description="Least lines that end in punctuation.")
    max_short_lines: Share = Field(0.67, description="Most short lines.")
    short_line_characters: int = Field(30, ge=0, description="Characters of a short line.")
    max_duplicate_line_characters: Share = Field(0.01, description="Most text in lines seen before.")
    max_line_breaks_per_word: float = Field(0.3, ge=0, description="Most line breaks a word.")


class DecontaminationFilter(FilterSection):
    """Documents that share a run of words with a set that is held out.

    They are removed after the other filters in any case, in a dry run too (see corpus.may_repeat); applied by
    name, the filter has its place in the order and takes part in a dry run.
    """

    sets: tuple[str, ...] = Field(
        (),
        description="Evaluation or reference sets, for the filter applied by name; empty means all that "
        "training text may not repeat.",
    )
    ngram: int = Field(
        13,
        ge=2,
        le=64,
        description="Words in a run (GPT-3: 13); twice as many characters in scripts without blanks.",
    )
    max_shared_ngrams: int = Field(
        0, ge=0, description="Runs a document may share with a set before it is removed."
    )


class PersonalDataFilter(FilterSection):
    """Masks personal data; removes nothing."""

    email: str | None = Field(
        "<EMAIL>", description="What stands for an e-mail address; empty in TOML leaves addresses alone."
    )
    ip: str | None = Field("<IP>", description="What stands for a public IPv4 address.")
    phone: str | None = Field(
        None,
        description="What stands for a telephone number; not masked by default, as order numbers look alike.",
    )


class FiltersConfig(Section):
    """Rules that remove documents, or lines of them, in order; each removal keeps its reason."""

    apply: tuple[str, ...] = Field(
        (),
        description="Filters, by the names of their sections below, in the order they are applied; none by "
        "default.",
    )
    domains: tuple[str, ...] = Field((), description="Domains that are filtered; empty means all.")
    dry_run: bool = Field(
        False,
        description="Remove nothing by filters, but say what each would, alone and in sequence.",
    )
    samples: int = Field(5, ge=0, le=100, description="Removed documents kept as samples, by reason.")
    length: LengthFilter = Field(LengthFilter(), description="Length.")
    url: UrlFilter = Field(UrlFilter(), description="Sites.")
    language: LanguageFilter = Field(LanguageFilter(), description="Language.")
    regex: RegexFilter = Field(RegexFilter(), description="Patterns.")
    c4: C4Filter = Field(C4Filter(), description="C4.")
    gopher_repetition: GopherRepetitionFilter = Field(
        GopherRepetitionFilter(), description="Gopher's repetition rules."
    )
    gopher_quality: GopherQualityFilter = Field(GopherQualityFilter(), description="Gopher's quality rules.")
    fineweb: FineWebFilter = Field(FineWebFilter(), description="FineWeb's extra rules.")
    decontamination: DecontaminationFilter = Field(
        DecontaminationFilter(), description="References and evaluation sets."
    )
    personal_data: PersonalDataFilter = Field(PersonalDataFilter(), description="Personal data.")

    @field_validator("apply")
    @classmethod
    def _are_filters(cls, apply: tuple[str, ...]) -> tuple[str, ...]:
        known = cls.filter_names()
        for name in apply:
            if name not in known:
                raise ValueError(f"names {name!r}, which is no filter; choose among {', '.join(known)}")
        return apply

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Self:
        for name in self.apply:
            lacking = self.settings_of(name).lacks()
            if lacking:
                raise ValueError(
                    f"apply names {name}, and {name}.{lacking} is empty; set it or leave the filter out"
                )
        if len(set(self.apply)) < len(self.apply):
            raise ValueError("apply names a filter twice; name each once")
        return self

    @classmethod
    def filter_names(cls) -> tuple[str, ...]:
        """Every filter: the fields that hold the settings of one."""
        fields = cls.model_fields.items()
        return tuple(name for name, field in fields if isinstance(field.default, FilterSection))

    def settings_of(self, name: str) -> FilterSection:
        """The settings of a filter."""
        settings: FilterSection = getattr(self, name)
        return settings
