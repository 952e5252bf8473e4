#!/usr/bin/env python3
"""Checks ledger.json with nothing but Python's standard library: a second reading of docs/LEDGER.md.

It verifies the receipt from the genesis alone, then unpacks the transaction and checks the cosigned checkpoint. With a
path, it checks that receipt (a file that ends in .birthmark) against the genesis given second (JSON):
check_ledger.py RECEIPT GENESIS. docs/VERIFYING.md says what a receipt is made of.
"""
import base64
import json
import pathlib
import struct
import sys
from hashlib import sha256, sha512


def tagged(domain, data):
    return sha256(domain.encode() + b"\0" + data).digest()


# P-256: y² = x³ − 3x + b
P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
G = (0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
     0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5)


def add(p, q):
    if p is None or q is None:
        return p or q
    if p[0] == q[0] and (p[1] + q[1]) % P == 0:
        return None
    slope = (3 * p[0] ** 2 - 3) * pow(2 * p[1], -1, P) if p == q else (q[1] - p[1]) * pow(q[0] - p[0], -1, P)
    x = (slope * slope - p[0] - q[0]) % P
    return x, (slope * (p[0] - x) - p[1]) % P


def times(k, p):
    total = None
    while k:
        total, p, k = add(total, p) if k & 1 else total, add(p, p), k >> 1
    return total


