// Hands photos to the verifier (WebAssembly, the same Rust code as everywhere) and shows what it decides. Neither a photo nor
// its digest leaves the browser: the verifier says which files of the registry to fetch, and this script fetches those.

import init, { FileDigests, Lookup, family, kept, metadata, receipt_about, registry, typed_digest, without_metadata } from "/verifier.js";

// Larger files are not drawn: their bytes would have to be copied as a whole.
const LARGEST_DRAWN = 64 * 1024 * 1024;
const MOST_FILES = 5000;
const FILES_PER_QUESTION = 500;
const MOST_OPEN = 8;
// No receipt is larger.
const LARGEST_RECEIPT = 4 * 1024 * 1024;
const FETCHES_AT_ONCE = 4;

const byId = (id) => document.getElementById(id);
const [say, drop, summary, told, results] = ["say", "drop", "summary", "told", "results"].map(byId);
// A page that was saved as a file holds everything it needs; one that a validator serves fetches it there.
const saved = byId("verifier");
// Where the registry is asked: the site that this page came from, or was saved from.
const address = saved ? saved.dataset.registry : location.origin;
// What was dropped last. Answers to an earlier question are written into cards that no longer stand on the page.
let round = 0;
let genesis = null;
// Validators that took over later, trusted in place of the genesis.
let trusted = null;

// The texts of another language: what stands in the code and what the verifier says is English, and the key to the same in that
// language. Names in braces stand for what differs from one answer to the next.
const texts = await (async () => {
  const wanted = new URLSearchParams(location.search).get("lang") ?? navigator.language.slice(0, 2);
  const kept = byId("texts-" + wanted);
  if (kept) return { language: wanted, ...JSON.parse(kept.textContent) };
  if (saved || wanted !== "de") return { language: "en" };
  const answer = await fetch("/texts.de.json").catch(() => null);
  return answer?.ok ? { ...(await answer.json()), language: wanted } : { language: "en" };
})();

// Each text as an expression that finds what stands for the names in it. Longer ones first: they say more.
const patterns = Object.keys(texts)
  .filter((key) => key.includes("{") && key !== "language")
  .map((key) => {
    const names = [];
    const escaped = key.replace(/[.*+?^$()|[\]\\]/g, "\\$&");
    const source = escaped.replace(/\{(\w+)\}/g, (_, name) => {
      names.push(name);
      return "([^]*?)";
    });
    return { key, names, expression: new RegExp("^" + source + "$"), length: key.replace(/\{\w+\}/g, "").length };
  })
  .sort((one, other) => other.length - one.length);

function filled(text, values) {
  return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

// A text in the reader's language; in English where there is no other. What is in it is told in the same language.
function said(text) {
  if (texts.language === "en" || typeof text !== "string") return text;
  if (Object.hasOwn(texts, text)) return texts[text];
  for (const { key, names, expression } of patterns) {
    const found = expression.exec(text);
    if (found) return filled(texts[key], Object.fromEntries(names.map((name, at) => [name, said(found[at + 1])])));
  }
  const whole = text.charAt(0).toUpperCase() + text.slice(1);
  return whole !== text && said(whole) !== whole ? said(whole) : text;
}

// A text of this page with its values, which are not translated.
function t(text, values = {}) {
  return filled(Object.hasOwn(texts, text) ? texts[text] : text, values);
}

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined && text !== null) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function list(sentences, className) {
  const made = element("ul", null, className);
  for (const sentence of sentences) made.append(element("li", sentence));
  return made;
}

function tell(...sentences) {
  say.replaceChildren(...sentences.map((sentence) => element("p", sentence)));
  say.hidden = sentences.length === 0;
}

const pause = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

