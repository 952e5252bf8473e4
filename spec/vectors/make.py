#!/usr/bin/env python3
"""Writes the test vectors of this folder.

Everything is computed here a second time, in Python and from the description in docs/PROTOCOL.md, so that the Rust code and the
document can be held against something independent of both. All keys are made up for these tests.

Needs: Python 3.9 or newer with the `cryptography` package (43 or newer). Run it in any folder: ./make.py. The same input
gives the same files; the pictures themselves are read back from image-data.json.
"""

import base64
import datetime
import hashlib
import hmac
import json
import pathlib
import struct
import zlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.x509.oid import NameOID

HERE = pathlib.Path(__file__).resolve().parent
TIME = 1795000000


def write(name, about, source, cases):
    text = json.dumps({"about": about, "source": source, "cases": cases}, indent=1, ensure_ascii=False)
    (HERE / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    print(f"{name}: {len(cases)} cases")


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def tagged(domain, *parts):
    """A digest for one purpose: the domain string, a zero byte, then what it is about."""
    return sha256(domain.encode(), b"\0", *parts)


def b64(data):
    return base64.b64encode(data).decode()


# Keys ---------------------------------------------------------------------------------------------------------------------


def hkdf(ikm, salt, info):
    prk = hmac.new(salt or bytes(32), ikm, hashlib.sha256).digest()
    return hmac.new(prk, info + b"\x01", hashlib.sha256).digest()


def table_key(master, index, profile):
    index = index.to_bytes(4, "big")
    if profile == "A":
        return hkdf(master, None, index + b"Birthmark")
    if profile == "B":
        return hkdf(master, b"Birthmark", index)
    return master


def key_derivation():
    masters = ["00" * 32, "0123456789abcdef" * 4, "ff" * 32]
    pairs = [(masters[0], 0), (masters[1], 0), (masters[1], 42), (masters[2], 999)]
    cases = [
        {
            "master_key": master,
            "key_index": index,
            "A": table_key(bytes.fromhex(master), index, "A").hex(),
            "B": table_key(bytes.fromhex(master), index, "B").hex(),
        }
        for master, index in pairs
    ]
    write(
        "key-derivation",
        "Table keys from master keys: HKDF-SHA256, 32 bytes. A: no salt, info = index (4 bytes big-endian) then 'Birthmark'. "
        "B: salt 'Birthmark', info = index.",
        "Both forms stand in the public planning documents; values computed with Python's hmac module.",
        cases,
    )


# Tokens -------------------------------------------------------------------------------------------------------------------


def seal(nuc, key, nonce, associated):
    sealed = AESGCM(key).encrypt(nonce, nuc, associated)
    return sealed[:32], sealed[32:]


def structured(nuc, master, table, index, nonce, associated, profile="A"):
    ciphertext, tag = seal(nuc, table_key(master, index, profile), nonce, associated)
    return {
        "ciphertext": ciphertext.hex(),
        "nonce": nonce.hex(),
        "auth_tag": tag.hex(),
        "table_id": table,
        "key_index": index,
    }


def tokens():
    nuc, master = sha256(b"nuc"), sha256(b"master")
    cases = []
    for opened_by, bound in [("A", True), ("A", False), ("B", True), ("B", False), ("bare", False)]:
        nonce = sha256(b"nonce", opened_by.encode(), bytes([bound]))[:12]
        commitment = sha256(b"commitment") if bound else b""
        token = structured(nuc, master, 42, 137, nonce, commitment or None, opened_by)
        ciphertext, tag = bytes.fromhex(token["ciphertext"]), bytes.fromhex(token["auth_tag"])
        packed = ciphertext + nonce + tag
        cases.append(
            {
                "opened_by": opened_by,
                "nuc_hash": nuc.hex(),
                "master_key": master.hex(),
                "commitment": commitment.hex() or None,
                "structured": token,
                "packed_base64": b64(packed),
                "packed_hex_of_base64": b64(packed).encode().hex(),
                "extension_hex": (ciphertext + tag + nonce).hex(),
                "fingerprint": tagged("birthmark/token/v1", nonce, ciphertext).hex(),
            }
        )
    write(
        "tokens",
        "AES-256-GCM over the NUC hash under a table key, in the three layouts of the same 60 bytes. The commitment, if any, is "
        "the associated data. 'bare' means the master key itself, which only certificates of older authorities use.",
        "Computed with the Python package cryptography.",
        cases,
    )


# Python's JSON ------------------------------------------------------------------------------------------------------------


def python_json():
    texts = [
        '{"image_hash":"AB","timestamp":1732000000,"gps_hash":null,"camera_token":{"table_id":42,"key_index":137}}',
        '{"b":1,"a":2,"B":3,"_":4,"é":5,"\\u0000":6,"":7}',
        '["\\"\\\\\\/\\b\\f\\n\\r\\t\\u001f\\u007f", "ä€😀", "\\ud83d\\ude00", "<&>\\u2028"]',
        '{"\\uffff":1,"\\ud800\\udc00":2}',
        "[0, -0, 1, -1, 9223372036854775807, -9223372036854775809, 340282366920938463463374607431768211456]",
        "[0.0, -0.0, 1.0, 1.50, 1e3, 1E+2, 1e15, 1e16, 123456789012345678, 1234567890123456789.0, 0.0001, 0.00001]",
        "[5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, 0.1, 0.30000000000000004, 1e22, 1e23, 9007199254740993.0]",
        "[621653617420272.25, -621653617420272.25, 1141950083101036.25, 1141950083101036.75, 5.684341886080802e-14]",
        "[[], {}, [[]], [{}], {\"a\": []}, true, false, null]",
        " \t\r\n{ \"a\" :\n[ 1 ,2 ] } ",
        "9" * 4300,
    ]
    cases = [{"text": text, "dumps": json.dumps(json.loads(text), sort_keys=True)} for text in texts]
    write(
        "python-json",
        "What json.dumps(value, sort_keys=True) writes for each text.",
        "Python's own json module.",
        cases,
    )


# Bundles, commitments, verdicts -------------------------------------------------------------------------------------------

ROLES = {"unstated": 0, "raw": 1, "file": 2, "image-data": 3}


def optional32(value):
    return b"\x01" + bytes.fromhex(value) if value else b"\x00"


SOURCES = {"sensor": 1, "file": 2, "simulated": 3}


def encode_capture(capture):
    anchor = capture["anchor"]
    out = bytes([SOURCES[capture["source"]]]) + optional32(capture["software"])
    out += b"\x00" if anchor is None else b"\x01" + struct.pack(">Q", anchor)
    return out + optional32(capture["disclosure_root"])


def encode_bundle(images, timestamp, gps_hash, capture=None):
    out = bytes([1, len(images)])
    for image in images:
        out += bytes([ROLES[image.get("role", "unstated")], image["modification_level"]])
        out += bytes.fromhex(image["image_hash"]) + optional32(image.get("parent_image_hash"))
    out += struct.pack(">q", timestamp)
    return out + (encode_capture(capture) if capture else b"\x00" + optional32(gps_hash))


def bundle_digest(bundle, anchor_block=None):
    """What the camera signs: with an anchor, the hash of its block follows the bundle."""
    return tagged("birthmark/bundle/v1", bundle, bytes.fromhex(anchor_block or ""))


def photo():
    raw, file, data = sha256(b"raw").hex(), sha256(b"file").hex(), sha256(b"data").hex()
    return [
        {"image_hash": raw, "role": "raw", "modification_level": 0, "parent_image_hash": None},
        {"image_hash": file, "role": "file", "modification_level": 1, "parent_image_hash": raw},
        {"image_hash": data, "role": "image-data", "modification_level": 1, "parent_image_hash": file},
    ]


def bundles():
    one = [{"image_hash": "ab" * 32, "role": "unstated", "modification_level": 0, "parent_image_hash": None}]
    plain = {"source": "sensor", "software": None, "anchor": None, "disclosure_root": None}
    full = {"source": "sensor", "software": sha256(b"image").hex(), "anchor": 812, "disclosure_root": sha256(b"root").hex()}
    cases = []
    for images, timestamp, gps_hash, capture in [
        (photo(), TIME, sha256(b"place").hex(), None),
        (one, TIME, None, None),
        (one, -1, None, None),
        (photo(), TIME, None, plain),
        (photo(), TIME, None, {**plain, "source": "simulated"}),
        (photo(), TIME, None, full),
    ]:
        bundle, opening = encode_bundle(images, timestamp, gps_hash, capture), sha256(b"opening")
        anchor_block = sha256(b"block 812").hex() if capture and capture["anchor"] else None
        digest = bundle_digest(bundle, anchor_block)
        cases.append(
            {
                "image_hashes": images,
                "timestamp": timestamp,
                "gps_hash": gps_hash,
                "capture": capture,
                "anchor_block": anchor_block,
                "bundle": bundle.hex(),
                "bundle_digest": digest.hex(),
                "opening": opening.hex(),
                "commitment": tagged("birthmark/commitment/v1", digest, opening).hex(),
            }
        )
    write("bundles", "Bundles, their digests and commitments.", "Computed with Python's struct and hashlib.", cases)


LEAVES = ["place", "exact-time", "author", "device-model", "fingerprint"]


def disclosures():
    """What a photographer keeps, and what is shown of it."""
    said = {"place": f"4811730|1151667|545|{TIME}", "exact-time": f"{TIME}123", "author": "Zoë Example"}
    cases = []
    for shown in [list(said), ["place"], []]:
        entries, body = [], bytes([len(said)])
        for kind, value in said.items():
            salt, number = sha256(b"salt of", kind.encode()), bytes([LEAVES.index(kind) + 1])
            digest = tagged("birthmark/disclosure-leaf/v1", number, salt, value.encode())
            leaf = {"shown": {"kind": kind, "value": value, "salt": salt.hex()}}
            entries.append(leaf if kind in shown else {"hidden": {"kind": kind, "digest": digest.hex()}})
            body += number + digest
        cases.append({"disclosure": entries, "root": tagged("birthmark/disclosure/v1", body).hex()})
    write(
        "disclosures",
        "The same three leaves: all shown, one shown, none shown. The root is the same.",
        "Computed with Python's hashlib.",
        cases,
    )


def private_key(number):
    return ec.derive_private_key(number, ec.SECP256R1())


def public_hex(key):
    point = serialization.PublicFormat.UncompressedPoint
    return key.public_key().public_bytes(serialization.Encoding.X962, point).hex()


def spki_digest(key):
    encoding, form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return sha256(key.public_key().public_bytes(encoding, form))


def sign(key, message):
    return key.sign(message, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))


