"""A reader of tidewal logs, written from docs/format.md and nothing else.

    python3 tidewal_reader.py DIRECTORY     prints each record, and how the log ends

It needs only the standard library. It reads whole files and is not fast. The tests compare it with the crate, and
it is an example for readers in other languages.
"""

import os
import re
import struct
import sys
from zlib import crc32

try:
    import fcntl
except ImportError:  # No flock here.
    fcntl = None

DATA = 4096
HEADER = struct.Struct("<8sIIQQQQQQII")
FRAME = struct.Struct("<IIIB3sI")
HEAD_MARK = 512
STATEMENT = 1024
RESERVED = [(72, HEAD_MARK), (HEAD_MARK + 28, STATEMENT), (STATEMENT + 20, DATA)]
RECORD, PART, MARK, SEAL, LINK = range(1, 6)
LAG_UNKNOWN = 0xFFFFFF
LSN_MAX = 2**64 - 1
NAME = re.compile(r"([0-9]{20})\.wal", re.ASCII)


class Damaged(Exception):
    """Bytes are not what was written, or files are missing."""


class Unsupported(Exception):
    """A later version of the format wrote this."""


class Unfinished(Exception):
    """A restore or a backup into the directory is running or was interrupted."""


class Frame:
    def __init__(self, lsn, fields):
        self.lsn = lsn
        _, self.payload_sum, self.length, self.kind, lag, _ = fields
        self.lag = int.from_bytes(lag, "little")
        self.total = FRAME.size + self.length


class Segment:
    """A segment's file, with its header block checked ("Reading", 1)."""

    def __init__(self, base, file):
        if file is None:
            raise Damaged("the file cannot be read")
        self.file = file
        self.block = file[:DATA].ljust(DATA, b"\0")
        self.read_header()
        if self.base != base:
            raise Damaged("the base LSN is not the one in the name")
        self.read_rest_of_block()

    def check_length(self):
        if len(self.file) < self.capacity:
            raise Damaged("the file is too short")

    def read_header(self):
        magic, version, reserved_1, *fields, reserved_2, checksum = HEADER.unpack_from(self.block)
        if magic != b"tidewal\n" or checksum != crc32(self.block[:68]):
            raise Damaged("the header is damaged")
        if version != 1:
            raise Unsupported(f"version {version}")
        self.log_id, self.base, self.salt, self.capacity, self.prev_salt, self.prev_end = fields
        if reserved_1 or reserved_2 or (self.prev_salt == 0 and self.prev_end):
            raise Unsupported("a reserved byte of the header")
        if self.salt == 0 or not DATA <= self.capacity <= 2**32:
            raise Damaged("a field of the header is out of bounds")

    def read_rest_of_block(self):
        for begin, end in RESERVED:
            if any(self.block[begin:end]):
                raise Unsupported("a reserved byte of the header block")
        self.statement = self.frame_in(self.block, STATEMENT, DATA)
        if self.statement and self.statement.kind not in (MARK, SEAL, LINK):
            raise Unsupported(f"a statement of kind {self.statement.kind}")

    def is_head(self):
        mark = b"tidehead" + struct.pack("<QQ", self.base, self.salt)
        mark += struct.pack("<I", crc32(mark))
        return self.prev_salt == 0 or self.file[HEAD_MARK : HEAD_MARK + 28] == mark

    def check_joins(self, newer):
        if newer.log_id != self.log_id or newer.prev_salt != self.salt:
            raise Damaged("the next segment does not follow this one")
        if not DATA <= newer.prev_end <= self.capacity:
            raise Damaged("the next segment names an end that this one cannot have")

    def frame_at(self, offset, limit):
        """The frame at an offset, of any kind, if its check holds."""
        return self.frame_in(self.file, offset, limit)

    def frame_in(self, data, offset, limit):
        if offset + FRAME.size > limit:
            return None
        header = data[offset : offset + FRAME.size]
        fields = FRAME.unpack(header)
        low, kind, check = fields[0], fields[3], fields[5]
        origin = self.base - 1
        lsn = origin + ((low - origin) & 0xFFFFFFFF)
        if kind == 0 or lsn > LSN_MAX:
            return None
        seed = crc32(struct.pack("<I", lsn >> 32), crc32(struct.pack("<Q", self.salt)))
        return Frame(lsn, fields) if check == crc32(header[:16], seed) else None