// Fetches a file of the registry; null where there is none. Where the validator is busy and says when to come back, it is
// asked again; what it cannot answer becomes a sentence.
async function ask(path, waiting) {
  if (!address) throw new Error(t("This saved page does not know where its registry is: it checks receipts, and asks nobody about photos."));
  for (let attempt = 0; ; attempt += 1) {
    let response;
    try {
      response = await fetch(address + "/" + path, { credentials: "omit", referrerPolicy: "no-referrer" });
    } catch {
      throw new Error(t("The validator cannot be reached. Check your connection, then try again."));
    }
    if (response.ok) return response;
    if (response.status === 404) return null;
    const body = await response.json().catch(() => null);
    const detail = typeof body?.detail === "string" ? body.detail : null;
    const after = Number(response.headers.get("retry-after"));
    const isBusy = response.status === 429 || response.status === 503;
    if (!isBusy) {
      throw new Error(detail ? t("The validator says: {detail}.", { detail }) : t("The validator answered with status {status}.", { status: response.status }));
    }
    const when = after > 0 ? after : 5;
    const why = detail ? t("The validator says: {detail}.", { detail }) : t("The validator is busy.");
    if (attempt === 3 || when > 30) throw new Error(t("{why} Try again in {seconds} seconds.", { why, seconds: when }));
    waiting(t("{why} Asking again in {seconds} seconds …", { why, seconds: when }));
    await pause(when);
  }
}

// Fetches what the verifier names, some files at once, until nothing is missing or something does not hold.
async function drive(lookup, waiting) {
  for (let fetched = 0; ; ) {
    const step = JSON.parse(lookup.wants());
    if (step.failed) throw new Error(t("It could not be asked: {reason}.", { reason: said(step.failed) }));
    if (step.refused || !step.fetch.length) return;
    const files = step.fetch;
    const work = async () => {
      for (let file = files.shift(); file; file = files.shift()) {
        const answer = await ask(file, waiting);
        const bytes = answer && new Uint8Array(await answer.arrayBuffer());
        if (bytes) lookup.take(file, bytes);
        else lookup.missing(file);
        fetched += 1;
        waiting(t("Asking the validator, file {number} …", { number: fetched }));
      }
    };
    // All must have ended before the lookup is given up.
    const ended = await Promise.allSettled(Array.from({ length: FETCHES_AT_ONCE }, work));
    const failed = ended.find((one) => one.status === "rejected");
    if (failed) throw failed.reason;
  }
}

// One file or digest, with the card that stands for it and for nothing else.
class Subject {
  constructor(name, file) {
    this.name = name;
    this.file = file;
    this.card = element("article", null, "card working");
    this.card.setAttribute("aria-label", name);
    this.working(t("Waiting …"));
  }

  working(what) {
    const words = element("div", null, "words");
    words.append(element("p", this.name, "name"), element("p", what));
    this.card.replaceChildren(words);
  }

  failed(error, headline = t("It could not be found out")) {
    const words = element("div", null, "words");
    const again = element("button", t("Try again"));
    again.type = "button";
    again.addEventListener("click", () => run([this]));
    words.append(element("p", this.name, "name"), element("h2", headline, "headline"), element("p", error.message));
    if (this.digests || this.file) words.append(again);
    this.card.className = "card unproven";
    this.card.replaceChildren(words);
    this.tone = "failed";
  }