def sign_digest(key, digest):
    return key.sign(digest, ec.ECDSA(utils.Prehashed(hashes.SHA256()), deterministic_signing=True))


def short(text):
    return bytes([len(text.encode())]) + text.encode()


def verdicts():
    key = private_key(5)
    cases = []
    for items in [
        [("token", True, False, "Raspberry Pi")],
        [("attested", True, False, "Raspberry Pi"), ("token", False, False, ""), ("certificate", True, True, "Rehearsal")],
    ]:
        body = b"\x01" + short("Test Maker") + struct.pack(">qH", TIME, len(items))
        listed = []
        for number, (assurance, valid, made_up, family) in enumerate(items):
            commitment = sha256(b"commitment", bytes([number]))
            level = {"token": 0, "certificate": 1, "attested": 2}[assurance]
            named = spki_digest(private_key(7)) if level else b""
            body += commitment + bytes([valid, level]) + named + bytes([made_up]) + short(family)
            listed.append(
                {
                    "commitment": commitment.hex(),
                    "valid": valid,
                    "assurance": assurance,
                    "key": named.hex() or None,
                    "made_up_fingerprint": made_up,
                    "device_family": family,
                }
            )
        digest = tagged("birthmark/verdict/v1", body)
        r, s = utils.decode_dss_signature(sign_digest(key, digest))
        cases.append(
            {
                "manufacturer": "Test Maker",
                "time": TIME,
                "items": listed,
                "digest": digest.hex(),
                "public_key": public_hex(key),
                "signed_verdict": (body + r.to_bytes(32, "big") + s.to_bytes(32, "big")).hex(),
            }
        )
    write(
        "verdicts",
        "Signed verdicts: the canonical bytes, then r and s of the authority's signature. Public keys are uncompressed points.",
        "Computed with the Python package cryptography.",
        cases,
    )


