"use strict";
// Draws the interface's description from openapi.json.

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

async function draw() {
  const api = await (await fetch("/openapi.json")).json();
  const main = document.getElementById("paths");
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const section = element("section", undefined, "verdict");
      section.append(element("h2", method.toUpperCase() + " " + path));
      section.append(element("p", operation.description || operation.summary || ""));
      const answers = element("dl");
      for (const [status, answer] of Object.entries(operation.responses || {})) {
        answers.append(element("dt", status), element("dd", answer.description || ""));
      }
      section.append(answers);
      main.append(section);
    }
  }
}

draw();