  async read() {
    if (!this.file) return;
    const hasher = new FileDigests();
    const reader = this.file.stream().getReader();
    let read = 0;
    let shown = 0;
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      hasher.update(value);
      read += value.length;
      if (this.file.size > 20_000_000 && read - shown > 10_000_000) {
        shown = read;
        this.working(t("Reading, {percent} % …", { percent: Math.floor((read / this.file.size) * 100) }));
      }
    }
    this.digests = JSON.parse(hasher.finish());
  }

  // Everything that is known once nothing is missing.
  async find(lookup) {
    const file = JSON.stringify(this.digests);
    this.receipt = lookup.receipt(file);
    const inside = this.receipt === undefined ? undefined : await this.lookInside();
    this.show(JSON.parse(lookup.card(file, inside)));
  }

  // By the receipt that lies beside it: the photo is looked up nowhere.
  async findKept() {
    this.working(t("Checking the receipt …"));
    await connect();
    const file = this.file ? JSON.stringify(this.digests) : undefined;
    const inside = await this.lookInside();
    this.receipt = this.kept;
    this.show(JSON.parse(kept(trusted ?? genesis, this.kept, file, inside, await notices())));
  }

  // What the file says about itself, as JSON.
  async lookInside() {
    if (!this.file || this.file.size > LARGEST_DRAWN || this.digests.kind !== "picture") return undefined;
    this.bytes = new Uint8Array(await this.file.arrayBuffer());
    const inside = metadata(this.bytes);
    this.isTurned = JSON.parse(inside).orientation !== null;
    return inside;
  }

  show(card) {
    this.tone = card.tone;
    this.card.className = "card " + card.tone;
    const top = element("div", null, "top");
    const words = element("div", null, "words");
    words.append(element("p", this.name, "name"), element("h2", said(card.headline), "headline"));
    if (card.warnings.length) words.append(list(card.warnings.map(said), "warnings"));
    const sentence = element("blockquote", null, "sentence");
    sentence.append(element("p", said(card.sentence)));
    words.append(sentence);
    if (card.times) words.append(times(card.times));
    top.append(words);
    const picture = this.picture(card);
    if (picture) {
      top.classList.add("with-picture");
      top.append(picture);
    }
    const more = this.more(card);
    this.card.replaceChildren(top, ...(more ? [more] : []));
  }

  // The picture as it is registered: where only the image data matched, without whatever else the file says.
  picture(card) {
    if (!this.file || this.file.size === 0 || this.digests.kind === "no-picture" || this.file.size > LARGEST_DRAWN) return null;
    const isPictureOnly = card.matched?.role === "image-data" && this.bytes;
    const shown = isPictureOnly ? new Blob([without_metadata(this.bytes)], { type: this.file.type }) : this.file;
    this.bytes = null;
    const figure = element("figure");
    const image = element("img");
    image.alt = t("The picture in {name}", { name: this.name });
    image.src = URL.createObjectURL(shown);
    image.addEventListener("load", () => URL.revokeObjectURL(image.src));
    image.addEventListener("error", () => {
      // A format that this browser does not draw.
      URL.revokeObjectURL(image.src);
      figure.parentElement?.classList.remove("with-picture");
      figure.remove();
    });
    figure.append(image);
    if (isPictureOnly) {
      const turned = t("As registered, without the file's metadata; the file itself asks viewers to turn or mirror it");
      figure.append(element("figcaption", this.isTurned ? turned : t("As registered, without the file's metadata")));
    }
    return figure;
  }

  more(card) {
    const more = element("div", null, "more");
    const part = (title, sentences) => {
      if (sentences.length) more.append(element("h3", title), list(sentences.map(said)));
    };
    part(t("What this file says, and the record does not"), card.not_covered);
    part(t("What is not proven"), card.not_proven);
    const relatives = element("div", null, "family");
    if (card.parent && !card.family?.made_from.length) {
      const original = { what: "another registered image", digest: card.parent };
      card.family = { made_into: [], same_photo: [], limits: ["It was not looked up: a second range would tell more about this photo."], ...card.family, made_from: [original] };
    }
    if (card.family) relatives.append(...drawnFamily(card.family));
    if (card.matched) more.append(relatives);
    part(t("About this file"), card.notes);
    if (card.facts.length || card.digests.length) more.append(details(card));
    if (card.matched) more.append(this.actions(card));
    return more.childElementCount ? more : null;
  }

  actions(card) {
    const row = element("p", null, "row actions");
    if (this.receipt && card.checked) {
      const name = this.file ? this.name.split("/").pop() : card.matched.digest.slice(0, 16);
      const receipt = element("a", t("Download the receipt"), "button");
      receipt.href = URL.createObjectURL(new Blob([this.receipt], { type: "application/octet-stream" }));
      receipt.download = name + ".birthmark";
      row.append(receipt);
    }
    // What stands behind # is not sent to any server.
    const link = element("a", t("Link to this record"), "button");
    link.href = address + "/#" + card.matched.digest;
    row.append(link);
    row.append(this.relativesButton(card));
    if (navigator.clipboard) {
      const copy = element("button", t("Copy the sentence"), "plain");
      copy.type = "button";
      copy.addEventListener("click", async () => {
        await navigator.clipboard.writeText(said(card.sentence));
        copy.textContent = t("Copied");
      });
      row.append(copy);
    }
    return row;
  }

  // What was made from a photo can only be asked by naming it, so nothing is asked before somebody wants it.
  relativesButton(card) {
    const button = element("button", t("Ask for its edits (names the photo to this validator)"), "plain");
    button.type = "button";
    button.addEventListener("click", async () => {
      button.disabled = true;
      const place = this.card.querySelector(".family");
      try {
        const answer = await ask("api/v1/provenance/" + card.matched.digest, () => {});
        const drawn = answer ? drawnFamily(JSON.parse(family(await answer.text(), card.index))) : [];
        place.replaceChildren(...(drawn.length ? drawn : [element("p", t("This validator knows of no edit of it."))]));
      } catch (error) {
        place.replaceChildren(element("p", error.message));
        button.disabled = false;
      }
    });
    return button;
  }
}