# Submissions --------------------------------------------------------------------------------------------------------------


def extension(number, raw, der):
    value = der if der is not None else raw
    return x509.UnrecognizedExtension(x509.ObjectIdentifier(f"1.3.6.1.4.1.60000.1.{number}"), value)


def der_integer(number):
    content = number.to_bytes(number.bit_length() // 8 + 1, "big")
    return bytes([2, len(content)]) + content


def issued(name, fields):
    """A certificate about private_key(7), issued by private_key(6), with our extensions."""
    day = datetime.datetime(2026, 1, 1)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test CA")]))
        .public_key(private_key(7).public_key())
        .serial_number(0x1234)
        .not_valid_before(day)
        .not_valid_after(day.replace(year=2028))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    )
    for field in fields:
        builder = builder.add_extension(field, critical=False)
    signed = builder.sign(private_key(6), hashes.SHA256(), ecdsa_deterministic=True)
    return signed.public_bytes(serialization.Encoding.DER)


def certificate(form):
    """A camera certificate about private_key(7), issued by private_key(6); its extensions in DER or raw."""
    token = structured(sha256(b"nuc"), sha256(b"master"), 42, 137, sha256(b"cert nonce")[:12], None)
    nuc = bytes.fromhex(token["ciphertext"] + token["auth_tag"] + token["nonce"])
    texts = {1: "test-maker", 2: "https://sma.example/validate-cert", 6: "Raspberry Pi"}
    fields = {number: (text.encode(), b"\x0c" + short(text)) for number, text in texts.items()}
    fields[3] = (nuc, b"\x04" + bytes([len(nuc)]) + nuc)
    fields[4] = ((42).to_bytes(2, "big"), der_integer(42))
    fields[5] = ((137).to_bytes(2, "big"), der_integer(137))
    return issued(
        "TEST-001",
        [extension(number, *(fields[number] if form == "der" else (fields[number][0], None))) for number in sorted(fields)],
    )


