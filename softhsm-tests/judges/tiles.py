"""Writes a journal's log as files of c2sp.org/tlog-tiles, as they lie in it: entries, leaf hashes, tiles, checkpoint.

Usage: tiles.py JOURNAL DIRECTORY. Nothing is computed here: whoever reads the files finds out whether they belong together.
"""

import sqlite3
import struct
import sys
from pathlib import Path

HASHES = 256


def path(index):
    """tlog-tiles, "Paths": three digits an element, all but the last after an x."""
    groups = [f"{index % 1000:03}"]
    while index >= 1000:
        index //= 1000
        groups.insert(0, f"x{index % 1000:03}")
    return "/".join(groups)


def write(directory, kind, index, width, octets):
    partial = "" if width == HASHES else f".p/{width}"
    file = directory / "tile" / kind / f"{path(index)}{partial}"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(octets)


def main():
    journal = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
    directory = Path(sys.argv[2])
    journal.execute("BEGIN")
    (size, note), = journal.execute("SELECT size, note FROM checkpoint")
    entries = journal.execute("SELECT leaf_hash, body FROM entry WHERE idx < ? ORDER BY idx", [size]).fetchall()
    for first in range(0, size, HASHES):
        some = entries[first : first + HASHES]
        bundle = b"".join(struct.pack(">H", len(body)) + body for _, body in some)
        write(directory, "entries", first // HASHES, len(some), bundle)
    hashes = [leaf_hash for leaf_hash, _ in entries]
    level = 0
    while hashes:
        full = len(hashes) // HASHES
        stored = journal.execute("SELECT hashes, root FROM tile WHERE level = ? AND idx < ? ORDER BY idx", [level, full])
        roots = []
        for index, (tile, root) in enumerate(stored):
            write(directory, str(level), index, HASHES, tile)
            roots.append(root)
        if len(roots) != full:
            sys.exit(f"{full} full tiles at level {level}, and {len(roots)} in the journal")
        if len(hashes) % HASHES:
            write(directory, str(level), full, len(hashes) % HASHES, b"".join(hashes[full * HASHES :]))
        level, hashes = level + 1, roots
    (directory / "checkpoint").write_text(note)
    print(f"{size} entries, {level} levels")


main()