function times(times) {
  const made = element("ul", null, "times");
  if (times.after) made.append(element("li", t("Not before {time} (proven)", { time: times.after })));
  made.append(element("li", t("Existed before {time} (proven)", { time: times.before })));
  made.append(element("li", t("Taken at {time} by the device's own clock (claimed)", { time: times.claimed })));
  return made;
}

function details(card) {
  const made = element("details");
  made.append(element("summary", t("Details")));
  const facts = element("dl");
  for (const fact of card.facts) facts.append(element("dt", said(fact.name)), element("dd", said(fact.value)));
  for (const found of card.digests) {
    if (found.digest !== card.matched?.digest) facts.append(element("dt", t("SHA-256, {role}", { role: said(found.role) })), element("dd", found.digest));
  }
  made.append(facts);
  if (card.checked) {
    made.append(element("p", said(card.checked)));
    made.append(element("p", t("This was checked in your browser. The receipt proves it again without a network, for ever: {command}", { command: "birthmark receipt show FILE.birthmark --genesis genesis.json" }), "soft"));
  }
  return made;
}

// The family as a picture: originals above, the photo in the middle with its other data, what was made from it below. It is a
// list, so that whoever has the page read out hears the same in the same order.
function drawnFamily(family) {
  if (!family.made_from.length && !family.made_into.length && !family.same_photo.length) return [];
  const tree = element("ol", null, "tree");
  const box = (kind, label, member) => {
    const item = element("li", null, kind);
    item.append(element("span", label, "kind"));
    if (member) item.append(" ", relative(member));
    tree.append(item);
    return item;
  };
  for (const member of [...family.made_from].reverse()) box("from", t("Made from"), member);
  const own = box("own", t("This photo"));
  if (family.same_photo.length) {
    const data = element("ul");
    for (const member of family.same_photo) {
      const item = element("li");
      item.append(relative(member));
      data.append(item);
    }
    own.append(element("p", t("The same photo in other data")), data);
  }
  for (const member of family.made_into) box("into", t("Made from this"), member);
  return [element("h3", t("Its family")), tree, element("p", said(family.limits[0]), "soft")];
}

// One relative: what it is, as a link to look it up, and first of all what was withdrawn of it.
function relative(member) {
  const shown = element("span");
  if (member.notice) shown.append(element("strong", t("Withdrawn: {notice}. ", { notice: member.notice })));
  const link = element("a", member.digest.slice(0, 12) + "…", "hash");
  link.href = "#" + member.digest;
  shown.append(said(member.what) + " ", link);
  return shown;
}

const WORDS = {
  registered: "registered",
  picture: "registered, metadata not covered",
  edit: "registered as an edit or by a server",
  rehearsal: "rehearsal records",
  withdrawn: "withdrawn",
  unproven: "refused or not proven",
  unknown: "without a record",
  failed: "not found out",
};

function summarise(subjects) {
  const counts = new Map();
  for (const subject of subjects) counts.set(subject.tone, (counts.get(subject.tone) || 0) + 1);
  const parts = Object.entries(WORDS).filter(([tone]) => counts.has(tone)).map(([tone, words]) => counts.get(tone) + " " + t(words));
  summary.textContent = subjects.length === 1 ? "" : t("{count} files: {parts}", { count: subjects.length, parts: parts.join("; ") });
}

// How far it is, some twenty times in all: whoever has the page read out would hear nothing else otherwise.
function progress(done, all, what) {
  if (all > 1 && done % Math.ceil(all / 20) === 0) summary.textContent = t(what, { done, all });
}