def older_requests():
    """Requests as the public documents' cameras send them, and what must be read out of them."""
    camera, cert = private_key(7), b64(certificate("raw"))
    token = structured(sha256(b"nuc"), sha256(b"master"), 42, 137, sha256(b"nonce 1")[:12], None)
    raw, processed = sha256(b"raw").hex(), sha256(b"processed").hex()
    packed = bytes.fromhex(token["ciphertext"] + token["nonce"] + token["auth_tag"])

    plan = {"image_hash": raw, "camera_token": token, "timestamp": TIME, "gps_hash": None}
    plan["device_signature"] = sign(camera, json.dumps(plan, sort_keys=True).encode()).hex()
    yield "/api/v1/submit", plan, None
    yield "/api/v1/submit", {**plan, "device_certificate": cert}, "Python"

    pair = {
        "submission_type": "camera",
        "image_hashes": [
            {"image_hash": raw, "modification_level": 0, "parent_image_hash": None},
            {"image_hash": processed, "modification_level": 1, "parent_image_hash": raw},
        ],
        "camera_token": token,
        "manufacturer_cert": {"authority_id": "SIMULATED_MFG_001", "validation_endpoint": "https://sma.example/validate"},
        "timestamp": TIME,
    }
    yield "/api/v1/submit", pair, None

    flat = {
        "image_hash": raw.upper(),
        "encrypted_nuc_token": b64(packed),
        "table_references": [1, 42, 9],
        "key_indices": [891, 137, 42],
        "timestamp": TIME,
        "gps_hash": sha256(b"place").hex(),
    }
    flat["device_signature"] = b64(sign(camera, json.dumps(flat, sort_keys=True).encode()))
    yield "/api/v1/submit", flat, None
    yield "/api/v1/submit-legacy", {**flat, "device_certificate": cert}, "Python"

    for gps_hash in [None, sha256(b"place").hex()]:
        lines = f"{raw}\n{cert}\n{TIME}\n{gps_hash or ''}\n"
        body = {"image_hash": raw.upper(), "camera_cert": cert, "software_cert": None, "timestamp": TIME, "gps_hash": gps_hash}
        yield "/api/v1/submit-cert", {**body, "bundle_signature": b64(sign(camera, lines.encode()))}, "CertificateLines"
    body = {"image_hash": raw, "camera_cert": b64(certificate("der")), "timestamp": TIME}
    yield "/api/v1/submit-cert", {**body, "bundle_signature": b64(sign(camera, f"{raw}{TIME}".encode()))}, "HashAndTime"


OURS = {"source": "sensor", "software": sha256(b"image").hex(), "anchor": 812, "disclosure_root": sha256(b"root").hex()}


def our_request():
    camera, opening, anchor_block = private_key(7), sha256(b"opening"), sha256(b"block 812").hex()
    digest = bundle_digest(encode_bundle(photo(), TIME, None, OURS), anchor_block)
    commitment = tagged("birthmark/commitment/v1", digest, opening)
    body = {
        "bundle_version": 1,
        "image_hashes": photo(),
        "timestamp": TIME,
        "source": OURS["source"],
        "software": OURS["software"],
        "anchor": {"height": OURS["anchor"], "block_hash": anchor_block},
        "disclosure_root": OURS["disclosure_root"],
        "camera_cert": b64(certificate("der")),
        "camera_token": structured(sha256(b"nuc"), sha256(b"master"), 42, 137, sha256(b"nonce 2")[:12], commitment),
        "opening": opening.hex(),
        "bundle_signature": b64(sign_digest(camera, digest)),
    }
    return "/api/v1/submit-cert", body, "Bundle"


def submissions():
    cases = []
    for route, body, form in [*older_requests(), our_request()]:
        images = body.get("image_hashes") or [{"image_hash": body["image_hash"], "modification_level": 0}]
        capture = OURS if "bundle_version" in body else None
        bundle = encode_bundle(images, body["timestamp"], body.get("gps_hash"), capture)
        cases.append(
            {
                "route": route,
                "body": json.dumps(body),
                "bundle": bundle.hex(),
                "signed_form": form,
                "issuer_key": public_hex(private_key(6)) if form else None,
            }
        )
    write(
        "submissions",
        "Requests as cameras send them. 'bundle' is what they claim in our encoding; 'signed_form' names the text whose signature "
        "holds under the camera certificate that came along, null where none came.",
        "Written from the public planning documents; signed with the Python package cryptography.",
        cases,
    )


# Edits --------------------------------------------------------------------------------------------------------------------

SOFTWARE = {"developer": "Test Developer", "endpoint": "https://editor.example", "application": "Test Editor", "version": "1.0"}


def software_certificate(texts=None):
    """A software certificate about private_key(7), issued by private_key(6)."""
    oid = "1.3.6.1.4.1.60000.2"
    fields = enumerate((texts or SOFTWARE).values(), start=1)
    return issued("Test Editor", [x509.UnrecognizedExtension(x509.ObjectIdentifier(f"{oid}.{n}"), b"\x0c" + short(text)) for n, text in fields])


