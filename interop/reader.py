#!/usr/bin/env python3
"""Reads the logs of a data directory as docs/formats.md describes them, and checks them.

Written from that page alone: it shares no code with indelible, and what it cannot know
from the page is a mistake in the page. It needs a directory that no server writes to.

    reader.py DATA LOG VKEY      (VKEY as text, or a file with it)

    reader.py vkey SECRET        (the file of a secret key)

Prints the vkey, or one line of JSON: how many records there are and their root, or what is wrong.
"""

import base64
import hashlib
import json
import re
import struct
import sys
from pathlib import Path

import zstandard
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SECTOR = 512
BUNDLE = 256
SEGMENT = 65_536
FEATURES = {"frame/2", "segment/2", "keys/2"}


class Wrong(Exception):
    """What does not hold."""


def need(holds, problem):
    if not holds:
        raise Wrong(problem)


# --- checksums and hashes -------------------------------------------------------------

CRC_TABLE = []
for value in range(256):
    for _ in range(8):
        value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
    CRC_TABLE.append(value)


def crc32c(data):
    table, crc = CRC_TABLE, 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


ZEROS = bytes(SECTOR)
ZEROS_CRC = crc32c(ZEROS)


def sector_crc(sector):
    return ZEROS_CRC if sector == ZEROS else crc32c(sector)


def sha256(data):
    return hashlib.sha256(data).digest()


def leaf_hash(record):
    return sha256(b"\x00" + record)


def node_hash(left, right):
    return sha256(b"\x01" + left + right)


class Tree:
    """The roots of perfect subtrees, largest first, and the root at some sizes."""

    def __init__(self):
        self.size, self.peaks, self.roots = 0, [], {0: sha256(b"")}

    def push(self, node, leaves=1):
        self.size += leaves
        while self.peaks and self.peaks[-1][1] == leaves:
            node, leaves = node_hash(self.peaks.pop()[0], node), leaves * 2
        self.peaks.append((node, leaves))

    def root(self):
        if not self.peaks:
            return sha256(b"")
        root = self.peaks[-1][0]
        for node, _ in reversed(self.peaks[:-1]):
            root = node_hash(node, root)
        return root


def fold(row):
    while len(row) > 1:
        row = [node_hash(row[n], row[n + 1]) for n in range(0, len(row), 2)]
    return row[0]


def entries(bundle):
    found, at = [], 0
    while at < len(bundle):
        need(at + 2 <= len(bundle), "a bundle ends inside a length")
        (length,) = struct.unpack_from(">H", bundle, at)
        need(at + 2 + length <= len(bundle), "a bundle ends inside a record")
        found.append(bundle[at + 2 : at + 2 + length])
        at += 2 + length
    return found


# --- notes and keys -------------------------------------------------------------------


def unbase64(text):
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise Wrong(f"not base64: {text[:60]!r}") from error
    need(base64.b64encode(data).decode() == text, f"not the one base64: {text[:60]!r}")
    return data


def hash_of(text):
    data = unbase64(text)
    need(len(data) == 32, "not a hash")
    return data


def number(text):
    need(re.fullmatch("0|[1-9][0-9]*", text), f"not a number: {text[:60]!r}")
    return int(text)


def signed_number(text):
    return -number(text[1:]) if text.startswith("-") and text != "-0" else number(text)


class Key:
    def __init__(self, vkey):
        parts = vkey.split("+", 2)
        need(len(parts) == 3, "not a vkey")
        self.vkey, self.name = vkey, parts[0]
        typed = unbase64(parts[2])
        need(len(typed) == 33 and typed[0] == 1, "not an Ed25519 key")
        self.id = sha256(self.name.encode() + b"\n" + typed)[:4]
        need(parts[1] == self.id.hex(), "the id in the vkey is not the key's")
        self.public = Ed25519PublicKey.from_public_bytes(typed[1:])

    def __eq__(self, other):
        return self.vkey == other.vkey

    def verifies(self, text, signature):
        try:
            self.public.verify(signature, text.encode())
            return True
        except InvalidSignature:
            return False