// Where there are many, a card that found nothing is folded.
function fold(subjects) {
  if (subjects.length <= MOST_OPEN) return;
  const order = ["withdrawn", "failed", "unproven", "rehearsal", "edit", "picture", "registered", "unknown"];
  const rank = (subject) => order.indexOf(subject.tone);
  const sorted = [...subjects].sort((one, two) => rank(one) - rank(two));
  const open = sorted.filter((subject) => subject.tone !== "unknown");
  const folded = element("details");
  folded.append(element("summary", t("{count} files without a record", { count: subjects.length - open.length })));
  folded.append(...sorted.slice(open.length).map((subject) => subject.card));
  const shown = open.map((subject) => subject.card);
  results.replaceChildren(...shown, ...(open.length < subjects.length ? [folded] : []));
}

async function connect() {
  if (genesis) return;
  if (saved) {
    genesis = byId("genesis").textContent;
    return;
  }
  const answer = await ask("api/v1/genesis", (what) => tell(what));
  if (!answer) throw new Error(t("This address has no genesis, so nothing can be checked."));
  const text = await answer.text();
  // A registry never changes its genesis. Whoever was here before would be told, were this another registry.
  const { genesis: hash } = JSON.parse(registry(text));
  genesis = text;
  let known = null;
  try {
    known = localStorage.getItem("genesis");
    localStorage.setItem("genesis", hash);
  } catch {
    // A browser that keeps nothing compares nothing.
  }
  if (known && known !== hash) {
    tell(
      t("This address now serves another registry than when this browser was here last: its genesis was {old}…, and is {new}….", { old: known.slice(0, 16), new: hash.slice(0, 16) }),
      t("Do not rely on its answers before you know why."),
    );
  }
}

// What is known against cameras: names no photo. Nothing where nobody can be asked.
async function notices() {
  const answer = await ask("api/v1/notices", () => {}).catch(() => null);
  return answer ? answer.text() : undefined;
}

// Receipts that were dropped, by the digests that they are about.
class Receipts {
  constructor() {
    this.byDigest = new Map();
    this.unused = new Map();
    this.refused = [];
  }

  async take(name, file) {
    try {
      if (file.size > LARGEST_RECEIPT) throw new Error(t("it is too large for a receipt"));
      const bytes = new Uint8Array(await file.arrayBuffer());
      const about = receipt_about(bytes);
      this.unused.set(bytes, { name, about });
      for (const found of JSON.parse(about).digests) this.byDigest.set(found.digest, bytes);
    } catch (error) {
      this.refused.push([name, error.message]);
    }
  }

  // The receipt of a file, if it was dropped beside it.
  of(digests) {
    const found = digests.digests.map((one) => this.byDigest.get(one.digest)).find((bytes) => bytes);
    if (found) this.unused.delete(found);
    return found;
  }

  // Those that no photo was dropped beside, each as a subject of its own.
  left() {
    return [...this.unused].map(([bytes, { name, about }]) => {
      const subject = new Subject(name, null);
      subject.digests = JSON.parse(about);
      subject.kept = bytes;
      return subject;
    });
  }
}

const isReceipt = (name) => name.toLowerCase().endsWith(".birthmark");
const isSet = (name) => name.toLowerCase().endsWith(".trusted");

// A set of validators that was dropped is trusted until the page is loaded again: whoever drops it answers for it.
async function trust(name, file) {
  try {
    if (file.size > LARGEST_RECEIPT) throw new Error(t("it is too large for a set of validators"));
    const text = await file.text();
    const about = JSON.parse(registry(text));
    await connect();
    const own = JSON.parse(registry(genesis));
    if (about.genesis !== own.genesis) throw new Error(t("it belongs to the registry with the genesis {other}…, and this page to that with {own}…", { other: about.genesis.slice(0, 16), own: own.genesis.slice(0, 16) }));
    trusted = text;
    tell(t("Receipts and answers are now checked against the {count} validators in {name}, trusted from block {since} on. Their set has the hash {set}: compare it with what others publish.", { ...about, count: about.validators, name }));
  } catch (error) {
    tell(t("The validators in {name} are not trusted: {reason}.", { name, reason: said(error.message) }));
  }
}

