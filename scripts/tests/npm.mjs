// The verifier as a package of npm, installed and used as a stranger would.
//
//     node scripts/tests/npm.mjs FOLDER_OF_THE_PACKAGE

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [, , folder] = process.argv;
const root = resolve(import.meta.dirname ?? ".", "../..");
const vectors = JSON.parse(readFileSync(join(root, "spec/vectors/ledger.json"), "utf8"));
const desk = mkdtempSync(join(tmpdir(), "birthmark-npm-"));

try {
  // What is published is what `npm pack` takes, no more and no less.
  const packed = execFileSync("npm", ["pack", "--json", "--pack-destination", desk], { cwd: folder, encoding: "utf8" });
  const [{ filename, files }] = JSON.parse(packed);
  const names = files.map((file) => file.path).sort();
  assert.deepEqual(names, ["LICENSE", "README.md", "birthmark_verify_wasm.d.ts", "birthmark_verify_wasm.js", "birthmark_verify_wasm_bg.wasm", "package.json"]);
  writeFileSync(join(desk, "package.json"), JSON.stringify({ name: "desk", private: true, type: "module" }));
  execFileSync("npm", ["install", "--offline", "--no-audit", "--no-fund", join(desk, filename)], { cwd: desk, stdio: "pipe" });

  const require = createRequire(join(desk, "index.js"));
  const verify = await import(pathToFileURL(require.resolve("birthmark-verify")));
  await verify.default({ module_or_path: readFileSync(require.resolve("birthmark-verify/module.wasm")) });

  const types = readFileSync(join(desk, "node_modules/birthmark-verify/birthmark_verify_wasm.d.ts"), "utf8");
  for (const name of ["FileDigests", "Lookup", "family", "kept", "metadata", "receipt_about", "registry", "typed_digest", "without_metadata"]) {
    assert.ok(name in verify, name + " is exported");
    assert.match(types, new RegExp("export (class|function) " + name + "\\b"), name + " has a type");
  }

  // A file's digests, chunk by chunk.
  const hasher = new verify.FileDigests();
  for (const chunk of ["not ", "a ", "picture"]) hasher.update(Buffer.from(chunk));
  const digests = JSON.parse(hasher.finish());
  assert.equal(digests.digests[0].digest, createHash("sha256").update("not a picture").digest("hex"));

  // A receipt holds against its genesis, against a set of validators that is trusted instead, and not when a bit is changed.
  const genesis = JSON.stringify(vectors.genesis);
  const receipt = Buffer.from(vectors.receipt, "base64");
  const about = JSON.parse(verify.registry(genesis));
  assert.equal(about.genesis, vectors.genesis_hash);
  assert.equal(about.set, vectors.validators_hash);
  const judged = (trusted, bytes) => JSON.parse(verify.kept(trusted, bytes, undefined, undefined, undefined));
  assert.match(judged(genesis, receipt).checked, /^The receipt holds/);
  const { chain_id, validators } = vectors.genesis;
  const set = { chain_id, genesis: about.genesis, rehearsal: false, since: 1, validators };
  assert.match(judged(JSON.stringify(set), receipt).checked, /^The receipt holds/);
  const late = judged(JSON.stringify({ ...set, since: 900 }), receipt);
  assert.match(late.sentence, /older than the trusted validators/);
  const bent = Buffer.from(receipt);
  bent[bent.length - 1] ^= 1;
  assert.equal(judged(genesis, bent).headline, "This receipt was refused");
  assert.throws(() => verify.receipt_about(Buffer.from("no receipt")), /does not begin like one/);

  // A question that names no photo begins with the newest block, and believes nothing that was not decided.
  const lookup = new verify.Lookup(genesis, "[" + JSON.stringify(digests) + "]", new Uint8Array(32).fill(7));
  assert.deepEqual(JSON.parse(lookup.wants()).fetch, ["api/v1/head"]);
  lookup.take("api/v1/head", Buffer.from("{}"));
  assert.ok(JSON.parse(lookup.wants()).refused);
  lookup.free();
} finally {
  rmSync(desk, { recursive: true });
}
