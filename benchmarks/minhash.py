"""MinHash deduplication with components against datatrove's four steps: read, hash, group, write what stays.

python benchmarks/minhash.py [--megabytes 20] [--repeats 3]
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.json as pj
import pyarrow.parquet as pq
from measure import compare, header, peer, sample, size_of, timed
from scorer import write_jsonl

from mashbill.config import DeduplicationConfig
from mashbill.dedup.components import first_of_component
from mashbill.dedup.minhash import band_hashes


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=float, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    documents = sample(arguments.megabytes)
    size = size_of(documents)
    header(f"MinHash, 14 bands of 8, 5-grams, {len(documents):,} documents, {size:.1f} MB; peer: datatrove")
    with tempfile.TemporaryDirectory() as name:
        source, kept = Path(name) / "documents.jsonl", []
        write_jsonl(source, documents)

        def deduplicate() -> None:
            table = pj.read_json(source, read_options=pj.ReadOptions(use_threads=False, block_size=1 << 28))
            bands = band_hashes(table["text"], DeduplicationConfig())
            stays = first_of_component(bands) == np.arange(len(table))
            pq.write_table(table.filter(pa.array(stays)), Path(name) / "kept.parquet", compression="zstd")
            kept.append(int(stays.sum()))

        ours = timed(deduplicate, arguments.repeats)
        theirs, _ = peer("minhash", documents, max(1, arguments.repeats // 2))
        compare("MinHash with components", size, len(documents), ours, theirs, 60)
        print(f"\nKept: ours {kept[-1]:,}, datatrove {theirs[0]['kept']:,} of {len(documents):,}.")


if __name__ == "__main__":
    main()