class Note:
    def __init__(self, data):
        try:
            whole = data.decode()
        except UnicodeDecodeError as error:
            raise Wrong("a note is not UTF-8") from error
        text, blank, lines = whole.rpartition("\n\n")
        need(blank and lines.endswith("\n"), "not a note")
        self.text, self.lines = text + "\n", []
        for line in lines[:-1].split("\n"):
            match = re.fullmatch("— ([^ +]+) ([^ ]+)", line)
            need(match, "not a signature line")
            self.lines.append((match[1], unbase64(match[2])))
        # Written in the one way: every byte has been accounted for.

    def signers(self, keys):
        """The keys that signed; a wrong signature by one of them is an error."""
        found = []
        for name, blob in self.lines:
            for key in keys:
                if (name, blob[:4]) == (key.name, key.id):
                    need(key.verifies(self.text, blob[4:]), f"a signature by {name} is wrong")
                    found.append(key)
        return found

    def fields(self, *names):
        """The values of a text that has exactly these lines after its first two."""
        lines = self.text[:-1].split("\n")
        need(len(lines) == 2 + len(names), f"not a {lines[0]}")
        values = []
        for line, name in zip(lines[2:], names):
            need(line.startswith(name + " "), f"{lines[0]} has no {name}")
            values.append(line[len(name) + 1 :])
        return values

    def is_a(self, version, origin):
        lines = self.text.split("\n")
        need(lines[:2] == [version, origin], f"not a {version} of {origin}")


class Line:
    """The keys of a log, and what each may sign."""

    def __init__(self, folder, trusted):
        self.origin, self.keys, self.announced, self.vouched = trusted.name, [], [], []
        paths = sorted((folder / "announcements").glob("*"))
        for n, path in enumerate(paths, 2):
            need(path.name == f"{n:04}", f"announcement {n:04} is missing")
            note = Note(path.read_bytes())
            note.is_a("indelible-key/v2", self.origin)
            previous, key, size, root, _ = note.fields("previous", "key", "size", "root", "overlap")
            previous, key, size = Key(previous), Key(key), number(size)
            need(previous.name == key.name == self.origin, "a key of another log")
            signers = note.signers([previous, key])
            need(len(note.lines) == 2 and len(signers) == 2, f"{path.name} is not signed by both")
            need(signers[0] != signers[1], f"{path.name} is signed by one key twice")
            self.keys = self.keys or [previous]
            need(previous == self.keys[-1], f"{path.name} does not continue the line")
            need(key not in self.keys, f"{path.name} announces a key that was there before")
            need(not self.announced or size >= self.announced[-1], f"{path.name} goes back")
            self.keys.append(key)
            self.announced.append(size)
            self.vouched.append((f"announcements/{path.name}", size, hash_of(root)))
        self.keys = self.keys or [trusted]
        need(trusted in self.keys, "the announcements do not have the trusted key")
        for path in sorted((folder / "retired").glob("*")):
            self.read_end(path)

    def read_end(self, path):
        note = Note(path.read_bytes())
        note.is_a("indelible-key-end/v1", self.origin)
        key, size, root = note.fields("key", "size", "root")
        need(Key(key) in self.keys, "the end of a key that is not there")
        at = self.keys.index(Key(key))
        need(path.name == f"{at + 1:04}", f"retired/{path.name} is of key {at + 1}")
        later = note.signers(self.keys[at + 1 :])
        need(later and len(later) == len(note.lines), "an end that later keys did not sign")
        need(number(size) >= self.announced[at], "a key ended before it was replaced")
        self.vouched.append((f"retired/{path.name}", number(size), hash_of(root)))

    def check(self, note, size):
        """The rule: by the key in charge of the size, or a later one."""
        signers = note.signers(self.keys)
        counts = [
            key
            for key, until in zip(self.keys, self.announced + [None])
            if key in signers and (until is None or size <= until)
        ]
        need(counts, f"no key that counts for {size} records signed")

    def checkpoint(self, data):
        note = Note(data)
        lines = note.text[:-1].split("\n")
        need(len(lines) >= 3 and lines[0] == self.origin, "not a checkpoint of this log")
        size = number(lines[1])
        self.check(note, size)
        return size, hash_of(lines[2])


# --- segments -------------------------------------------------------------------------


