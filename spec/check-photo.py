#!/usr/bin/env python3
"""Checks a photo's proof without a line of Birthmark's: the standard library, and openssl for curves and AES.

    check-photo.py PHOTO.jpg [ROOT.pem INTERMEDIATE.pem]      digests, signature, certificate
    check-photo.py --token ENTRY MASTER_KEY NUC_HASH          what only the authority can: open a token

Beside the photo lie its sidecar and perhaps its DNG. ENTRY is a file of the camera's queue; the two secrets are hexadecimal.
docs/PROTOCOL.md has the formats, in the sections named below.
"""
import base64, hashlib, hmac, json, pathlib, subprocess, sys, tempfile


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def openssl(*words, stdin=b""):
    done = subprocess.run(["openssl", *map(str, words)], input=stdin, capture_output=True)
    if done.returncode:
        sys.exit(f"openssl {words[0]}: {(done.stdout + done.stderr).decode()}")
    return done.stdout


def image_data(jpeg):
    """Section 2: the JPEG up to its end-of-image marker, without APP0-APP15 and COM, but with what decides about its
    colours: Adobe's APP14 and colour profiles. (Ours have one scan and neither of the two.)"""
    kept, at = [jpeg[:2]], 2
    while jpeg[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(jpeg[at + 2:at + 4], "big")
        marker, content = jpeg[at + 1], jpeg[at + 4:end]
        colours = marker == 0xEE and content.startswith(b"Adobe") or marker == 0xE2 and content.startswith(b"ICC_PROFILE\0")
        if colours or not (0xE0 <= marker <= 0xEF or marker == 0xFE):
            kept.append(jpeg[at:end])
        at = end
    return sha256(*kept, jpeg[at:jpeg.rindex(b"\xff\xd9") + 2])


def raw(dng):
    """Section 2: the samples of the second directory, packed two to three bytes."""
    def directory(at):
        rows = (dng[at + 2 + 12 * row:][:12] for row in range(int.from_bytes(dng[at:at + 2], "little")))
        return {int.from_bytes(row[:2], "little"): int.from_bytes(row[8:12], "little") for row in rows}
    frame = directory(directory(int.from_bytes(dng[4:8], "little"))[0x014A])
    samples = memoryview(dng[frame[0x0111]:][:frame[0x0117]]).cast("H")
    packed = bytearray(len(samples) // 2 * 3)
    packed[0::3] = bytes(sample >> 4 for sample in samples[0::2])
    packed[1::3] = bytes(sample >> 4 for sample in samples[1::2])
    packed[2::3] = bytes(one & 15 | (two & 15) << 4 for one, two in zip(samples[0::2], samples[1::2]))
    return sha256(packed)


def bundle_digest(bundle, anchor_block):
    """Section 3: what the camera signs; with an anchor, the hash of its block follows the bundle."""
    return sha256(b"birthmark/bundle/v1\0", bundle, bytes.fromhex(anchor_block or ""))


def check_photo(photo, root=None, intermediate=None):
    sidecar, jpeg = json.loads(photo.with_suffix(".json").read_text()), photo.read_bytes()
    bundle = base64.b64decode(sidecar["bundle"])
    found = {"file": sha256(jpeg), "image-data": image_data(jpeg)}
    if (dng := photo.with_suffix(".dng")).exists():
        found |= {"DNG": sha256(dng.read_bytes()), "raw": raw(dng.read_bytes())}
    for name, digest in found.items():
        print(f"{name:<11}", digest.hex(), "stands in the bundle" if digest in bundle else sys.exit("is not in the bundle"))
    with tempfile.TemporaryDirectory() as folder:
        at = pathlib.Path(folder)
        (at / "digest").write_bytes(bundle_digest(bundle, sidecar.get("anchor_block")))
        (at / "signature").write_bytes(base64.b64decode(sidecar["bundle_signature"]))
        (at / "camera.pem").write_bytes(openssl("x509", "-inform", "der", stdin=base64.b64decode(sidecar["camera_cert"])))
        (at / "key.pem").write_bytes(openssl("x509", "-in", at / "camera.pem", "-pubkey", "-noout"))
        openssl("pkeyutl", "-verify", "-pubin", "-inkey", at / "key.pem", "-in", at / "digest", "-sigfile", at / "signature")
        print("signature   of the bundle, by the key of the camera's certificate: holds")
        if root:
            openssl("verify", "-x509_strict", "-CAfile", root, "-untrusted", intermediate, at / "camera.pem")
            print("certificate chains to", root)


def check_token(entry, master_key, nuc_hash):
    """Sections 3 and 4: the token is AES-256-GCM, bound to the commitment; GCM is counter mode and a hash in GF(2^128)."""
    entry = json.loads(pathlib.Path(entry).read_text())
    token = entry["proof"]["token"]
    digest = bundle_digest(base64.b64decode(entry["bundle"]), entry.get("anchor_block"))
    commitment = sha256(b"birthmark/commitment/v1\0", digest, bytes.fromhex(entry["opening"]))
    extracted = hmac.digest(bytes(32), bytes.fromhex(master_key), "sha256")
    key = hmac.digest(extracted, token["key_index"].to_bytes(4, "big") + b"Birthmark\x01", "sha256").hex()
    ciphertext, nonce = bytes.fromhex(token["ciphertext"]), token["nonce"]
    opened = openssl("enc", "-aes-256-ctr", "-K", key, "-iv", nonce + "00000002", stdin=ciphertext)
    block = lambda text: int.from_bytes(openssl("enc", "-aes-256-ecb", "-nopad", "-K", key, stdin=bytes.fromhex(text)), "big")
    subkey, tag = block("00" * 16), 0
    lengths = (8 * len(commitment)).to_bytes(8, "big") + (8 * len(ciphertext)).to_bytes(8, "big")
    for at, text in enumerate(commitment + ciphertext + lengths):
        tag ^= text << 8 * (15 - at % 16)
        if at % 16 == 15:
            tag = multiplied(tag, subkey)
    tag ^= block(nonce + "00000001")
    if opened.hex() != nuc_hash or tag.to_bytes(16, "big").hex() != token["auth_tag"]:
        sys.exit("the token does not open to this camera for this photo")
    print(f"token       of table {token['table_id']}, key {token['key_index']}: opens to the camera's NUC hash, for this photo only")


def multiplied(one, two):
    product = 0
    for bit in range(127, -1, -1):
        product ^= two if one >> bit & 1 else 0
        two = two >> 1 ^ (0xE1 << 120 if two & 1 else 0)
    return product


if __name__ == "__main__":
    if len(sys.argv) == 5 and sys.argv[1] == "--token":
        check_token(*sys.argv[2:])
    elif len(sys.argv) in (2, 4):
        check_photo(*map(pathlib.Path, sys.argv[1:]))
    else:
        sys.exit(__doc__)
