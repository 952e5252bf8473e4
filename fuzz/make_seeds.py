#!/usr/bin/env python3
"""Writes the inputs that the fuzz targets begin with, from the test vectors; with --check says whether they are those of
today's vectors. Needs nothing but Python."""

import base64
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
VECTORS = HERE.parent / "spec" / "vectors"
FIXTURES = HERE.parent / "crates" / "protocol" / "tests" / "fixtures"
SEEDS = {}


def cases(name):
    return json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))["cases"]


def seed(target, name, content):
    SEEDS[HERE / "seeds" / target / name] = content if isinstance(content, bytes) else content.encode()


def write():
    for path, content in SEEDS.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def check():
    """Others may lie there too: inputs on which a parser once failed."""
    stale = [path for path, content in SEEDS.items() if not path.exists() or path.read_bytes() != content]
    for path in stale:
        print(f"{path.relative_to(HERE)} is not what the vectors say: run fuzz/make_seeds.py")
    return not stale


def requests():
    for number, case in enumerate(cases("submissions")):
        seed("submission", f"{number}", case["body"])
        seed("json", f"submission-{number}", case["body"])
    for number, case in enumerate(cases("edits")):
        seed("edit", f"{number}", case["body"])
    hashed = {"image_hash": "ab" * 32, "timestamp": 1, "submission_server_id": "press.example", "modification_level": 1}
    seed("submission", "registered", json.dumps(hashed))
    for number, case in enumerate(cases("python-json")[:-1]):
        seed("json", f"{number}", case["text"])
    certificate = base64.b64encode((FIXTURES / "test-camera-raw.der").read_bytes()).decode()
    questions = [{"commitment": "ab" * 32, "camera_cert": certificate, "image_hash": "ab" * 32}]
    for case in cases("tokens"):
        token = case["structured"]
        questions.append({"commitment": "ab" * 32, "camera_token": token, "manufacturer_authority_id": "maker"})
        packed = {"ciphertext": case["packed_hex_of_base64"], "table_references": [1, 42, 3], "key_indices": [1, 137, 3]}
        questions.append({"commitment": "ab" * 32, **packed})
        nuc = {"encrypted_nuc_hash": token["ciphertext"] + token["auth_tag"], "nonce": token["nonce"]}
        seed("authority_request", "nuc", json.dumps({**nuc, "table_id": 42, "key_index": 137}))
    for number, question in enumerate(questions[:4]):
        seed("authority_request", f"{number}", json.dumps(question))
    seed("authority_request", "batch", json.dumps({"requests": questions[:4]}))


def formats():
    for number, case in enumerate(cases("bundles")):
        seed("bundle", f"{number}", bytes.fromhex(case["bundle"]))
    for number, case in enumerate(cases("verdicts")):
        seed("verdict", f"{number}", bytes.fromhex(case["signed_verdict"]))
        seed("keys", f"point-{number}", bytes.fromhex(case["public_key"]))
    for number, stated in enumerate(cases("one-time")[0]["statements"]):
        seed("one_time", f"statement-{number}", bytes.fromhex(stated["signed"]))
    seed("one_time", "submission", cases("one-time")[0]["submission"]["body"])
    for number, case in enumerate(cases("tokens")[:2]):
        seed("token", f"structured-{number}", json.dumps(case["structured"]))
        seed("token", f"base64-{number}", case["packed_base64"])
        seed("token", f"twice-{number}", case["packed_hex_of_base64"])
        seed("token", f"extension-{number}", bytes.fromhex(case["extension_hex"]))
    for number, case in enumerate(cases("gps")):
        seed("gps", f"position-{number}", case["position"])
        nmea = case["nmea"]
        seed("gps", f"fields-{number}", ",".join([*nmea["latitude"], *nmea["longitude"], nmea["altitude"]]))
    for number, case in enumerate(cases("disclosures")):
        seed("disclosure", f"{number}", json.dumps(case["disclosure"]))
    seed("nuc", "map", bytes.fromhex(cases("nuc-maps")[0]["file"]))
    for case in cases("image-data"):
        seed("image_data", case["name"], b"\x10" + base64.b64decode(case["file_base64"]))
    seed("png", "chunks", b"\x01\x04note\x00\x06pixels\x00\x02xx")


def files():
    for path in sorted(FIXTURES.glob("test-*")):
        is_key = "spki" in path.name or ".pub." in path.name
        seed("keys" if is_key else "certificate", path.name, path.read_bytes())
    for case in cases("attestation"):
        seed("attestation", "evidence", json.dumps(case["evidence"]))
        for name in ["endorsement_key", "attestation_key", "signing_key", "statement"]:
            seed("attestation", name, base64.b64decode(case["evidence"][name]))
    body = json.loads(cases("submissions")[-1]["body"])
    seed("keys", "signature", base64.b64decode(body["bundle_signature"]))


def ledger():
    vectors = json.loads((VECTORS / "ledger.json").read_text(encoding="utf-8"))
    groups = {
        "block": ["block", "header"],
        "transaction": ["transaction", "leaf"],
        "validators": ["validators", "set_change", "certificate", "frontier_before", "frontier_after"],
    }
    for target, names in groups.items():
        for name in names:
            seed(target, name, bytes.fromhex(vectors[name]))
    for number, case in enumerate(json.loads((VECTORS / "index.json").read_text(encoding="utf-8"))["answers"]):
        seed("index", f"{number}", bytes.fromhex(case["answer"]))
    for name in ["checkpoint", "tlog_proof"]:
        seed("notes", name, vectors[name])
    seed("receipt", "genesis", json.dumps(vectors["genesis"]))
    seed("receipt", "receipt", base64.b64decode(vectors["receipt"]))
    seed("receipt", "handed_over_receipt", base64.b64decode(vectors["handed_over_receipt"]))


if __name__ == "__main__":
    requests()
    formats()
    files()
    ledger()
    if "--check" in sys.argv[1:]:
        sys.exit(0 if check() else 1)
    write()