def edit_request(level, with_data):
    image, data, original = (sha256(text).hex() for text in (b"edited", b"edited data", b"raw"))
    images = [{"image_hash": image, "role": "file", "modification_level": level, "parent_image_hash": None}]
    body = {"image_hash": image, "modification_level": level, "parent_image_hash": original, "timestamp": TIME}
    if with_data:
        images.append({"image_hash": data, "role": "image-data", "modification_level": level, "parent_image_hash": image})
        body["image_data_hash"] = data
    bundle = encode_bundle(images, TIME, None)
    signed = tagged("birthmark/edit/v1", bundle_digest(bundle), bytes.fromhex(original))
    body["software_cert"] = b64(software_certificate())
    body["bundle_signature"] = b64(sign_digest(private_key(7), signed))
    return body, bundle, signed


def edits():
    cases = []
    for level, with_data in [(1, False), (1, True), (2, True)]:
        body, bundle, signed = edit_request(level, with_data)
        good = {"bundle": bundle.hex(), "signed_digest": signed.hex(), **SOFTWARE, "issuer_key": public_hex(private_key(6))}
        cases.append({"body": json.dumps(body), "refused_field": None, **good})
    body = edit_request(1, True)[0]
    camera = b64(certificate("der"))
    for field, value in [
        ("modification_level", 0),
        ("modification_level", 3),
        ("parent_image_hash", None),
        ("parent_image_hash", body["image_hash"]),
        ("parent_image_hash", body["image_data_hash"]),
        ("image_data_hash", body["image_hash"]),
        ("software_cert", camera),
        ("camera_cert", camera),
        ("bundle_signature", b64(bytes(8))),
    ]:
        cases.append({"body": json.dumps({**body, field: value}), "refused_field": field})
    write(
        "edits",
        "Requests as editing software sends them to /api/v1/submit-cert. 'bundle' is what they claim in our encoding and "
        "'signed_digest' what the key of software_cert signed; or 'refused_field' names what is wrong.",
        "Written from docs/PROTOCOL.md and docs/VALIDATOR.md; signed with the Python package cryptography.",
        cases,
    )


# GPS ----------------------------------------------------------------------------------------------------------------------


def nmea_units(text, side):
    whole, _, fraction = text.partition(".")
    scale = 10 ** len(fraction)
    degrees, minutes = divmod(int(whole), 100)
    minutes = minutes * scale + int(fraction or 0)
    units = degrees * 100000 + (minutes * 100000 + 30 * scale) // (60 * scale)
    return -units if side in "SW" else units


def gps():
    cases = []
    secret = sha256(b"gps secret")
    for latitude, longitude, altitude in [
        (("4807.038", "N"), ("01131.000", "E"), ("545.4", 545)),
        (("3350.12345", "S"), ("15112.5", "W"), ("", None)),
        (("0000.0003", "S"), ("00000.0002", "W"), ("-0.5", -1)),
        (("9000.0", "N"), ("18000.000000", "E"), ("0.49", 0)),
    ]:
        raw = sha256(b"raw", latitude[0].encode())
        salt = hkdf(secret, None, b"birthmark/gps-salt/v1\0" + raw)
        height = "-" if altitude[1] is None else altitude[1]
        position = f"{nmea_units(*latitude)}|{nmea_units(*longitude)}|{height}|{TIME}"
        cases.append(
            {
                "nmea": {"latitude": latitude, "longitude": longitude, "altitude": altitude[0]},
                "time": TIME,
                "position": position,
                "gps_secret": secret.hex(),
                "raw_digest": raw.hex(),
                "salt": salt.hex(),
                "leaf_digest": tagged("birthmark/disclosure-leaf/v1", b"\x01", salt, position.encode()).hex(),
            }
        )
    write("gps", "Places as receivers write them, the salts of a camera, and the leaves of the disclosure root.", "Computed with Python's integers, hmac and hashlib.", cases)


# NUC maps -----------------------------------------------------------------------------------------------------------------


def nuc_maps():
    header = struct.pack(
        ">8sHHBB4HHHHIIiq32s32s16s",
        b"BMNUC1", 4, 3, 0, 12, 256, 257, 258, 259, 64, 65, 0, 10000, 1000, -1500, TIME, b"imx477", sha256(b"nonce"), b"",
    )
    assert len(header) == 128
    dark = [-128 if pixel == 5 else pixel - 6 for pixel in range(12)]
    gain = [-128 if pixel == 5 else 6 - pixel for pixel in range(12)]
    file = header + struct.pack("24b", *dark, *gain)
    cases = [
        {
            "width": 4,
            "height": 3,
            "sensor": "imx477",
            "temperature_milli": -1500,
            "dark": dark,
            "gain": gain,
            "file": file.hex(),
            "nuc_hash": sha256(file).hex(),
        }
    ]
    write("nuc-maps", "A small NUC map file and its hash.", "Computed with Python's struct and hashlib.", cases)