// Looks subjects up, as many as one question holds at a time.
async function run(subjects, receipts) {
  const mine = round;
  let asked = [];
  let answered = 0;
  let read = 0;
  const flush = async () => {
    const batch = asked;
    asked = [];
    if (!batch.length) return;
    let lookup = null;
    try {
      await connect();
      const files = JSON.stringify(batch.map((subject) => subject.digests));
      lookup = new Lookup(trusted ?? genesis, files, crypto.getRandomValues(new Uint8Array(32)));
      await drive(lookup, (what) => batch.forEach((subject) => subject.working(what)));
      for (const subject of batch) {
        if (mine !== round) return;
        await subject.find(lookup).catch((error) => subject.failed(error));
        answered += 1;
        progress(answered, subjects.length, "{done} of {all} files answered");
      }
      told.textContent = said(lookup.told());
    } catch (error) {
      batch.forEach((subject) => subject.failed(error));
    } finally {
      lookup?.free();
    }
  };
  for (const subject of subjects) {
    if (mine !== round) return;
    subject.card.className = "card working";
    subject.working(t("Reading …"));
    try {
      await subject.read();
    } catch {
      subject.failed(new Error(t("The file cannot be read. It may have been moved, changed or deleted since it was chosen.")));
      continue;
    }
    read += 1;
    progress(read, subjects.length, "{done} of {all} files read");
    subject.kept ??= receipts?.of(subject.digests);
    if (subject.kept) {
      await subject.findKept().catch((error) => subject.failed(error));
    } else {
      asked.push(subject);
      subject.working(t("Asking the validator …"));
    }
    if (asked.length >= FILES_PER_QUESTION) await flush();
  }
  await flush();
  if (mine !== round) return;
  const all = [...subjects, ...(await alone(receipts))];
  if (all.length > 1) {
    summarise(all);
    fold(all);
  }
}

// Receipts without their photos say what they are about.
async function alone(receipts) {
  const subjects = receipts ? receipts.left() : [];
  for (const subject of subjects) {
    results.append(subject.card);
    await subject.findKept().catch((error) => subject.failed(error));
  }
  for (const [name, reason] of receipts?.refused ?? []) {
    const subject = new Subject(name, null);
    results.append(subject.card);
    subject.failed(new Error(t("This receipt cannot be read: {reason}.", { reason: said(reason) })), t("This receipt was refused"));
    subject.tone = "unproven";
    subjects.push(subject);
  }
  return subjects;
}

function start(subjects, receipts) {
  round += 1;
  summary.textContent = "";
  told.textContent = "";
  results.replaceChildren(...subjects.map((subject) => subject.card));
  summary.textContent = subjects.length > 1 ? t("{count} files", { count: subjects.length }) : "";
  results.scrollIntoView({ block: "nearest" });
  return run(subjects, receipts);
}

async function startFiles(named) {
  if (!named.length) {
    tell(t("There is no file in what was dropped."));
    return;
  }
  tell(...(named.length > MOST_FILES ? [t("These are {count} files; the first {most} are looked up. For more use the command: {command}", { count: named.length, most: MOST_FILES, command: "birthmark verify FOLDER --node " + address })] : []));
  // What was there before goes at once: nobody shall take it for the answer about these.
  round += 1;
  const mine = round;
  results.replaceChildren();
  const receipts = new Receipts();
  const photos = [];
  for (const [name, file] of named.slice(0, MOST_FILES)) {
    if (isSet(name)) await trust(name, file);
    else if (isReceipt(name)) await receipts.take(name, file);
    else photos.push(new Subject(name, file));
  }
  if (mine === round) start(photos, receipts);
}

function startDigest(text) {
  let digests;
  try {
    digests = JSON.parse(typed_digest(text));
  } catch (error) {
    tell(t("This is no SHA-256 digest: {reason}.", { reason: said(error.message) }));
    return;
  }
  tell();
  const subject = new Subject("SHA-256 " + digests.digests[0].digest, null);
  subject.digests = digests;
  start([subject]);
}

