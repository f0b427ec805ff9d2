"""Reads logs that come on standard input, and says on standard output what the reader makes of each.

A log is a number of files (u32), and for each of them the length of its name and that of its bytes (u32),
the name, and the bytes. The answer is a line: ok, damaged or unsupported, the number of records, a CRC-32 of
them (each as LSN, length, payload), the oldest LSN and the last one.
"""

import struct
import sys
from zlib import crc32

from tidewal_reader import Damaged, Reader, Unsupported


def take(count):
    data = sys.stdin.buffer.read(count)
    if len(data) < count:
        sys.exit(0)
    return data


def number():
    return struct.unpack("<I", take(4))[0]


while True:
    files = {}
    for _ in range(number()):
        name_len, file_len = number(), number()
        name = take(name_len).decode()
        files[name] = take(file_len)
    reader, verdict = Reader(files), "ok"
    try:
        reader.read()
    except Damaged:
        verdict = "damaged"
    except Unsupported:
        verdict = "unsupported"
    digest = 0
    for lsn, payload in reader.records:
        digest = crc32(payload, crc32(struct.pack("<QQ", lsn, len(payload)), digest))
    print(verdict, len(reader.records), digest, reader.oldest, reader.end, flush=True)