# Image data ---------------------------------------------------------------------------------------------------------------


def jpeg_is_metadata(marker, content):
    """APPn and COM, except what decides how the pixels look: Adobe's colour transform and colour profiles."""
    if marker == 0xEE and content.startswith(b"Adobe") or marker == 0xE2 and content.startswith(b"ICC_PROFILE\0"):
        return False
    return 0xE0 <= marker <= 0xEF or marker == 0xFE


def jpeg_kept(file):
    """The bytes of a JPEG that count, and how many follow its end."""
    assert file[:2] == b"\xff\xd8"
    out, at = file[:2], 2
    while True:
        assert file[at] == 0xFF, "a marker"
        while file[at] == 0xFF:
            at += 1
        marker, at = file[at], at + 1
        if marker == 0xD9:
            return out + b"\xff\xd9", len(file) - at
        end = at + int.from_bytes(file[at : at + 2], "big")
        if not jpeg_is_metadata(marker, file[at + 2 : end]):
            out += bytes([0xFF, marker]) + file[at:end]
        at = end
        if marker == 0xDA:
            while not (file[at] == 0xFF and file[at + 1] not in (0x00, 0xFF, *range(0xD0, 0xD8))):
                if file[at] == 0xFF and file[at + 1] == 0xFF:
                    at += 1
                    continue
                step = 2 if file[at] == 0xFF else 1
                out, at = out + file[at : at + step], at + step


# What a viewer shows something else without: transparency, animation, colours.
PNG_SHOWN = b"tRNS acTL fcTL fdAT cICP iCCP sRGB gAMA cHRM mDCV cLLI".split()


def png_kept(file):
    """The bytes that stand for a PNG, and how many follow its end."""
    out, at, pixels = file[:8], 8, None
    while True:
        length, kind = struct.unpack(">I4s", file[at : at + 8])
        content, at = file[at + 8 : at + 8 + length], at + 12 + length
        if kind == b"IDAT":
            pixels = (pixels or b"") + content
            continue
        if pixels is not None:
            out, pixels = out + pixels + struct.pack(">Q", len(pixels)) + b"IDAT", None
        if kind[:1].isupper() or kind in PNG_SHOWN:
            out += content + struct.pack(">Q", length) + kind
        if kind == b"IEND":
            return out, len(file) - at


def png_chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_recut(file):
    """The same PNG with its pixels in two chunks and a comment with a checksum in front of them."""
    at = file.index(b"IDAT") - 4
    length = int.from_bytes(file[at : at + 4], "big")
    pixels, rest = file[at + 8 : at + 8 + length], file[at + 12 + length :]
    return file[:at] + png_chunk(b"tEXt", b"Comment\0cut") + png_chunk(b"IDAT", pixels[:9]) + png_chunk(b"IDAT", pixels[9:]) + rest


def png_with(file, kind, content):
    """The PNG with one more chunk behind its header."""
    return file[:33] + png_chunk(kind, content) + file[33:]


def jpeg_with(file, marker, content):
    """The JPEG with one more segment in front."""
    return file[:2] + bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content + file[2:]


def stored_pictures():
    """The pictures of image-data.json, made once by ImageMagick and exiftool: other versions would make others."""
    for case in json.loads((HERE / "image-data.json").read_text())["cases"]:
        yield case["name"], base64.b64decode(case["file_base64"]), case["same_as"]


def pictures():
    """Name, bytes and the name of the file whose image data must be the same."""
    stored = {name: (file, same_as) for name, file, same_as in stored_pictures()}
    plain, png = stored["plain.jpg"][0], stored["plain.png"][0]
    adobe = lambda transform: b"Adobe\0\x64\0\0\0\0" + bytes([transform])
    profile = b"ICC_PROFILE\0\x01\x01" + b"not a real profile, but its place"
    # A profile, a colour transform: the same samples look different, so the data is not the same.
    made = {
        "adobe-rgb.jpg": (jpeg_with(plain, 0xEE, adobe(0)), None),
        "adobe-ycc.jpg": (jpeg_with(plain, 0xEE, adobe(1)), None),
        "profile.jpg": (jpeg_with(plain, 0xE2, profile), None),
        "other-profile.jpg": (jpeg_with(plain, 0xE2, profile + b"!"), None),
        # The same markers with other content are metadata like the rest.
        "mpf.jpg": (jpeg_with(plain, 0xE2, b"MPF\0MM\0*"), "plain.jpg"),
        "short-app2.jpg": (jpeg_with(plain, 0xE2, b"ICC_PROFILE"), "plain.jpg"),
        "empty-app14.jpg": (jpeg_with(plain, 0xEE, b""), "plain.jpg"),
        "tagged-profile.jpg": (jpeg_with(jpeg_with(plain, 0xE2, profile), 0xE1, b"Exif\0\0"), "profile.jpg"),
    }
    # A JFIF header decides the colours before Adobe's mark does: without the header this one is RGB.
    made["adobe-rgb.jpg"] = (made["adobe-rgb.jpg"][0].replace(JFIF, b"", 1), None)
    for kind, content in PNG_COLOURS.items():
        made[f"{kind.decode()}.png"] = (png_with(png, kind, content), None)
    made["tagged-gAMA.png"] = (png_with(made["gAMA.png"][0], b"tEXt", b"Comment\0tagged"), "gAMA.png")
    for name, (file, same_as) in (stored | made).items():
        yield name, file, same_as


