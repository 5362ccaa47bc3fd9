"""Where bytes live: local disk or S3 behind one small interface."""

from mashbill.storage.given import local_path, path_identity
from mashbill.storage.local import LocalStorage
from mashbill.storage.s3 import S3Storage
from mashbill.storage.storage import Storage, open_storage

__all__ = ["LocalStorage", "S3Storage", "Storage", "local_path", "open_storage", "path_identity"]
