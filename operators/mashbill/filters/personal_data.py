"""Masks personal data: e-mail addresses, IPv4 addresses and telephone numbers; no document is removed."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mashbill.config.filters import PersonalDataFilter
from mashbill.filters.filter import Filter, Verdict

EMAIL = r"\b[A-Za-z0-9._%+-]+@(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,}\b"
OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
IP = rf"\b(?:{OCTET}\.){{3}}{OCTET}\b"
PHONE = (
    r"\+[0-9]{1,3}[ .-]?(?:\([0-9]{1,4}\)[ .-]?)?[0-9]{2,4}(?:[ "
    r".-]?[0-9]{2,4}){1,4}\b|\(?\b[0-9]{3}\)?[ .-][0-9]{3}[ .-][0-9]{4}\b"
)


class PersonalData(Filter):
    """Masks e-mail addresses, IPv4 addresses and telephone numbers; removes no document."""

    name, reasons = "personal_data", ("kept",)

    def __init__(self, settings: PersonalDataFilter) -> None:
        kinds = (("email", EMAIL, settings.email), ("ip", IP, settings.ip), ("phone", PHONE, settings.phone))
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