JFIF = bytes.fromhex("ffe000104a46494600010100000100010000")
PNG_COLOURS = {
    b"iCCP": b"name\0\0" + zlib.compress(b"a profile"),
    b"gAMA": struct.pack(">I", 45455),
    b"cHRM": struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000),
    b"sRGB": b"\0",
    b"cICP": bytes([9, 16, 0, 1]),
    b"mDCV": bytes(24),
    b"cLLI": bytes(8),
}


def image_data():
    cases, digests = [], {}
    for name, file, same_as in pictures():
        kept, trailing = png_kept(file) if name.endswith("png") else jpeg_kept(file)
        digests[name] = sha256(kept).hex()
        assert same_as is None or digests[name] == digests[same_as], name
        cases.append(
            {
                "name": name,
                "same_as": same_as,
                "file_digest": sha256(file).hex(),
                "image_data_digest": digests[name],
                "trailing": trailing,
                "file_base64": b64(file),
            }
        )
    write(
        "image-data",
        "Picture files and their image-data digests: equal to those of 'same_as', different from all others.",
        "Pictures made once by ImageMagick, metadata added and removed by exiftool or here, digests computed in Python.",
        cases,
    )


# One-time keys --------------------------------------------------------------------------------------------------------------

# A key made for these tests.
RSA_P = int(
    "ca6203eea9fd05b7a65804ea443b4ac3214c2548aed7dc5f0c091171c199b48a02851a9fa3c9b360e73cda3b4a505004ffd8c55347718df4"
    "80667db88edfe8bdc01d991cb788aca64abbdb647305ba2e5c8130dec68caed2c65173f266094acb58d23b0d1949820551b3ae5acce44836"
    "f419ef94afdd99f426fa84c6dbf72da7",
    16,
)
RSA_Q = int(
    "c99274031b1839da4e78dcf61b312561d678be1dba2dbbcca1280d72282f13abd62e71569ac9e736f2171492b700d46795bef97f4992f38b"
    "a166835fbf7633e76e4b12b151b19e8dfac3732ac66bebad60ca1c57a183cc24049664ce1d598e773d9ff0283b7a66b6529cbfc034d1916e"
    "0acb0206af4d5a79ddc5a6771599af9b",
    16,
)
RSA_N, RSA_E = RSA_P * RSA_Q, 65537
RSA_D = pow(RSA_E, -1, (RSA_P - 1) * (RSA_Q - 1))


def statement(kind, fields):
    head = bytes([1, {"key": 1, "count": 2, "withdrawal": 3}[kind]]) + short("maker.example") + short("Raspberry Pi")
    body = head + struct.pack(">q", TIME - 600_000) + fields
    domain = f"birthmark/epoch-{kind}/v1"
    r, s = utils.decode_dss_signature(sign_digest(private_key(5), tagged(domain, body)))
    signature = r.to_bytes(32, "big") + min(s, P256_ORDER - s).to_bytes(32, "big")
    return {"kind": kind, "digest": tagged(domain, body).hex(), "signed": (body + signature).hex()}


P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def epoch_key():
    fields = struct.pack(">IqqIB", 1483, TIME - 300_000, TIME + 909_600, 28 * 86_400, 0) + RSA_N.to_bytes(256, "big")
    return statement("key", fields)