// Files and, inside folders, all files; each with its path.
async function filesOf(transfer) {
  const entries = [...transfer.items].filter((item) => item.kind === "file").map((item) => [item.webkitGetAsEntry?.(), item.getAsFile()]);
  const found = [];
  for (const [entry, file] of entries) {
    if (entry?.isDirectory) await walk(entry, found);
    else if (file) found.push([file.name, file]);
  }
  return found;
}

async function walk(folder, found) {
  const reader = folder.createReader();
  for (;;) {
    const entries = await new Promise((done, failed) => reader.readEntries(done, failed));
    if (!entries.length || found.length > MOST_FILES) return;
    for (const entry of entries) {
      if (entry.isDirectory) await walk(entry, found);
      else found.push([entry.fullPath.slice(1), await new Promise((done, failed) => entry.file(done, failed))]);
    }
  }
}

async function dropped(event) {
  event.preventDefault();
  document.body.classList.remove("over");
  const transfer = event.dataTransfer;
  const isFromPage = [...transfer.types].some((type) => type === "text/uri-list" || type === "text/html");
  const files = await filesOf(transfer).catch(() => []);
  if (!files.length && isFromPage) {
    tell(t("A picture dragged from another page does not bring its file along. Save it first (open its menu, “Save image as”), then drop the saved file here."));
    return;
  }
  startFiles(files);
  if (isFromPage && files.length) tell(t("This picture came from another page. Browsers may hand it over changed: if it is not found, save it there and drop the saved file."));
}

function listen() {
  const pick = (button, input) => {
    byId(button).addEventListener("click", () => byId(input).click());
    byId(input).addEventListener("change", () => {
      startFiles([...byId(input).files].map((file) => [file.webkitRelativePath || file.name, file]));
      // The same files can be chosen again.
      byId(input).value = "";
    });
  };
  pick("choose", "files");
  pick("choose-folder", "folder");
  byId("choose-folder").hidden = !("webkitdirectory" in byId("folder"));
  let depth = 0;
  document.addEventListener("dragenter", () => { depth += 1; document.body.classList.add("over"); });
  document.addEventListener("dragleave", () => { depth -= 1; if (depth <= 0) document.body.classList.remove("over"); });
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => { depth = 0; dropped(event); });
  byId("digest-form").addEventListener("submit", (event) => {
    event.preventDefault();
    startDigest(byId("image_hash").value);
  });
  window.addEventListener("hashchange", startLinked);
  // The saved page asks where this one came from.
  if (byId("save")) byId("save").href = "/birthmark.html?registry=" + encodeURIComponent(address);
}

// A record that a link names behind #.
function startLinked() {
  const linked = location.hash.slice(1);
  if (linked) startDigest(linked);
  return linked !== "";
}

// The page's own texts, and a link to the same page in the other language.
function translatePage() {
  const other = texts.language === "en" ? "de" : "en";
  const names = { de: "Deutsch", en: "English" };
  const place = byId("language");
  place.href = "?lang=" + other + location.hash;
  place.lang = other;
  place.textContent = names[other];
  place.hidden = false;
  document.documentElement.lang = texts.language;
  document.title = said(document.title);
  for (const shown of document.querySelectorAll("[data-said]")) shown.textContent = said(shown.textContent.trim().replace(/\s+/g, " "));
  drop.setAttribute("aria-label", said(drop.getAttribute("aria-label")));
}

translatePage();
const command = "birthmark verify photo.jpg --node " + (address || "URL");
try {
  const bytes = saved && Uint8Array.from(atob(saved.textContent.trim()), (character) => character.charCodeAt(0));
  await init({ module_or_path: bytes ?? "/verifier.wasm" });
  drop.hidden = false;
  listen();
  if (!window.isSecureContext) {
    tell(t("This page came over plain HTTP: whoever is on the way could have changed it. For an answer that counts, use the command: {command}", { command: command + " --genesis FILE" }));
  }
  if (!startLinked() && byId("image_hash").value.trim()) startDigest(byId("image_hash").value);
} catch {
  tell(t("This browser cannot run the verifier (WebAssembly). Enter a digest below, or use the command: {command}", { command }));
}