class Reader:
    """Reads the log in some files, {name: bytes}, or None for the bytes of a segment that cannot be read.

    `records` has what is delivered, (LSN, payload), also if `read` raises; `oldest` and `end` are the
    first LSN that is kept and the last record.
    """

    def __init__(self, files):
        self.is_unfinished = "RESTORING" in files
        self.files = {int(found[1]): file for name, file in files.items() if (found := NAME.fullmatch(name))}
        self.files = {base: file for base, file in self.files.items() if 1 <= base <= LSN_MAX}
        self.records = []
        self.oldest, self.end = 1, 0

    def read(self):
        if self.is_unfinished:
            raise Unfinished("a restore or a backup is not complete")
        segments = self.chain()
        if segments:
            self.oldest = segments[0].base
        for segment, newer in zip(segments, segments[1:]):
            place = self.read_units(segment, newer.prev_end, None)
            if place != (newer.prev_end, newer.base - 1, False):
                raise Damaged("a segment is not complete")
        if segments:
            self.read_newest(segments[-1])

    def chain(self):
        """ "Reading", 1: the segments of the log, oldest first."""
        segments, bases = [], sorted(self.files)
        while bases:
            base = bases.pop()
            segment = Segment(base, self.files[base])
            segment.check_length()
            if segments:
                segment.check_joins(segments[-1])
            segments.append(segment)
            if segment.is_head():
                self.check_truncated(bases, segment.log_id)
                return segments[::-1]
        if segments:
            raise Damaged("there is no head")
        return []

    def check_truncated(self, bases, log_id):
        """A file that the log does not need is wrong only if it is a sound segment of another log."""
        for base in bases:
            try:
                segment = Segment(base, self.files[base])
            except (Damaged, Unsupported):
                continue
            if segment.log_id != log_id:
                raise Damaged("a truncated segment is of another log")

    def read_units(self, segment, limit, last):
        """ "Reading", 2. Returns where reading stopped, the last record before that, and whether that is
        inside a unit. `self.end` is the last record of the last whole unit."""
        offset, previous, unit = DATA, segment.base - 1, []
        self.end = previous
        while unit or previous != last:
            frame = segment.frame_at(offset, limit)
            if frame is None or frame.lsn != previous + 1:
                break
            if frame.kind not in (RECORD, PART):
                raise Unsupported(f"a frame of kind {frame.kind}")
            payload = segment.file[offset + FRAME.size : offset + frame.total]
            if offset + frame.total > limit or crc32(payload) != frame.payload_sum:
                break
            unit.append((frame.lsn, payload))
            offset, previous = offset + frame.total, frame.lsn
            if frame.kind == RECORD:
                self.records += unit
                self.end, unit = previous, []
        return offset, previous, bool(unit)

    def read_newest(self, segment):
        """ "Reading", 2 and 3."""
        statement = segment.statement
        ends = statement and statement.kind in (SEAL, LINK)
        stop, previous, in_unit = self.read_units(segment, segment.capacity, statement.lsn if ends else None)
        if statement and statement.lsn > self.end:
            raise Damaged("the statement names a later record")
        is_at_statement = ends and not in_unit and statement.lsn == self.end
        if is_at_statement and statement.kind == SEAL:
            return
        if not is_at_statement and self.proven_behind(segment, stop, previous + 1) > self.end:
            raise Damaged("a later frame proves a lost record")
        if statement and statement.kind == LINK:
            raise Damaged("the next segment is missing")
        if statement and statement.kind == SEAL:
            raise Damaged("the seal names another record")

    def proven_behind(self, segment, stop, expected):
        """ "Evidence": the last record that is proven durable, or 0."""
        proven = 0
        for found in re.finditer(rb"[\x01\x02]", segment.file[stop + 12 : segment.capacity]):
            offset = stop + found.start()
            frame = segment.frame_at(offset, segment.capacity)
            if frame is None or frame.lsn < expected:
                continue
            if (frame.lsn - expected) * 20 > offset - stop or offset + frame.total > segment.capacity:
                continue
            if frame.lag != LAG_UNKNOWN and 1 <= frame.lag <= frame.lsn - (segment.base - 1):
                proven = max(proven, frame.lsn - frame.lag)
        return proven


def files_of(directory):
    """The files of a log, read under its lock."""
    lock, locked = os.path.join(directory, "LOCK"), []
    for path in [directory, lock] if fcntl else []:
        if os.path.exists(path):
            locked.append(os.open(path, os.O_RDONLY))
            fcntl.flock(locked[-1], fcntl.LOCK_SH | fcntl.LOCK_NB)
    files = {}
    for name in os.listdir(directory):
        path = os.path.join(directory, name)
        files[name] = bytes_of(path) if NAME.fullmatch(name) else None
    for handle in locked:
        os.close(handle)
    return files


def bytes_of(path):
    """The bytes of a regular file. None if they cannot be read."""
    if os.path.islink(path) or not os.path.isfile(path):
        return None
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return None


def main(directory):
    reader, error = Reader(files_of(directory)), None
    try:
        reader.read()
    except (Damaged, Unsupported, Unfinished) as raised:
        error = raised
    for lsn, payload in reader.records:
        print(lsn, payload)
    if error:
        sys.exit(f"{type(error).__name__}: {error}")
    print(f"the log ends at {reader.end}")


if __name__ == "__main__":
    main(sys.argv[1])