class Segment:
    def __init__(self, path, n, line):
        data = path.read_bytes()
        need(len(data) >= 120 and data[:8] == b"INDSEG2\n", "not a segment")
        need(struct.unpack_from("<Q", data, 8) == (n,), "the header has another number")
        trailer = data[-104:]
        fields = struct.unpack("<Q32sqqQQIIIQI8s", trailer)
        of, self.root, earliest, latest, self.bytes, at, length, crc, flags, key, own, magic = fields
        need(magic == b"INDSEG2\n" and own == crc32c(trailer[:92]), "the trailer is damaged")
        need(of == n, "the trailer has another number")
        need((flags, key) == (1, 0), "a kind of segment that this reader does not know")
        footer = data[at:-104]
        need(at + length + 104 == len(data), "the footer is not before the trailer")
        need(crc == crc32c(footer), "the footer is damaged")
        self.data, self.bundles = data, [struct.unpack_from("<QIII", footer, 20 * n) for n in range(256)]
        self.roots = [footer[5120 + 32 * n : 5152 + 32 * n] for n in range(256)]
        need(fold(self.roots) == self.root, "the bundle roots do not lead to the segment root")
        notes, place = [], 5120 + 256 * 32
        for _ in range(2):
            need(place + 4 <= len(footer), "the footer is too short")
            (size,) = struct.unpack_from("<I", footer, place)
            notes.append(footer[place + 4 : place + 4 + size])
            place += 4 + size
        need(place == len(footer), "the footer has another length")
        self.checkpoint = line.checkpoint(notes[0])
        need(self.checkpoint[0] >= SEGMENT * (n + 1), "its checkpoint does not cover it")
        statement = Note(notes[1])
        statement.is_a("indelible-segment/v2", line.origin)
        line.check(statement, SEGMENT * (n + 1))
        names = "segment", "root", "times", "bytes", "codec", "key", "commit"
        number_, root, times, size, codec, key, commit = statement.fields(*names)
        said = number(number_), hash_of(root), times, number(size), codec, key
        want = n, self.root, f"{earliest} {latest}", self.bytes, "zstd", "none"
        need(said == want, "the trailer is not what was signed")
        commit = commit.split(" ")
        need(len(commit) == 4, "the statement names no commit")
        self.commit = number(commit[0]), number(commit[1]), number(commit[2]), hash_of(commit[3])
        need(self.commit[2] == self.checkpoint[0], "its checkpoint is of another commit")
        self.footer_at = at

    def records(self):
        """The records, bundle by bundle, with the bundle's root checked."""
        at, total = 16, 0
        for (offset, packed, raw, crc), root in zip(self.bundles, self.roots):
            need(offset == at, "the bundles do not follow each other")
            data = self.data[offset : offset + packed]
            need(len(data) == packed and crc == crc32c(data), f"the bundle at {at} is damaged")
            need(data[:4] == b"\x28\xb5\x2f\xfd", f"the bundle at {at} is not a zstd frame")
            unpacker = zstandard.ZstdDecompressor().decompressobj()
            try:
                bundle = unpacker.decompress(data)
            except zstandard.ZstdError as error:
                raise Wrong(f"the bundle at {at}: {error}") from error
            need(unpacker.eof and not unpacker.unused_data, f"more than a frame at {at}")
            need(len(bundle) == raw, f"the bundle at {at} has another length")
            found = entries(bundle)
            need(len(found) == BUNDLE, f"the bundle at {at} has another number of records")
            need(fold([leaf_hash(r) for r in found]) == root, f"the bundle at {at} is altered")
            total += raw - 2 * BUNDLE
            yield found
            at += packed
        need(at == self.footer_at, "there are bytes between bundles and footer")
        need(total == self.bytes, "the trailer has another number of bytes")


# --- journals -------------------------------------------------------------------------


