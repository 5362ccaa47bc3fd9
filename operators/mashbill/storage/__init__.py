"""Where bytes live: a local disk, S3, or what else has a file here, behind one small interface."""

from mashbill.storage.checksums import sha256_of
from mashbill.storage.copies import Copies, scratch_here
from mashbill.storage.given import FoundFiles, disk_files, local_path, path_identity, remote_files, scratch_of
from mashbill.storage.keys import checked_key, copy_name, inside
from mashbill.storage.local import refuse_unwritable
from mashbill.storage.owned import held, remove_left
from mashbill.storage.patterns import Pattern
from mashbill.storage.registry import LOCAL, open_storage, scheme_of
from mashbill.storage.storage import (
    LEADS_NOWHERE,
    Storage,
    StoredFile,
    damaged,
    link,
    part_of_a_copy,
    written_whole,
)

__all__ = [
    "LEADS_NOWHERE",
    "LOCAL",
    "Copies",
    "FoundFiles",
    "Pattern",
    "Storage",
    "StoredFile",
    "checked_key",
    "copy_name",
    "damaged",
    "disk_files",
    "held",
    "inside",
    "link",
    "local_path",
    "open_storage",
    "part_of_a_copy",
    "path_identity",
    "refuse_unwritable",
    "remote_files",
    "remove_left",
    "scheme_of",
    "scratch_here",
    "scratch_of",
    "sha256_of",
    "written_whole",
]
