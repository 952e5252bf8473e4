'use strict';
const make = (name, text, attributes = {}) => {
  const element = document.createElement(name);
  if (text) element.textContent = text;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
};
const MEANINGS = {
  400: 'Refused, with a sentence in `detail`.',
  401: 'Needs a token.',
  404: 'There is none.',
  413: 'More bytes than are read.',
  422: 'A field is missing or malformed; `detail` names it.',
  429: 'Too many requests: `Retry-After` says when to come back.',
  503: 'Not now: `Retry-After` says when to come back.',
};
const nameOf = schema => schema?.$ref?.split('/').pop();

function typeText(schema) {
  if (!schema) return '';
  if (schema.$ref) return nameOf(schema);
  if (schema.items) return `list of ${typeText(schema.items)}`;
  if (schema.oneOf) return schema.oneOf.map(typeText).filter(Boolean).join(' or ');
  return [].concat(schema.type || 'any').join(' or ');
}

function fields(schema, schemas) {
  const found = schema?.$ref ? schemas[nameOf(schema)] : schema;
  const list = make('ul');
  Object.entries(found?.properties || {}).forEach(([name, property]) => {
    const item = make('li');
    item.append(make('code', name), ` ${typeText(property)}${(found.required || []).includes(name) ? '' : ', optional'}. ${property.description || ''}`);
    list.append(item);
  });
  (found?.oneOf || []).forEach(variant => { const item = make('li', variant.description || ''); item.append(fields(variant, schemas)); list.append(item); });
  return list;
}

function operation(path, method, about, schemas) {
  const details = make('details');
  const summary = make('summary');
  summary.append(make('code', `${method.toUpperCase()} ${path}`), ` ${about.summary || ''}`);
  details.append(summary);
  if (about.description) details.append(make('p', about.description));
  if (about.security) details.append(make('p', "Needs an operator's token, or this machine's own users.", { class: 'soft' }));
  (about.parameters || []).forEach(parameter => { const line = make('p'); line.append(make('code', parameter.name), ` (${parameter.in}) ${parameter.description || ''}`); details.append(line); });
  const request = about.requestBody?.content?.['application/json'];
  if (request) {
    details.append(make('h3', 'Request'));
    if (about.requestBody.description) details.append(make('p', about.requestBody.description));
    if (request.schema) details.append(fields(request.schema, schemas));
    if (request.example) details.append(make('pre', JSON.stringify(request.example, null, 1)));
  }
  Object.entries(about.responses || {}).forEach(([status, answer]) => {
    const schema = answer.content?.['application/json']?.schema;
    details.append(make('h3', `Answer ${status}`));
    // A status without a word of its own means what it means everywhere.
    const meaning = answer.description || MEANINGS[status];
    if (meaning) details.append(make('p', meaning));
    if (schema) details.append(make('p', typeText(schema), { class: 'soft' }), fields(schema.items || schema, schemas));
  });
  return details;
}

async function show() {
  const api = await (await fetch('/openapi.json')).json();
  document.getElementById('title').textContent = `${api.info.title} ${api.info.version}`;
  document.getElementById('about').textContent = api.info.description || '';
  const groups = new Map();
  Object.entries(api.paths).forEach(([path, methods]) => Object.entries(methods).forEach(([method, about]) => {
    const tag = (about.tags || ['Other'])[0];
    groups.set(tag, [...(groups.get(tag) || []), operation(path, method, about, api.components?.schemas || {})]);
  }));
  const main = document.getElementById('main');
  main.replaceChildren();
  groups.forEach((operations, tag) => main.append(make('h2', tag), ...operations));
}
show().catch(error => { document.getElementById('waiting').textContent = `The description cannot be shown: ${error.message}`; });
