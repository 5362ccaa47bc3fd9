"""Where bytes live: a local disk, S3, or what else has a file here, behind one small interface."""

from mashbill.storage.given import local_path, path_identity, remote_files
from mashbill.storage.registry import LOCAL, open_storage, scheme_of
from mashbill.storage.storage import Storage, StoredFile

__all__ = [
    "LOCAL",
    "Storage",
    "StoredFile",
    "local_path",
    "open_storage",
    "path_identity",
    "remote_files",
    "scheme_of",
]
