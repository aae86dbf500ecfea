"""The text behind the tiny model: the Python standard library of the running interpreter.

Files are split by the hash of their name, so that the same file always falls on the same side.
"""

import hashlib
import sysconfig
from pathlib import Path

SKIPPED_FOLDERS = {"test", "tests", "idle_test", "site-packages", "dist-packages", "encodings", "pydoc_data", "__pycache__"}
# Generated at build time (they differ from machine to machine), or tables rather than text.
SKIPPED_PREFIXES = ("_sysconfigdata", "config-", "entities.py")
HELD_OUT_ONE_IN = 16


def _wanted(name: Path) -> bool:
    return not any(part in SKIPPED_FOLDERS or part.startswith(SKIPPED_PREFIXES) for part in name.parts)


def name_hash(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")


def load():
    """Returns (training, held_out): two dicts from file name to text, in order of name."""
    root = Path(sysconfig.get_path("stdlib"))
    training, held_out = {}, {}
    for path in sorted(root.rglob("*.py"), key=lambda p: p.relative_to(root).as_posix()):
        name = path.relative_to(root)
        if not _wanted(name):
            continue
        try:
            text = path.read_bytes().decode("utf-8")
        except UnicodeDecodeError:
            continue
        if not text.strip():
            continue
        side = held_out if name_hash(name.as_posix()) % HELD_OUT_ONE_IN == 0 else training
        side[name.as_posix()] = text
    return training, held_out


def digest(*parts) -> str:
    """A SHA-256 over names and texts, to tell whether two machines hold the same corpus."""
    total = hashlib.sha256()
    for files in parts:
        for name, text in files.items():
            total.update(f"{name}\0{len(text.encode())}\0".encode())
            total.update(text.encode())
    return total.hexdigest()
