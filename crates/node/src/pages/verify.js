"use strict";
// Computes digests of a photo in the browser and asks the node about them. The photo itself is never sent.

const drop = document.getElementById("drop");
const picker = document.getElementById("file");
const result = document.getElementById("result");

const hex = (buffer) => Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, "0")).join("");
const sha256 = async (bytes) => hex(await crypto.subtle.digest("SHA-256", bytes));

function join(parts) {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) { out.set(part, at); at += part.length; }
  return out;
}

// JPEG without APP0–APP15, COM, fill bytes and what follows the end of the image.
function jpegData(bytes) {
  const kept = [bytes.subarray(0, 2)];
  let at = 2, scans = false;
  for (;;) {
    if (bytes[at] !== 0xff) return null;
    while (bytes[at] === 0xff) at += 1;
    const marker = bytes[at];
    at += 1;
    if (marker === 0xd9) {
      if (!scans) return null;
      kept.push(Uint8Array.of(0xff, 0xd9));
      return join(kept);
    }
    if (marker === 0x01) { kept.push(Uint8Array.of(0xff, 0x01)); continue; }
    if (marker === undefined || marker < 0xc0 || (marker >= 0xd0 && marker <= 0xd8)) return null;
    const end = at + (bytes[at] * 256 + bytes[at + 1]);
    if (!(end >= at + 2) || end > bytes.length) return null;
    const isMetadata = (marker >= 0xe0 && marker <= 0xef) || marker === 0xfe;
    if (!isMetadata) kept.push(Uint8Array.of(0xff, marker), bytes.subarray(at, end));
    at = end;
    if (marker === 0xda) { scans = true; at = scan(bytes, at, kept); }
    if (at >= bytes.length) return null;
  }
}

// Entropy-coded data up to the next marker; fill bytes are dropped.
function scan(bytes, at, kept) {
  let start = at;
  while (at < bytes.length) {
    if (bytes[at] !== 0xff) { at += 1; continue; }
    let code = at + 1;
    while (bytes[code] === 0xff) code += 1;
    const value = bytes[code];
    const isData = value === 0 || (value >= 0xd0 && value <= 0xd7);
    kept.push(bytes.subarray(start, at));
    if (!isData) return at;
    kept.push(Uint8Array.of(0xff, value));
    at = code + 1;
    start = at;
  }
  return at;
}

// PNG: the signature, then content, length and type of every chunk that says what the image looks like.
function pngData(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const kept = [bytes.subarray(0, 8)];
  let at = 8, pixels = -1;
  const endPixels = () => { if (pixels >= 0) kept.push(chunkEnd(pixels, "IDAT")); pixels = -1; };
  while (at + 12 <= bytes.length) {
    const length = view.getUint32(at);
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (at + 12 + length > bytes.length) return null;
    const content = bytes.subarray(at + 8, at + 8 + length);
    at += 12 + length;
    if (type === "IDAT") { kept.push(content); pixels = Math.max(pixels, 0) + length; continue; }
    endPixels();
    const counts = (type.charCodeAt(0) & 0x20) === 0 || ["tRNS", "acTL", "fcTL", "fdAT"].includes(type);
    if (counts) kept.push(content, chunkEnd(length, type));
    if (type === "IEND") return join(kept);
  }
  return null;
}

function chunkEnd(length, type) {
  const end = new Uint8Array(12);
  new DataView(end.buffer).setUint32(4, length);
  for (let at = 0; at < 4; at += 1) end[8 + at] = type.charCodeAt(at);
  return end;
}

function imageData(bytes) {
  if (bytes[0] === 0xff && bytes[1] === 0xd8) return jpegData(bytes);
  if (bytes[0] === 0x89 && bytes[1] === 0x50) return pngData(bytes);
  return null;
}

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

// The words of the page without scripts.
const ASSURANCE = {
  "camera-token": "token: the authority knows the camera",
  "camera-certificate": "certificate: the camera's signature was checked",
  "camera-attested": "attested: a security chip holds the camera's key",
  "software": "certificate: of the editing software; no camera was asked about",
  "server": "none: a submission server's word",
};

function moment(seconds) {
  const time = new Date(seconds * 1000);
  return isNaN(time) ? null : time.toISOString().replace(".000", "");
}

function detail(list, name, value) {
  if (value === null || value === undefined || value === "") return;
  list.append(element("dt", name), element("dd", String(value)));
}

function show(answer, how) {
  const box = element("section", undefined, "verdict" + (answer.verified ? (answer.revocation ? " against" : " found") : ""));
  box.append(element("h2", answer.verified ? (answer.revocation ? "Registered, but read the warning" : "Registered") : "No record found"));
  box.append(element("p", answer.finding));
  if (answer.revocation) box.append(element("p", "Warning: " + answer.revocation));
  if (answer.verified) {
    box.append(element("p", how));
    box.append(element("h3", "What is not proven"));
    const limits = element("ul");
    for (const limit of answer.not_proven) limits.append(element("li", limit));
    box.append(limits);
    const list = element("dl");
    detail(list, "Registered before", answer.block_time);
    detail(list, "The device's own clock", moment(answer.timestamp));
    detail(list, "Device", answer.device_family);
    detail(list, "Block", answer.block_height);
    detail(list, "Taken in by", answer.aggregator);
    detail(list, "Vouched for by", answer.authority);
    detail(list, "Assurance", ASSURANCE[answer.source]);
    detail(list, "Records of this data", answer.records.length);
    detail(list, "Digest", answer.image_hash);
    box.append(list);
    const receipt = element("a", "Receipt (verifies offline)");
    receipt.href = "/api/v1/receipt/" + answer.image_hash;
    box.append(receipt);
  }
  result.replaceChildren(box);
}

async function look(file) {
  result.replaceChildren(element("p", "Computing digests of " + file.name + " …"));
  const bytes = new Uint8Array(await file.arrayBuffer());
  const whole = await sha256(bytes);
  const data = imageData(bytes);
  const digests = data ? [whole, await sha256(data)] : [whole];
  const response = await fetch("/api/v1/verify", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ image_hashes: digests }),
  });
  if (!response.ok) throw new Error("the node answered " + response.status);
  const [file_answer, data_answer] = (await response.json()).results;
  if (file_answer.verified) return show(file_answer, "The file is registered byte for byte.");
  if (data_answer && data_answer.verified) {
    return show(data_answer, "The file's metadata was changed or removed since; the image data is registered unchanged.");
  }
  show(file_answer, "");
}

function start(file) {
  if (!file) return;
  look(file).catch((error) => result.replaceChildren(element("p", "That did not work: " + error.message)));
}

if (window.crypto && crypto.subtle) {
  drop.hidden = false;
  picker.addEventListener("change", () => start(picker.files[0]));
  drop.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => { event.preventDefault(); drop.classList.remove("over"); start(event.dataTransfer.files[0]); });
} else {
  result.append(element("p", "Browsers compute digests only on pages served over HTTPS. Enter a digest above, or use the command: birthmark verify photo.jpg"));
}