def mgf1(seed, length):
    blocks = (hashlib.sha384(seed + struct.pack(">I", counter)).digest() for counter in range(length // 48 + 1))
    return b"".join(blocks)[:length]


def pss_encoded(message, salt):
    """EMSA-PSS with SHA-384 and a salt of 48 bytes, for 2,047 bits (RFC 8017, section 9.1.1)."""
    digest = hashlib.sha384(bytes(8) + hashlib.sha384(message).digest() + salt).digest()
    block = bytes(256 - 48 - 48 - 2) + b"\x01" + salt
    masked = bytearray(a ^ b for a, b in zip(block, mgf1(digest, len(block))))
    masked[0] &= 0x7F
    return bytes(masked) + digest + b"\xbc"


def blinding(seed):
    stream = b"".join(tagged("birthmark/blinding/v1", seed, struct.pack(">I", counter)) for counter in range(100))
    salt, rest = stream[:48], stream[48:]
    candidates = (int.from_bytes(rest[at : at + 256], "little") for at in range(0, len(rest) - 255, 256))
    return salt, next(blind for blind in candidates if blind < RSA_N)


def compressed(key):
    point = serialization.PublicFormat.CompressedPoint
    return key.public_key().public_bytes(serialization.Encoding.X962, point)


def rsa_secret():
    public = rsa.RSAPublicNumbers(RSA_E, RSA_N)
    halves = rsa.rsa_crt_dmp1(RSA_D, RSA_P), rsa.rsa_crt_dmq1(RSA_D, RSA_Q), rsa.rsa_crt_iqmp(RSA_P, RSA_Q)
    key = rsa.RSAPrivateNumbers(RSA_P, RSA_Q, RSA_D, *halves, public).private_key()
    form = serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(*form)


def blind_case(number):
    key, seed = private_key(20 + number), sha256(b"seed", bytes([number]))
    name = tagged("birthmark/one-time-key/v1", bytes.fromhex(epoch_key()["digest"]), compressed(key))
    salt, blind = blinding(seed)
    encoded = int.from_bytes(pss_encoded(name, salt), "big")
    blinded = encoded * pow(blind, RSA_E, RSA_N) % RSA_N
    signed = pow(blinded, RSA_D, RSA_N)
    signature = (signed * pow(blind, -1, RSA_N) % RSA_N).to_bytes(256, "big")
    scheme = padding.PSS(padding.MGF1(hashes.SHA384()), 48)
    rsa.RSAPublicNumbers(RSA_E, RSA_N).public_key().verify(signature, name, scheme, hashes.SHA384())
    return {
        "key": compressed(key).hex(),
        "name": name.hex(),
        "seed": seed.hex(),
        "blinded": blinded.to_bytes(256, "big").hex(),
        "blind_signature": signed.to_bytes(256, "big").hex(),
        "signature": signature.hex(),
    }


def choice_case(blinded):
    digest, challenge = tagged("birthmark/blinded-keys/v1", blinded), sha256(b"challenge")
    count = len(blinded) // 256
    rank = lambda at: tagged("birthmark/one-time-choice/v1", challenge, digest, struct.pack(">H", at))
    return {
        "blinded": blinded.hex(),
        "blinded_digest": digest.hex(),
        "request_digest": tagged("birthmark/one-time-batch/v1", bytes.fromhex(epoch_key()["digest"]), digest).hex(),
        "challenge": challenge.hex(),
        "chosen": sorted(sorted(range(count), key=rank)[: count // 2]),
        "opening_nonce": tagged("birthmark/one-time-opening/v1", challenge, digest).hex(),
    }


def one_time_request(case):
    capture = {"source": "sensor", "software": sha256(b"image").hex(), "anchor": None, "disclosure_root": sha256(b"root").hex()}
    bundle = encode_bundle(photo(), TIME, None, capture)
    body = {
        "bundle_version": 1,
        "image_hashes": photo(),
        "timestamp": TIME,
        "source": "sensor",
        "software": capture["software"],
        "disclosure_root": capture["disclosure_root"],
        "authority": "maker.example",
        "device_family": "Raspberry Pi",
        "epoch": 1483,
        "one_time_key": case["key"],
        "key_signature": b64(bytes.fromhex(case["signature"])),
        "bundle_signature": b64(sign_digest(private_key(20), bundle_digest(bundle))),
    }
    return {"body": json.dumps(body), "bundle": bundle.hex(), "name": case["name"]}


def one_time():
    blinds = [blind_case(number) for number in range(4)]
    blinded = b"".join(bytes.fromhex(case["blinded"]) for case in blinds)
    case = {
        "authority_key": public_hex(private_key(5)),
        "rsa_modulus": RSA_N.to_bytes(256, "big").hex(),
        "rsa_secret": rsa_secret().hex(),
        "statements": [
            epoch_key(),
            statement("count", struct.pack(">IQ", 1483, 41_000)),
            statement("withdrawal", b"\0" + struct.pack(">q", TIME)),
            statement("withdrawal", b"\1" + struct.pack(">Iq", 1483, TIME)),
        ],
        "blindings": blinds,
        "batch": choice_case(blinded),
        "submission": one_time_request(blinds[0]),
    }
    write(
        "one-time",
        "Keys of epochs, one-time keys signed blind, the choice of a batch, and a submission.",
        "Computed from docs/PROTOCOL.md with Python's integers; signatures verified with the Python package cryptography.",
        [case],
    )


if __name__ == "__main__":
    key_derivation()
    tokens()
    python_json()
    bundles()
    disclosures()
    verdicts()
    submissions()
    one_time()
    edits()
    gps()
    nuc_maps()
    image_data()
