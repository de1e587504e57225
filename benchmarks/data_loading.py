"""How long a folder or archive takes to load: the first time (listed, decoded, kept) and every time after.

    python benchmarks/data_loading.py PATH [--image-size N] [--subset N]

Everything is kept in a temporary home, so the first load is a first load. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time

from attnlab.config import DatasetConfig
from attnlab.data import load_dataset


def timed(config: DatasetConfig) -> dict[str, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    data = load_dataset(config)
    images = len(data.train) + len(data.validation) + len(data.test)
    seconds = time.perf_counter() - wall
    return {"images": images, "seconds": round(seconds, 2), "cpu_seconds": round(time.process_time() - cpu, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path")
    parser.add_argument("--image-size", type=int)
    parser.add_argument("--subset", type=int)
    given = parser.parse_args()
    config = DatasetConfig(name=given.path, image_size=given.image_size, subset=given.subset)
    import torch  # before the clock starts

    with tempfile.TemporaryDirectory() as home:
        os.environ["ATTNLAB_HOME"] = home
        report = {"torch": torch.__version__, "cpus": os.cpu_count(), "first": timed(config), "second": timed(config)}
    report["peak_memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
