"""Load a saved model into Redis and copy its index into libserving's folder. Arguments: folder, port of Redis."""

import shutil
import sys
from pathlib import Path

import libserving
from libserving.serialization import embed2redis

INDEX = "faiss_index.bin"


def main(folder: str, redis_port: str) -> None:
    """Follow LibRecommender's serving guide."""
    embed2redis(folder, host="127.0.0.1", port=int(redis_port))
    shutil.copy(Path(folder) / INDEX, Path(libserving.__file__).parent / INDEX)


if __name__ == "__main__":
    main(*sys.argv[1:])
