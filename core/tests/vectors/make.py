#!/usr/bin/env python3
"""Writes the hash vectors beside this script with the `xxhash` package from PyPI (the C reference implementation),
which shares no code with the Rust implementation that the vectors test.

    pip install xxhash==4.1.0 && python3 make.py

Columns hold bytes in hex. `keys.csv`: XXH3-64 of the key with Miroir's seed, and the shard for three shard counts.
`digests.csv`: XXH3-128 (seed 0) of the parts (joined by `.`), each behind its length as 64-bit little endian.
"""

import csv
import pathlib
import struct

import xxhash

SEED = 0x4D69726F69720001
HERE = pathlib.Path(__file__).parent


def pattern(length: int) -> bytes:
    """Bytes without a period that divides the hash's block sizes."""
    return bytes((7 * i + i // 251) % 256 for i in range(length))


keys = [b"", b"1", b"01", b"-5", b"18446744073709551615", b"-9223372036854775808", b"a", b"A", b"_", b"-", b"doc_1-x"]
keys += [str(i).encode() for i in range(0, 2000, 37)]
keys += [f"user-{i:08d}".encode() for i in range(0, 500, 13)]
# XXH3 takes other paths at 0, 1-3, 4-8, 9-16, 17-128, 129-240 and beyond: lengths around each boundary.
keys += [pattern(n) for n in [1, 2, 3, 4, 5, 8, 9, 15, 16, 17, 31, 32, 33, 64, 65, 96, 97, 127, 128, 129, 160, 239,
                              240, 241, 255, 256, 257, 480, 511]]
keys = list(dict.fromkeys(keys))

with open(HERE / "keys.csv", "w", newline="") as file:
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(["key", "hash", "shard_of_16", "shard_of_100", "shard_of_128"])
    for key in keys:
        value = xxhash.xxh3_64_intdigest(key, seed=SEED)
        rows.writerow([key.hex(), f"{value:016x}", value % 16, value % 100, value % 128])

digests = [[], [b""], [b"", b""], [b"a"], [b"ab", b"c"], [b"a", b"bc"], [b"POST", b"/indexes/films/documents", b"[]"],
           [pattern(240), pattern(241)], [pattern(5000), b"x", pattern(100_000)]]

with open(HERE / "digests.csv", "w", newline="") as file:
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(["parts", "digest"])
    for parts in digests:
        data = b"".join(struct.pack("<Q", len(part)) + part for part in parts)
        joined = ".".join(["parts", *(part.hex() for part in parts)])
        if sum(map(len, parts)) > 1000:
            # Long inputs are named, not written out: the test makes the same pattern.
            joined = ".".join(["patterns", *(str(len(part)) for part in parts)])
            data = b"".join(struct.pack("<Q", len(part)) + pattern(len(part)) for part in parts)
        rows.writerow([joined, f"{xxhash.xxh3_128_intdigest(data):032x}"])
