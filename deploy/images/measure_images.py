"""Print the sizes of both images by layers, and their largest packages.

python deploy/images/measure_images.py        after: make images ENGINE=buildah
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from build_images import FOLDER, TAGS, origin_of
from image_store import ImageStore
from programs import ImageError, run, say

LARGEST = 8


def main() -> int:
    """Print a section per image."""
    store = ImageStore(FOLDER / "store")
    try:
        for image in TAGS.values():
            print("\n".join(report(store, image)), end="\n\n", flush=True)
    except ImageError as error:
        say(f"images: {error}")
        return 1
    return 0


def report(store: ImageStore, image: str) -> list[str]:
    """Lines about an image: sizes of layers, compressed and on disk, and its largest packages."""
    plain = json.loads(store.describe(image)["Manifest"])["layers"]
    packed = compressed_layers(store, image)
    rows = [f"{image}, {origin_of(store, image)}", "layer  on disk  compressed"]
    sizes = [(layer["size"], size) for layer, size in zip(plain, packed, strict=True)]
    rows += [f"{number:5}  {megabytes(a)}  {megabytes(b)}" for number, (a, b) in enumerate(sizes, start=1)]
    rows.append(f"  all  {megabytes(sum(a for a, _ in sizes))}  {megabytes(sum(b for _, b in sizes))}")
    with store.mounted(image) as root:
        (packages,) = root.glob("usr/local/lib/python3*/site-packages")
        folders = sorted(((bytes_of(path), path.name) for path in packages.iterdir()), reverse=True)
        rows += [f"{megabytes(size)}  {name}" for size, name in folders[:LARGEST]]
        rows.append(
            f"{megabytes(sum(bytes_of(path) for path in packages.rglob('__pycache__')))}  __pycache__ of all packages"
        )
    return rows


def compressed_layers(store: ImageStore, image: str) -> list[int]:
    """Bytes of each layer as gzip, the form of registries."""
    folder = FOLDER / "measured"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        run([*store.buildah, "push", "--quiet", image, f"oci:{folder}:image"])
        index = json.loads((folder / "index.json").read_bytes())
        manifest = json.loads(blob(folder, index["manifests"][0]["digest"]).read_bytes())
        return [layer["size"] for layer in manifest["layers"]]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def blob(folder: Path, digest: str) -> Path:
    """File of a blob in an OCI layout."""
    return folder / "blobs" / digest.replace(":", "/")


def bytes_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.lstat().st_size for file in files if file.is_file() and not file.is_symlink())


def megabytes(size: int) -> str:
    """Size in millions of bytes, seven characters wide."""
    return f"{size / 1e6:7,.1f}"


if __name__ == "__main__":
    sys.exit(main())
