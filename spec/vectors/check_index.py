#!/usr/bin/env python3
"""Checks index.json with nothing but Python's standard library: a second reading of docs/LEDGER.md, "The index".

It builds the index from its digests alone, then reads every answer, checks that it leads to the same root and that it names
the records it should. Then it bends each answer, byte by byte, and checks that none of that is believed.
"""
import json
import pathlib
from hashlib import sha256

BUCKET, LISTED, BITS = 32, 16, 64


def tagged(domain, *parts):
    return sha256(domain.encode() + b"\0" + b"".join(parts)).digest()


EMPTY = tagged("birthmark/index/empty/v1")


def varint(number):
    out = b""
    while number >= 128:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def put_positions(positions):
    if len(positions) == 1:
        return varint(2 * positions[0])
    out = varint(2 * len(positions) + 1)
    if len(positions) > LISTED:
        numbers = b"".join(position.to_bytes(8, "big") for position in positions)
        return out + tagged("birthmark/index/positions/v1", numbers)
    before = -1
    for position in positions:
        out, before = out + varint(position - before - 1), position
    return out


def bucket_hash(entries):
    return tagged("birthmark/index/bucket/v1", *(key + places for key, places in entries))


def bit(key, depth):
    return key[depth // 8] >> 7 - depth % 8 & 1


def root_of(keys, depth=0):
    """The root over sorted pairs of a key and its encoded positions."""
    if not keys:
        return EMPTY
    if len(keys) <= BUCKET:
        return bucket_hash(keys)
    halves = [[entry for entry in keys if bit(entry[0], depth) == side] for side in (0, 1)]
    return tagged("birthmark/index/node/v1", *(root_of(half, depth + 1) for half in halves))


class Answer:
    """An answer about a range: what stands in it, and the root it leads to."""

    def __init__(self, data):
        self.data, self.at, self.found = data, 0, {}
        assert self.byte() == 1, "another version"
        self.width = self.byte()
        assert self.width <= BITS, "too many bits"
        whole = self.take((self.width + 7) // 8).ljust(8, b"\0")
        self.prefix = "".join(str(bit(whole, depth)) for depth in range(self.width))
        assert not any(bit(whole, depth) for depth in range(self.width, BITS)), "bits behind the prefix"
        depth = self.byte()
        assert depth <= self.width, "the way down is too long"
        siblings = [self.take(32) for _ in range(depth)]
        root, is_node = self.part(self.prefix[:depth])
        assert depth == self.width or not is_node, "the way down ends early"
        for side, sibling in reversed(list(zip(self.prefix, siblings))):
            halves = (sibling, root) if side == "1" else (root, sibling)
            root = tagged("birthmark/index/node/v1", *halves)
        assert self.at == len(data), "something follows"
        self.root = root

    def byte(self):
        return self.take(1)[0]

    def take(self, count):
        assert self.at + count <= len(self.data), "too short"
        self.at += count
        return self.data[self.at - count:self.at]

    def varint(self):
        value, shift = 0, 0
        while True:
            byte = self.byte()
            value, shift = value | (byte & 127) << shift, shift + 7
            if byte < 128:
                assert byte or shift == 7, "not the shortest form"
                return value

    def part(self, place):
        kind = self.byte()
        if kind == 0:
            return EMPTY, False
        if kind == 255:
            assert len(place) < BITS, "too deep"
            before = len(self.found)
            halves = [self.part(place + side)[0] for side in "01"]
            assert len(self.found) - before > BUCKET, "one bucket would do"
            return tagged("birthmark/index/node/v1", *halves), True
        assert kind <= BUCKET, "no kind of part"
        entries = [self.entry(place) for _ in range(kind)]
        keys = [key for key, _ in entries]
        assert keys == sorted(set(keys)), "out of order"
        return bucket_hash(entries), False

    def entry(self, place):
        known = len(place) // 8
        key = bytes(int(place[8 * at:8 * at + 8], 2) for at in range(known)) + self.take(8 - known)
        assert all(str(bit(key, depth)) == side for depth, side in enumerate(place)), "misplaced"
        start = self.at
        self.found[key] = self.positions()
        return key, self.data[start:self.at]

    def positions(self):
        first = self.varint()
        count = first >> 1
        if not first & 1:
            return [count]
        if count > LISTED:
            return count, self.take(32)
        assert count > 1, "one position has a shorter form"
        positions = []
        for _ in range(count):
            positions.append((positions[-1] if positions else -1) + 1 + self.varint())
        return positions


def check(vectors):
    assert EMPTY.hex() == vectors["empty_root"]
    records = {}
    for digest, position in vectors["digests"]:
        records.setdefault(bytes.fromhex(digest)[:8], set()).add(position)
    keys = [(key, put_positions(sorted(records[key]))) for key in sorted(records)]
    root = root_of(keys)
    assert root.hex() == vectors["root"], "another root"
    for case in vectors["answers"]:
        data, key = bytes.fromhex(case["answer"]), bytes.fromhex(case["asked"])[:8]
        answer = Answer(data)
        assert answer.root == root and answer.prefix == case["prefix"].replace("all", ""), "another answer"
        found, expected = answer.found.get(key, []), sorted(records.get(key, ()))
        assert case["positions"] == expected, "other records"
        if isinstance(found, tuple):
            assert put_positions(expected) == varint(2 * found[0] + 1) + found[1], "other records"
        else:
            assert found == expected, "other records"
        for at in range(len(data)):
            bent = data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1:]
            try:
                other = Answer(bent)
            except AssertionError:
                continue
            assert other.root != root or other.prefix != answer.prefix, f"a bent byte {at} is believed"


if __name__ == "__main__":
    check(json.loads((pathlib.Path(__file__).parent / "index.json").read_text()))
    print("verified")
