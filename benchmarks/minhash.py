"""MinHash deduplication with components against datatrove's four steps: read, hash, group, write what stays.

python benchmarks/minhash.py [--megabytes 30] [--repeats 3]
"""

import argparse
import shutil
import tempfile
from pathlib import Path

from measure import COLUMNS, compare, peer, sample, size_of, timed, write_jsonl
from page import Page

from mashbill.artifacts import Artifact
from mashbill.config import load_config
from mashbill.stages import job_of, stages_up_to

CONFIG = """
artifacts = "artifacts"
[corpus]
domains = [
  { name = "all", sources = [{ path = "documents.jsonl", id_field = "id" }] },
  { name = "other", sources = [{ path = "other.jsonl" }] },
]
[deduplication]
exact = false
"""


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=float, default=30)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    documents = sample(arguments.megabytes)
    size = size_of(documents)
    page = Page(
        "minhash",
        f"MinHash, 14 bands of 8, 5-grams, {len(documents):,} documents, {size:.1f} MB; peer: datatrove",
    )
    page.table(COLUMNS)
    with tempfile.TemporaryDirectory() as name:
        folder, kept = Path(name), []
        write_jsonl(folder / "documents.jsonl", documents)
        write_jsonl(
            folder / "other.jsonl",
            [{"id": "other", "text": "One more domain, as a corpus has at least two.", "domain": "other"}],
        )
        (folder / "config.toml").write_text(CONFIG)
        config = load_config(folder / "config.toml")

        def deduplicate() -> None:
            shutil.rmtree(folder / "artifacts", ignore_errors=True)
            done: dict[str, Artifact] = {}
            for stage in stages_up_to("deduplicate"):
                done[stage.name] = job_of(stage, config, done).run()
            kept.append(done["deduplicate"].manifest.counts["documents_out"] - 1)

        ours = timed(deduplicate, arguments.repeats)
        theirs, ids = peer("minhash", documents, arguments.repeats)
        sizes = (size, len(documents))
        compare(page, "MinHash with components", sizes, ours=ours, theirs=theirs, target=60)
        page.say(
            f"Both write parquet (zstd). Kept: ours {kept[-1]:,}, datatrove {len(ids):,} of "
            f"{len(documents):,}."
        )
        page.save()


if __name__ == "__main__":
    main()
