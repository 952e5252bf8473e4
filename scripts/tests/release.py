"""A release as strangers take it: with sha256sum, gpg and apt, from a folder, by a key that was made for this test.

    python3 scripts/tests/release.py XTASK

Says 77 where gpg, dpkg-deb or apt-get is missing. Nothing of the machine's own apt or gpg is read or changed.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

XTASK = pathlib.Path(sys.argv[1]).resolve()
NAMES = ["birthmark", "birthmark-common", "birthmark-camera", "birthmark-authority", "birthmark-validator"]

if not all(shutil.which(program) for program in ("gpg", "dpkg-deb", "apt-get")):
    print("gpg, dpkg-deb or apt-get is not installed")
    sys.exit(77)

place = pathlib.Path(tempfile.mkdtemp(prefix="birthmark-release-"))
architecture = subprocess.check_output(["dpkg", "--print-architecture"], text=True).strip()
home = {}


def run(*command, env=None, cwd=None):
    ended = subprocess.run(
        [str(word) for word in command], env={**os.environ, **(env or {})}, cwd=cwd, text=True, capture_output=True
    )
    return ended.returncode, ended.stdout + ended.stderr


def good(*command, **more):
    status, said = run(*command, **more)
    assert status == 0, f"{command} ended with {status}:\n{said}"
    return said


def key_of(name):
    """A key of its own gpg home; the fingerprint."""
    folder = place / f"gpg-{name}"
    folder.mkdir(mode=0o700)
    home[name] = {"GNUPGHOME": str(folder)}
    good("gpg", "--batch", "--passphrase", "", "--quick-generate-key", f"TEST {name}", "ed25519", "sign", "never", env=home[name])
    listing = good("gpg", "--batch", "--with-colons", "--list-secret-keys", env=home[name])
    return next(line.split(":")[9] for line in listing.splitlines() if line.startswith("fpr:"))


def package(folder, name, version, content):
    tree = place / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(
        f"Package: {name}\nVersion: {version}\nArchitecture: {architecture}\nMaintainer: Test <test@library.example>\n"
        "Description: a package of a test\n with a second line\n"
    )
    (tree / "content").write_text(content)
    folder.mkdir(exist_ok=True)
    good("dpkg-deb", "--root-owner-group", "--build", tree, folder / f"{name}_{version}_{architecture}.deb")


def release(*options, owner="owner"):
    return run(XTASK, "release", *options, env=home[owner])


def refused(words, *options):
    status, said = release(*options)
    assert status != 0 and words in said, f"should be refused with {words!r}:\n{said}"


def apt(repository, keyring, *command):
    """apt with nothing but this repository and this key."""
    root = place / "apt"
    for folder in ("etc/preferences.d", "etc/apt.conf.d", "state/lists/partial", "cache/archives/partial"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "status").touch()
    (root / "etc/sources.list").write_text(f"deb [signed-by={keyring}] file:{repository} stable main\n")
    options = {
        "Dir::Etc": root / "etc",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::trustedparts": "/dev/null",
        "Dir::State": root / "state",
        "Dir::State::status": root / "status",
        "Dir::Cache": root / "cache",
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
    }
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    return run("apt-get", *words, *command, cwd=root)


def is_taken(repository, keyring):
    shutil.rmtree(place / "apt", ignore_errors=True)
    updated, said = apt(repository, keyring, "update")
    # A list that is not believed is a warning to apt, and the packages are then unknown.
    if updated != 0 or "W:" in said or "E:" in said:
        return False, said
    fetched, more = apt(repository, keyring, "download", "birthmark-validator")
    return fetched == 0 and "W:" not in more, said + more


try:
    owner, stranger = key_of("owner"), key_of("stranger")
    packages = place / "packages"
    for name in NAMES:
        package(packages, name, "0.1.0", "as it ships")
    image = place / "validator.qcow2"
    image.write_text("an image")
    out = place / "out"
    status, said = release("--key", owner, "--packages", packages, "--with", image, "--out", out)
    assert status == 0 and "version 0.1.0" in said, said

    # By hand: the digests of everything, and the owner's signature over them.
    good("sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS", cwd=out)
    listed = {line.split("  ", 1)[1] for line in (out / "SHA256SUMS").read_text().splitlines()}
    there = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert listed == there - {"SHA256SUMS", "SHA256SUMS.asc"}, listed ^ there
    reader = {"GNUPGHOME": str(place / "gpg-reader")}
    pathlib.Path(reader["GNUPGHOME"]).mkdir(mode=0o700)
    good("gpg", "--batch", "--import", out / "birthmark-archive-keyring.asc", env=reader)
    verified = good("gpg", "--batch", "--status-fd", "1", "--verify", "SHA256SUMS.asc", "SHA256SUMS", cwd=out, env=reader)
    assert f"VALIDSIG {owner}" in verified, verified
    assert "PRIVATE" not in (out / "birthmark-archive-keyring.asc").read_text()

    # By apt.
    keyring = out / "birthmark-archive-keyring.asc"
    taken, said = is_taken(out / "apt", keyring)
    assert taken, said

    # Not with a package, an index or a list that somebody changed on the way, nor by another's key.
    for victim, change in (
        (f"pool/birthmark-validator_0.1.0_{architecture}.deb", lambda data: data[:-1] + bytes([data[-1] ^ 1])),
        ("dists/stable/InRelease", lambda data: data.replace(b"Label: Birthmark", b"Label: Birthmork")),
    ):
        copy = place / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(out / "apt", copy)
        file = copy / victim
        file.write_bytes(change(file.read_bytes()))
        for alternative in ("Release", "Release.gpg"):
            if victim.endswith("InRelease"):
                (copy / "dists/stable" / alternative).unlink()
        taken, said = is_taken(copy, keyring)
        assert not taken, f"taken, though {victim} was changed:\n{said}"
    by_stranger = place / "by-stranger"
    status, said = release("--key", stranger, "--packages", packages, "--out", by_stranger, owner="stranger")
    assert status == 0, said
    taken, said = is_taken(by_stranger / "apt", keyring)
    assert not taken, f"taken, though a stranger signed it:\n{said}"

    # What is no release is refused in words that say what to do, and leaves nothing.
    again = place / "again"
    refused("is there already", "--key", owner, "--packages", packages, "--out", out)
    refused("give the whole fingerprint", "--key", owner[-16:], "--packages", packages, "--out", again)
    refused("gpg has no secret key", "--key", stranger, "--packages", packages, "--out", again)
    refused("run `cargo xtask dist` first", "--key", owner, "--packages", place / "nowhere", "--out", again)
    (place / "empty").mkdir()
    refused("no packages", "--key", owner, "--packages", place / "empty", "--out", again)
    for name in NAMES[:-1]:
        package(place / "part", name, "0.1.0", "as it ships")
    refused(f"birthmark-validator is missing for {architecture}", "--key", owner, "--packages", place / "part", "--out", again)
    package(place / "part", NAMES[-1], "0.2.0", "another")
    refused("packages of several versions", "--key", owner, "--packages", place / "part", "--out", again)
    package(place / "rehearsal", NAMES[2], "0.1.0~rehearsal", "painted")
    refused("make the packages without --rehearsal", "--key", owner, "--packages", place / "rehearsal", "--out", again)
    refused("copying", "--key", owner, "--packages", packages, "--with", place / "no-image", "--out", again)
    assert not again.exists()
    print("a release: taken by apt, gpg and sha256sum, and by none of them once it was changed")
finally:
    for name in home:
        subprocess.run(["gpgconf", "--kill", "all"], env={**os.environ, **home[name]}, capture_output=True)
    shutil.rmtree(place, ignore_errors=True)