def verify_p256(point, message, signature):
    x = int.from_bytes(point[1:], "big")
    y = pow(x ** 3 - 3 * x + B, (P + 1) // 4, P)
    y = y if y & 1 == point[0] & 1 else P - y
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    assert 0 < r < N and 0 < s <= N // 2, "s is not in its low form"
    digest, inverse = int.from_bytes(sha256(message).digest(), "big"), pow(s, -1, N)
    found = add(times(digest * inverse % N, G), times(r * inverse % N, (x, y)))
    assert found and found[0] % N == r, "a P-256 signature does not hold"


# Ed25519: −x² + y² = 1 + d·x²·y²
Q = 2 ** 255 - 19
D = -121665 * pow(121666, -1, Q) % Q
L = 2 ** 252 + 27742317777372353535851937790883648493


def ed_point(data):
    y = int.from_bytes(data, "little") & (1 << 255) - 1
    square = (y * y - 1) * pow(D * y * y + 1, -1, Q) % Q
    x = pow(square, (Q + 3) // 8, Q)
    x = x if (x * x - square) % Q == 0 else x * pow(2, (Q - 1) // 4, Q) % Q
    return (x if x & 1 == data[31] >> 7 else Q - x), y


def ed_add(p, q):
    k = D * p[0] * q[0] * p[1] * q[1] % Q
    x = (p[0] * q[1] + p[1] * q[0]) * pow(1 + k, -1, Q) % Q
    return x, (p[1] * q[1] + p[0] * q[0]) * pow(1 - k, -1, Q) % Q


def ed_times(k, p):
    total = (0, 1)
    while k:
        total, p, k = ed_add(total, p) if k & 1 else total, ed_add(p, p), k >> 1
    return total


def verify_ed25519(key, message, signature):
    base = ed_point((4 * pow(5, -1, Q) % Q).to_bytes(32, "little"))
    k = int.from_bytes(sha512(signature[:32] + key + message).digest(), "little") % L
    left = ed_times(int.from_bytes(signature[32:], "little"), base)
    assert left == ed_add(ed_point(signature[:32]), ed_times(k, ed_point(key))), "an Ed25519 signature does not hold"


def short(text):
    return bytes([len(text.encode())]) + text.encode()


def optional(text):
    return b"\1" + bytes.fromhex(text) if text else b"\0"


def validator_id(validator):
    return tagged("birthmark/validator/v1", bytes.fromhex(validator["vote_key"]))


def encode_set(validators):
    ordered = sorted(validators, key=validator_id)
    out = bytes([1, len(ordered)])
    for entry in ordered:
        out += short(entry["name"]) + bytes.fromhex(entry["vote_key"] + entry["checkpoint_key"] + entry["log_key"])
    return out


def set_hash(validators):
    return tagged("birthmark/validators/v1", encode_set(validators))


def genesis_hash(genesis):
    data = b"\1" + short(genesis["chain_id"]) + struct.pack(">q", genesis["start"])
    data += bytes([genesis.get("rehearsal", False)]) + encode_set(genesis["validators"])
    return tagged("birthmark/genesis/v1", data)


ROLES = ["unstated", "raw", "file", "image-data"]
PIXELS = [None, "sensor", "file", "simulated"]
SOURCES = ["camera-token", "camera-certificate", "camera-attested", "software", "server", "camera-one-time"]


def encode_bundle(record):
    out = bytes([1, len(record["images"])])
    for image in record["images"]:
        out += bytes([ROLES.index(image["role"]), image["level"]]) + bytes.fromhex(image["digest"])
        out += optional(image["parent"])
    out += struct.pack(">q", record["time"])
    capture = record["capture"]
    if not capture:
        return out + b"\0" + optional(record["gps"])
    assert record["gps"] is None, "a stated source has a disclosure root"
    anchor = capture["anchor"]
    out += bytes([PIXELS.index(capture["source"])]) + optional(capture["software"])
    out += b"\0" if anchor is None else b"\1" + struct.pack(">Q", anchor)
    return out + optional(capture["disclosure"])


def encode_leaf(record, submitter):
    origin = record["origin"]
    out = b"\1" + bytes.fromhex(submitter) + bytes([SOURCES.index(origin["source"])])
    out += short(origin["authority"]) + short(origin["family"]) + bytes([origin["made_up_fingerprint"]])
    out += optional(record["edited_from"])
    key = record.get("one_time_key")
    assert bool(key) == (origin["source"] == "camera-one-time"), "a one-time key, or none"
    if key:
        out += struct.pack(">I", key["epoch"]) + bytes.fromhex(key["name"])
    return out + encode_bundle(record)


def encode_header(header):
    digest = lambda name: bytes.fromhex(header[name])
    out = b"\1" + digest("chain") + struct.pack(">Q", header["height"]) + digest("previous")
    out += struct.pack(">q", header["time"]) + digest("proposer")
    out += struct.pack(">IQ", header["records"], header["tree_size"]) + digest("tree_root")
    out += digest("transactions_root") + digest("validators_hash") + digest("next_validators_hash")
    return out + struct.pack(">Q", header["index_height"]) + digest("index_root")


def leaf_hash(data):
    return sha256(b"\0" + data).digest()


def root_of(leaf, index, size, path):
    """RFC 9162 §2.1.3.2: the same tree as RFC 6962, with the verification spelled out."""
    assert index < size, "there is no such leaf"
    here, last = index, size - 1
    for sibling in path:
        assert last > 0, "the path is too long"
        if here & 1 or here == last:
            leaf = sha256(b"\1" + sibling + leaf).digest()
            while not here & 1 and here:
                here, last = here >> 1, last >> 1
        else:
            leaf = sha256(b"\1" + leaf + sibling).digest()
        here, last = here >> 1, last >> 1
    assert last == 0, "the path is too short"
    return leaf


def check_decision(header, certificate, validators, chain):
    assert bytes.fromhex(header["chain"]) == chain, "another registry"
    assert bytes.fromhex(header["validators_hash"]) == set_hash(validators), "other validators"
    block = tagged("birthmark/block/v1", encode_header(header))
    assert certificate["height"] == header["height"] and bytes.fromhex(certificate["block"]) == block, "another block"
    vote = b"birthmark/vote/v1\0" + chain + b"\2" + struct.pack(">QI", header["height"], certificate["round"]) + b"\1" + block
    ordered = sorted(validators, key=validator_id)
    signers = [entry["validator"] for entry in certificate["signatures"]]
    assert signers == sorted(set(signers)) and 3 * len(signers) > 2 * len(ordered), "no quorum"
    for entry in certificate["signatures"]:
        key = bytes.fromhex(ordered[entry["validator"]]["vote_key"])
        verify_p256(key, vote, bytes.fromhex(entry["signature"]))


def check_receipt(receipt, genesis):
    assert receipt["chain_id"] == genesis["chain_id"], "another registry"
    chain, validators, height = genesis_hash(genesis), genesis["validators"], 0
    check_anchor(receipt, chain, validators)
    for link in receipt["handovers"]:
        assert link["header"]["height"] > height, "handovers out of order"
        check_decision(link["header"], link["certificate"], validators, chain)
        validators, height = set_after(link, validators), link["header"]["height"]
        assert bytes.fromhex(link["header"]["next_validators_hash"]) == set_hash(validators), "another set"
    header, proof = receipt["header"], receipt["proof"]
    assert header["height"] > height, "handovers out of order"
    check_decision(header, receipt["certificate"], validators, chain)
    assert proof["size"] == header["tree_size"] and proof["index"] >= header["tree_size"] - header["records"], "another place"
    leaf = leaf_hash(encode_leaf(receipt["record"], receipt["submitter"]))
    path = [bytes.fromhex(step) for step in proof["path"]]
    assert root_of(leaf, proof["index"], proof["size"], path).hex() == header["tree_root"], "another root"


def set_after(link, validators):
    """Those who were not named as having left, and those who joined."""
    ordered = sorted(validators, key=validator_id)
    left = [ordered[position] for position in link["left"]]
    assert not any(entry in left for entry in link["joined"]), "somebody both left and joined"
    return [entry for entry in ordered if entry not in left] + link["joined"]


def check_anchor(receipt, chain, validators):
    """The block that the camera had checked: the photo is younger than it."""
    named, anchor = (receipt["record"]["capture"] or {}).get("anchor"), receipt["anchor"]
    assert (anchor["header"]["height"] if anchor else None) == (named or None), "another anchor"
    if anchor:
        for link in receipt["handovers"]:
            if link["header"]["height"] < named:
                validators = set_after(link, validators)
        check_decision(anchor["header"], anchor["certificate"], validators, chain)


FIRST_LINE = b"Birthmark receipt. To read it: birthmark receipt show FILE\n"


class Bytes:
    """Canonical bytes, read from the front."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        assert self.at + count <= len(self.data), "the bytes end too early"
        self.at += count
        return self.data[self.at - count:self.at]

    def hash(self):
        return self.take(32).hex()

    def number(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def varint(self):
        value, end = varint(self.data, self.at)
        shortest = end - self.at == 1 or self.data[end - 1]
        assert shortest and value < 1 << 64, "a number in another than its shortest form"
        self.at = end
        return value

    def flag(self):
        byte = self.take(1)[0]
        assert byte in (0, 1), "neither 0 nor 1"
        return bool(byte)

    def text(self):
        return self.take(self.take(1)[0]).decode()

    def optional(self):
        return self.hash() if self.flag() else None

    def end(self):
        assert self.at == len(self.data), "something follows the end"


def read_leaf(data):
    """A record and who submitted it."""
    data = Bytes(data)
    assert data.take(1) == b"\1", "another version"
    submitter, source = data.hash(), SOURCES[data.take(1)[0]]
    authority, family, made_up = data.text(), data.text(), data.flag()
    record = dict(edited_from=data.optional())
    record["origin"] = dict(source=source, authority=authority, family=family, made_up_fingerprint=made_up)
    if source == "camera-one-time":
        record["one_time_key"] = dict(epoch=data.number(">I"), name=data.hash())
    assert data.take(1) == b"\1", "another version of the bundle"
    images = []
    for _ in range(data.take(1)[0]):
        role, level = ROLES[data.take(1)[0]], data.take(1)[0]
        images.append(dict(role=role, level=level, digest=data.hash(), parent=data.optional()))
    record.update(images=images, time=data.number(">q"), capture=None, gps=None)
    pixels = PIXELS[data.take(1)[0]]
    if pixels:
        software = data.optional()
        anchor = data.number(">Q") if data.flag() else None
        record["capture"] = dict(source=pixels, software=software, anchor=anchor, disclosure=data.optional())
    else:
        record["gps"] = data.optional()
    data.end()
    return record, submitter


def read_decided(data, chain):
    """A header and the certificate that decides it."""
    header = dict(chain=chain, height=data.varint(), previous=data.hash(), time=data.number(">q"), proposer=data.hash())
    header.update(records=data.varint(), tree_size=data.varint(), tree_root=data.hash())
    header.update(transactions_root=data.hash(), validators_hash=data.hash())
    header["next_validators_hash"] = data.hash() if data.flag() else header["validators_hash"]
    header.update(index_height=data.varint(), index_root=data.hash())
    round_, count = data.varint(), data.varint()
    signatures = [dict(validator=data.varint(), signature=data.take(64).hex()) for _ in range(count)]
    block = tagged("birthmark/block/v1", encode_header(header)).hex()
    return dict(header=header, certificate=dict(height=header["height"], round=round_, block=block, signatures=signatures))


def read_handover(data, chain):
    """The former validators' last block, who of them left, and who joined."""
    link = read_decided(data, chain)
    left = [data.varint() for _ in range(data.varint())]
    one = lambda: dict(name=data.text(), vote_key=data.take(33).hex(), checkpoint_key=data.hash(), log_key=data.hash())
    joined = [one() for _ in range(data.varint())]
    ids = [validator_id(entry) for entry in joined]
    assert left == sorted(set(left)) and ids == sorted(set(ids)), "a handover in another order"
    return dict(link, left=left, joined=joined)


def read_receipt(data):
    assert data.startswith(FIRST_LINE), "not a receipt"
    data = Bytes(data[len(FIRST_LINE):])
    assert data.take(1) == b"\1", "another version"
    receipt = dict(chain_id=data.text())
    chain = data.hash()
    leaf = data.take(data.varint())
    receipt["record"], receipt["submitter"] = read_leaf(leaf)
    assert encode_leaf(receipt["record"], receipt["submitter"]) == leaf, "a record in another than its one form"
    index, steps = data.varint(), data.varint()
    path = [data.hash() for _ in range(steps)]
    receipt.update(read_decided(data, chain))
    receipt["proof"] = dict(index=index, size=receipt["header"]["tree_size"], path=path)
    receipt["anchor"] = read_decided(data, chain) if data.flag() else None
    receipt["handovers"] = [read_handover(data, chain) for _ in range(data.varint())]
    data.end()
    return receipt


def varint(data, at):
    value = shift = 0
    while True:
        value, shift, at = value | (data[at] & 127) << shift, shift + 7, at + 1
        if data[at - 1] < 128:
            return value, at


def unzigzag(number):
    return number >> 1 if not number & 1 else -(number + 1 >> 1)


def unpack_transaction(data):
    """The records of a transaction, in the form receipts have."""
    count, at = varint(data, 33)
    makers, records, time, previous = [], [], 0, 0
    for _ in range(count):
        source, end = SOURCES[data[at]], at + 2 + data[at + 1]
        family = end + 1 + data[end]
        names = data[at + 2:end].decode(), data[end + 1:family].decode()
        origin = dict(source=source, authority=names[0], family=names[1], made_up_fingerprint=bool(data[family]))
        epoch = None
        if source == "camera-one-time":
            epoch = struct.unpack(">I", data[family + 1:family + 5])[0]
            family += 4
        pixels, software, at = PIXELS[data[family + 1]], None, family + 2
        if pixels:
            software, at = (data[at + 1:at + 33].hex(), at + 33) if data[at] else (None, at + 1)
        makers.append((origin, epoch, pixels, software))
    count, at = varint(data, at)
    for _ in range(count):
        head, maker, at = data[at], data[at] >> 4, at + 1
        if maker == 15:
            beyond, at = varint(data, at)
            maker += beyond
        step, at = varint(data, at)
        time += unzigzag(step)
        step, at = varint(data, at)
        anchor = previous = previous + unzigzag(step - 1) if step else previous
        anchor = anchor if step else None
        images, original, key, root = [], None, None, None
        for position in range((head & 7) + 1):
            kind, digest, at = data[at], data[at + 1:at + 33].hex(), at + 33
            parent = images[kind >> 4]["digest"] if position else None
            if not position and kind >> 4:
                follows, at = data[at:at + 32].hex(), at + 32
                original, key = (follows, None) if kind >> 4 == 1 else (None, follows)
            images.append(dict(digest=digest, role=ROLES[kind & 3], level=kind >> 2 & 3, parent=parent))
        if head & 8:
            root, at = data[at:at + 32].hex(), at + 32
        origin, epoch, pixels, software = makers[maker]
        capture = dict(source=pixels, software=software, anchor=anchor, disclosure=root) if pixels else None
        gps = None if pixels else root
        record = dict(images=images, time=time, gps=gps, capture=capture, edited_from=original, origin=origin)
        assert (epoch is None) == (key is None), "a one-time key, or none"
        if key:
            record["one_time_key"] = dict(epoch=epoch, name=key)
        records.append(record)
    assert at + 64 == len(data), "something follows the transaction"
    return records


def check_checkpoint(note, genesis, header):
    text, lines = note.rsplit("\n\n", 1)
    expected = [genesis["chain_id"], str(header["tree_size"]),
                base64.b64encode(bytes.fromhex(header["tree_root"])).decode()]
    assert text.split("\n") == expected, "another checkpoint"
    keys = {entry["name"]: bytes.fromhex(entry["checkpoint_key"]) for entry in genesis["validators"]}
    logs = {}
    for entry in genesis["validators"]:
        key = bytes.fromhex(entry["log_key"])
        logs[sha256(genesis["chain_id"].encode() + b"\n\1" + key).digest()[:4]] = key
    for line in lines.strip().split("\n"):
        _, name, signature = line.split(" ")
        signature = base64.b64decode(signature)
        if name == genesis["chain_id"]:
            verify_ed25519(logs[signature[:4]], f"{text}\n".encode(), signature[4:])
            continue
        key = keys[name]
        assert signature[:4] == sha256(name.encode() + b"\n\4" + key).digest()[:4], "another key"
        time = int.from_bytes(signature[4:12], "big")
        verify_ed25519(key, f"cosignature/v1\ntime {time}\n{text}\n".encode(), signature[12:])


def stored_receipt(text):
    """A receipt as JSON carries it: its bytes in base64."""
    return read_receipt(base64.b64decode(text, validate=True))


def check_vectors(vectors):
    genesis, receipt = vectors["genesis"], stored_receipt(vectors["receipt"])
    anchored = stored_receipt(vectors["anchored_receipt"])
    chain, data = genesis_hash(genesis), lambda name: bytes.fromhex(vectors[name])
    assert chain.hex() == vectors["genesis_hash"]
    assert encode_set(genesis["validators"]) == data("validators")
    check_receipt(receipt, genesis)
    check_receipt(anchored, genesis)
    handed_over = stored_receipt(vectors["handed_over_receipt"])
    assert len(handed_over["handovers"][0]["left"]) == 1 and len(handed_over["handovers"][0]["joined"]) == 2
    check_receipt(handed_over, genesis)
    assert encode_leaf(receipt["record"], receipt["submitter"]) == data("leaf")
    assert encode_header(receipt["header"]) == data("header")
    transaction = data("transaction")
    records = unpack_transaction(transaction)
    assert records[0] == receipt["record"] and records[3] == anchored["record"]
    submitter = next(entry for entry in genesis["validators"] if validator_id(entry) == transaction[1:33])
    key = bytes.fromhex(submitter["vote_key"])
    verify_p256(key, b"birthmark/transaction/v1\0" + chain + transaction[:-64], transaction[-64:])
    assert tagged("birthmark/transaction-hash/v1", transaction).hex() == vectors["transaction_hash"]
    root = sha256(b"\1" + leaf_hash(transaction) + leaf_hash(data("set_change"))).hexdigest()
    assert root == receipt["header"]["transactions_root"]
    assert data("block") == data("header") + b"\1" + transaction + b"\1" + data("set_change")
    check_checkpoint(vectors["checkpoint"], genesis, receipt["header"])
    check_one_time(vectors["one_time"], genesis, chain)


def check_one_time(vectors, genesis, chain):
    """Statements of an authority, and a photo under a one-time key in the block that holds them."""
    statements, photos = (bytes.fromhex(vectors[name]) for name in ["statements", "photos"])
    assert statements[0] == 0xE1 and statements[33] == 1, "one statement"
    submitter = next(entry for entry in genesis["validators"] if validator_id(entry) == statements[1:33])
    key = bytes.fromhex(submitter["vote_key"])
    verify_p256(key, b"birthmark/statements/v1\0" + chain + statements[:-64], statements[-64:])
    stated = statements[34:-64]
    body, signature = stated[:-64], stated[-64:]
    verify_p256(bytes.fromhex(vectors["authority_key"]), b"birthmark/epoch-key/v1\0" + body, signature)
    record = unpack_transaction(photos)[0]
    receipt = stored_receipt(vectors["receipt"])
    assert record == receipt["record"], "another record"
    check_receipt(receipt, genesis)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        receipt, genesis = sys.argv[1:]
        check_receipt(read_receipt(pathlib.Path(receipt).read_bytes()), json.loads(pathlib.Path(genesis).read_text()))
    else:
        check_vectors(json.loads((pathlib.Path(__file__).parent / "ledger.json").read_text()))
    print("verified")