class Frame:
    """The frame at an offset of a journal; `end` is None where there is none."""

    def __init__(self, data, at):
        self.end = None
        first = data[at : at + SECTOR]
        if not any(first) and not data[at:].strip(b"\0"):
            return
        need(len(first) == SECTOR, "bytes after the last frame")
        crc = struct.unpack_from("<I", first, 120)[0]
        if first[:8] != b"INDFRM2\n" or crc != crc32c(first[:120] + first[124:]):
            torn = first == ZEROS and not any(
                data[place : place + 8] == b"INDFRM2\n" for place in range(at, len(data), SECTOR)
            )
            raise Wrong("an incomplete frame" if torn else "no frame where one was written")
        fields = struct.unpack_from("<QQQqIIII32s32s", first, 8)
        self.first, self.number, self.epoch, self.time, self.count = fields[:5]
        flags, records, note, self.previous, self.root = fields[5:]
        need(flags == 0, "a kind of frame that this reader does not know")
        self.header = sha256(first[:120])
        body = records + note
        if body <= 97 * SECTOR:
            tables = 0
            checked = max(0, -((SECTOR - 124 - body) // 508))
            body_at = 124 + 4 * checked
        else:
            checked = -(-body // SECTOR)
            tables = -(-(checked - 97) // 127)
            body_at = SECTOR * (1 + tables)
        length = SECTOR * (1 + tables + checked)
        data = data[at : at + length]
        need(len(data) == length, "a frame is longer than its journal")
        places = [124 + 4 * n for n in range(97)]
        for table in range(1, 1 + tables):
            sector = data[SECTOR * table : SECTOR * (table + 1)]
            need(struct.unpack_from("<I", sector, 508)[0] == crc32c(sector[:508]), "a table is damaged")
            places += [SECTOR * table + 4 * n for n in range(127)]
        for n in range(checked):
            start = SECTOR * (1 + tables + n)
            crc = struct.unpack_from("<I", data, places[n])[0]
            need(crc == sector_crc(data[start : start + SECTOR]), f"sector {n} behind the table is damaged or missing")
        if tables:
            need(not any(b for place in places[checked:] for b in data[place : place + 4]), "an unused place is not 0")
        need(not any(data[body_at + body :]), "padding is not zero")
        self.records = entries(data[body_at : body_at + records])
        self.note = data[body_at + records : body_at + body]
        need(self.count >= 1 and len(self.records) == self.count, "a frame has another number of records")
        self.last = self.first + self.count
        self.end = at + length

    def link(self):
        return self.number, self.epoch, self.last, self.header


def check_follows(frame, before, named, sealed):
    """Whether a frame continues the row of frames."""
    if before is None:
        need(frame.first <= sealed, f"records from {sealed} on are missing")
        if frame.number == 0:
            need(frame.first == 0 and frame.previous == bytes(32), "not the first frame")
        else:
            need(frame.first > 0, "not the first commit, but with the first record")
    else:
        need(frame.epoch >= before.epoch, "a frame of an earlier writer")
        if frame.number == before.number + 1:
            need(frame.first == before.last, f"records from {before.last} on are missing")
            need(frame.previous == before.header, "a frame does not name the one before it")
        else:
            need(frame.number > before.number and frame.first > before.last, "frames out of order")
            need(frame.first <= sealed, f"records from {before.last} on are missing")
    if frame.number in named:
        need(named[frame.number] == frame.link(), "a frame is not the one that a segment names")
    if frame.number - 1 in named:
        _, _, end, header = named[frame.number - 1]
        need((frame.first, frame.previous) == (end, header), "a frame does not follow the one that a segment names")


# --- a log ----------------------------------------------------------------------------


class Log:
    def __init__(self, data, name, trusted):
        self.folder = Path(data) / "logs" / name
        site = (Path(data) / "site").read_text()
        need(site.endswith("\n") and f"{site[:-1]}/{name}" == trusted.name, "a key of another log")
        self.line = Line(self.folder, trusted)
        origin = self.line.origin
        manifest = Note((self.folder / "log").read_bytes())
        manifest.is_a("indelible-log/v1", origin)
        need(manifest.signers(self.line.keys[:1]), "the manifest is not signed by the first key")
        self.kind, _ = manifest.fields("kind", "created")
        need(self.kind in ("events", "raw"), "an unknown kind of log")
        self.check_features()
        self.tree, self.leaves, self.attachments = Tree(), [], {}

    def check_features(self):
        path = self.folder / "features"
        need(path.exists(), "the list of features is missing")
        note = Note(path.read_bytes())
        note.is_a("indelible-features/v1", self.line.origin)
        need(note.signers(self.line.keys), "the features are not signed")
        for line in note.text[:-1].split("\n")[2:]:
            need(line.startswith("requires "), "not a list of features")
            need(line[9:] in FEATURES, f"this reader does not know {line[9:]!r}")

    def numbered(self, folder, suffix):
        for path in sorted((self.folder / folder).glob("*")):
            need(re.fullmatch(r"[0-9]{10}\." + suffix, path.name), f"{path.name} is no {suffix}")
            yield int(path.stem), path

    def add(self, record):
        self.leaves.append(leaf_hash(record))
        self.tree.push(self.leaves[-1])
        if self.tree.size in self.wanted:
            self.tree.roots[self.tree.size] = self.tree.root()
        if self.kind == "events" and b',"attachment":{' in record:
            found = json.loads(record)
            if "data" not in found and "attachment" in found:
                self.attachments[found["attachment"]["sha256"]] = found["attachment"]["size"]

    def read(self):
        segments = []
        for n, path in self.numbered("segments", "segment"):
            need(n == len(segments), f"segment {len(segments)} is missing")
            segments.append(Segment(path, n, self.line))
        journals = [path.read_bytes() for _, path in self.numbered("journal", "journal")]
        vouched = list(self.line.vouched)
        vouched += [(f"segment {n}", *segment.checkpoint) for n, segment in enumerate(segments)]
        sealed = SEGMENT * len(segments)
        # Frames first, so that it is known of which sizes the root is asked for.
        frames, before = [], None
        named = {segment.commit[0]: segment.commit for segment in segments}
        for journal in journals:
            at = 0
            while (frame := Frame(journal, at)).end is not None:
                check_follows(frame, before, named, sealed)
                if frame.note:
                    vouched.append((f"the frame of {frame.first}", *self.line.checkpoint(frame.note)))
                    need(vouched[-1][1:] == (frame.last, frame.root), "a checkpoint is not its frame's")
                else:
                    vouched.append((f"the frame of {frame.first}", frame.last, frame.root))
                frames.append(frame)
                before, at = frame, frame.end
        need(before is None or before.note, "the last frame is not signed")
        self.wanted = {size for _, size, _ in vouched}
        for segment in segments:
            for bundle in segment.records():
                for record in bundle:
                    self.add(record)
        for frame in frames:
            # Records that are sealed already must be the same ones.
            for index, record in enumerate(frame.records, frame.first):
                if index == self.tree.size:
                    self.add(record)
                need(leaf_hash(record) == self.leaves[index], f"record {index} is another in its frame")
        for where, size, root in vouched:
            need(size <= self.tree.size, f"{where} knows of {size} records, there are {self.tree.size}")
            need(self.tree.roots[size] == root, f"{where} has another root of {size} records")
        signed = [size for where, size, _ in vouched if "segment" in where or "frame" in where]
        need(not self.tree.size or max(signed) == self.tree.size, "the last records are not signed")
        self.check_attachments()

    def check_attachments(self):
        for name, size in self.attachments.items():
            need(re.fullmatch("[0-9a-f]{64}", name), "not the name of an attachment")
            path = self.folder / "attachments" / name[:2] / name
            need(path.exists(), f"attachment {name} is missing")
            need(path.stat().st_size == size, f"attachment {name} has another size")
        for path in (self.folder / "attachments").glob("*/*"):
            whole = sha256(path.read_bytes()).hex() == path.name and path.parent.name == path.name[:2]
            need(whole, f"attachment {path.name} is altered")


def vkey_of(secret):
    """The vkey of a secret key's file."""
    text = Path(secret).read_text()
    need(text.startswith("PRIVATE+KEY+") and text.endswith("\n"), "not a secret key")
    name, key_id, typed = text[12:-1].split("+", 2)
    seed = unbase64(typed)
    need(len(seed) == 33 and seed[0] == 1, "not an Ed25519 key")
    public = Ed25519PrivateKey.from_private_bytes(seed[1:]).public_key().public_bytes_raw()
    vkey = f"{name}+{key_id}+{base64.b64encode(bytes([1]) + public).decode()}"
    return Key(vkey).vkey


def main():
    if sys.argv[1] == "vkey":
        print(vkey_of(sys.argv[2]))
        return 0
    data, name, vkey = sys.argv[1:]
    try:
        path = Path(vkey)
        key = Key((path.read_text() if path.is_file() else vkey).strip())
        log = Log(data, name, key)
        log.read()
        root = base64.b64encode(log.tree.root()).decode()
        said = {"verdict": "holds", "records": log.tree.size, "root": root}
        said |= {"keys": len(log.line.keys), "attachments": len(log.attachments)}
    except (Wrong, OSError, ValueError) as error:
        said = {"verdict": "does not hold", "problem": str(error)}
    print(json.dumps(said))
    return 0 if said["verdict"] == "holds" else 1


if __name__ == "__main__":
    sys.exit(main())
