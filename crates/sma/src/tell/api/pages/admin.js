'use strict';
const at = id => document.getElementById(id);
const make = (name, text, attributes = {}) => {
  const element = document.createElement(name);
  if (text !== undefined && text !== null) element.textContent = text;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
};
const number = value => Number(value).toLocaleString('en');
const moment = seconds => seconds === null || seconds === undefined ? '' : new Date(seconds * 1000).toISOString().slice(0, 16).replace('T', ' ');
// An answer stands beside the control that was used: at the top nobody would see it.
const say = (place, text, bad) => { at(place).textContent = text; at(place).className = bad ? 'bad' : 'good'; };

async function ask(path, options = {}) {
  const token = sessionStorage.getItem('token');
  const headers = { ...(options.body ? { 'content-type': 'application/json' } : {}), ...(token ? { authorization: `Bearer ${token}` } : {}) };
  let answer;
  try { answer = await fetch(path, { ...options, headers }); } catch { throw new Error('The authority does not answer. Is it running, and is the network well?'); }
  if (answer.status === 401) {
    signIn(token ? 'This token is not known here, has expired or was withdrawn. Make one with birthmark-sma token create.' : '');
    throw new SignedOut();
  }
  if (answer.status === 204) return null;
  const body = await answer.json();
  if (!answer.ok) {
    const error = new Error(typeof body.detail === 'string' ? body.detail : body.detail.map(item => `${item.loc.slice(1).join('.')}: ${item.msg}`).join('; '));
    error.status = answer.status;
    throw error;
  }
  return body;
}

// What signIn() showed already.
class SignedOut extends Error {}
const complain = (place, error) => { if (!(error instanceof SignedOut)) say(place, error.message, true); };

function signIn(why) {
  sessionStorage.removeItem('token');
  at('content').hidden = at('sign-out').hidden = true;
  at('sign-in').hidden = false;
  say('sign-in-message', why, true);
  at('token').focus();
}

function table(place, caption, columns, rows, empty) {
  const target = at(place);
  target.replaceChildren();
  if (!rows.length) { target.append(make('p', empty, { class: 'soft' })); return; }
  // On a phone many columns become a card for each row; the roles keep it a table for screen readers.
  const element = make('table', null, { role: 'table', ...(columns.length > 3 ? { class: 'cards' } : {}) });
  element.append(make('caption', caption));
  const head = element.createTHead().insertRow();
  head.setAttribute('role', 'row');
  columns.forEach(([name, , kind]) => head.append(make('th', name, { scope: 'col', role: 'columnheader', ...(kind ? { class: kind } : {}) })));
  const body = element.createTBody();
  rows.forEach(row => {
    const line = body.insertRow();
    line.setAttribute('role', 'row');
    columns.forEach(([name, value, kind]) => {
      const cell = line.insertCell();
      cell.setAttribute('role', 'cell');
      cell.dataset.label = name;
      if (kind) cell.className = kind;
      const content = value(row);
      cell.append(content instanceof Node ? content : String(content ?? ''));
    });
  });
  // What is wider than the screen scrolls, also by keyboard.
  target.tabIndex = 0;
  target.setAttribute('role', 'region');
  target.setAttribute('aria-label', caption);
  target.append(element);
}

function plot(hours) {
  const wide = Math.max(300, at('plot').clientWidth), high = 220, left = 44, bottom = 24, space = 'http://www.w3.org/2000/svg';
  const draw = (name, attributes, text) => {
    const element = document.createElementNS(space, name);
    Object.entries(attributes).forEach(([key, value]) => element.setAttribute(key, value));
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const busiest = Math.max(0, ...hours.map(hour => hour.passed + hour.failed));
  // An even number at the top, so that the middle is a whole one, too.
  const most = Math.max(2, busiest + busiest % 2);
  const total = hours.reduce((sum, hour) => sum + hour.passed + hour.failed, 0);
  const refused = hours.reduce((sum, hour) => sum + hour.failed, 0);
  const label = `${number(total)} validations in ${hours.length} hours, ${number(refused)} of them refused; at most ${number(busiest)} in one hour.`;
  const svg = draw('svg', { viewBox: `0 0 ${wide} ${high}`, role: 'img', 'aria-label': label });
  const step = (wide - left) / hours.length, scale = (high - bottom - 10) / most;
  [0, 0.5, 1].forEach(part => {
    const y = high - bottom - part * most * scale;
    svg.append(draw('line', { x1: left, x2: wide, y1: y, y2: y, class: 'axis' }));
    svg.append(draw('text', { x: left - 6, y: y + 4, 'text-anchor': 'end' }, number(part * most)));
  });
  hours.forEach((hour, place) => {
    const x = left + place * step + 1, good = hour.passed * scale, bad = hour.failed * scale, base = high - bottom;
    svg.append(draw('rect', { x, y: base - good, width: Math.max(1, step - 2), height: good, class: 'bar-good' }));
    svg.append(draw('rect', { x, y: base - good - bad, width: Math.max(1, step - 2), height: bad, class: 'bar-bad' }));
    if (place % (wide < 600 ? 16 : 8) === 0) svg.append(draw('text', { x, y: high - 6 }, moment(hour.start).slice(5)));
  });
  at('plot').replaceChildren(svg);
}

const scopeText = scope => ({
  device: () => `camera ${scope.serial}`,
  family: () => `model ${scope.family}`,
  firmware: () => `firmware ${scope.from} to ${scope.to}${scope.family ? ` of ${scope.family}` : ''}`,
  certificates: () => `certificates ${scope.first} to ${scope.last}`,
  issued: () => `certificates issued ${moment(scope.from)} to ${moment(scope.until)}`,
}[scope.kind] || (() => scope.kind))();

// The log writes scopes as JSON.
const targetText = target => {
  const [start, scope] = [target.indexOf('{'), target.slice(target.indexOf('{'))];
  try { return start < 0 ? target : target.slice(0, start) + scopeText(JSON.parse(scope)); } catch { return target; }
};

// A button that acts after a question, and says beside it what came of it.
const action = (place, text, name, question, done, act) => {
  const button = make('button', text, { type: 'button', 'aria-label': name });
  button.addEventListener('click', async () => {
    if (question && !confirm(question)) return;
    try { await act(); await show(); say(place, done); } catch (error) { complain(place, error); }
  });
  return button;
};

function tiles(overview) {
  const passed = overview.hours.slice(-24).reduce((sum, hour) => sum + hour.passed, 0);
  const failed = overview.hours.slice(-24).reduce((sum, hour) => sum + hour.failed, 0);
  const families = Object.keys(overview.device_families).length;
  const waiting = overview.flags.filter(flag => !flag.reviewed_by).length;
  const items = [['Cameras', overview.total_devices], ['Models', families], ['Passed in 24 h', passed], ['Refused in 24 h', failed], ['Flags to review', waiting]];
  at('tiles').replaceChildren(...items.map(([name, value]) => { const item = make('li'); item.append(make('b', number(value)), make('span', name, { class: 'soft' })); return item; }));
}

let hours = [], shown = [], next = null;
const narrow = matchMedia('(max-width: 40rem)');
addEventListener('resize', () => { if (hours.length) plot(hours); });
async function devices(fresh) {
  if (fresh) { shown = []; next = 0; }
  const page = await ask(`/api/v1/devices?limit=${narrow.matches ? 10 : 25}&after=${next}&search=${encodeURIComponent(at('search').value)}`);
  shown = shown.concat(page.devices);
  next = page.next;
  at('more').hidden = next === null;
  table('devices', `${number(shown.length)} shown, ${number(page.total)} registered`, [
    ['Serial', row => row.device_serial],
    ['State', row => make('span', row.revoked ? 'revoked' : 'in force', { class: row.revoked ? 'bad' : 'good' })],
    ['Model', row => row.device_family], ['Tables', row => row.table_assignments.join(', ')],
    ['Assurance', row => row.assurance], ['NUC hash', row => row.simulated_nuc ? make('span', 'made up', { class: 'bad' }) : 'given'], ['Provisioned', row => row.provisioned_at.slice(0, 16).replace('T', ' ')],
  ], shown, 'No camera begins like this.');
}

async function show() {
  const [overview, revocations] = await Promise.all([ask('/api/v1/overview'), ask('/api/v1/revocations')]);
  at('sign-in').hidden = true;
  at('content').hidden = false;
  at('sign-out').hidden = !sessionStorage.getItem('token');
  at('rehearsal').hidden = !overview.rehearsal;
  at('simulated').textContent = overview.simulated_nucs ? `${number(overview.simulated_nucs)} of ${number(overview.total_devices)} cameras have a NUC hash that was made up here: nothing is known about their sensors.` : '';
  at('who').textContent = overview.manufacturer_id;
  at('updated').textContent = `As of ${moment(Date.now() / 1000)} UTC`;
  tiles(overview);
  hours = overview.hours;
  plot(hours);
  table('hours-table', 'UTC', [['Hour', row => moment(row.start)], ['Passed', row => number(row.passed), 'number'], ['Refused', row => number(row.failed), 'number']], overview.hours.filter(hour => hour.passed + hour.failed), 'None in 48 hours.');
  table('failures', 'Last 48 hours', [['Reason', row => row[0]], ['Refusals', row => number(row[1]), 'number']], Object.entries(overview.failures), 'None in 48 hours.');
  table('flags', 'Newest first', [
    ['Serial', row => row.device_serial], ['Day', row => row.day.slice(0, 10)], ['Validations', row => number(row.validations), 'number'],
    ['Ordinarily', row => row.ordinary.toFixed(1), 'number'],
    ['Reviewed', row => row.reviewed_by || action('flags-message', 'Mark as reviewed', `Mark ${row.device_serial} as reviewed`, '', `${row.device_serial} is marked as reviewed.`, () => ask(`/api/v1/devices/${encodeURIComponent(row.device_serial)}/reviewed`, { method: 'POST' }))],
  ], overview.flags, 'No camera was unusually busy.');
  at('unused').textContent = `${number(overview.unused_tables)} of 2,500 tables are held by no camera.`;
  table('tables', 'How many tables are held by how many cameras', [['Cameras that hold it', row => number(row[0])], ['Tables', row => number(row[1]), 'number']], overview.table_use.slice(-20), 'None.');
  table('revocations', 'Newest first', [
    ['Covers', row => scopeText(row.scope)], ['From', row => moment(row.from)], ['Until', row => row.until === null ? 'for good' : moment(row.until)], ['Reason', row => row.reason], ['For everybody', row => row.public_reason], ['By', row => row.created_by],
    ['State', row => row.lifted_at ? `lifted by ${row.lifted_by}` : action('revocations-message', 'Lift', `Lift the revocation of ${scopeText(row.scope)}`, `Lift the revocation of ${scopeText(row.scope)}? What it covers is believed again at once.`, `The revocation of ${scopeText(row.scope)} is lifted.`, () => ask(`/api/v1/revocations/${row.id}`, { method: 'DELETE' }))],
  ], revocations, 'Nothing is revoked.');
  table('acts', 'Newest first', [['When', row => row.time.slice(0, 16).replace('T', ' ')], ['Who', row => row.actor], ['What', row => row.action], ['Which', row => targetText(row.target)]], overview.acts, 'None yet.');
  await devices(true);
}

at('token-form').addEventListener('submit', event => { event.preventDefault(); sessionStorage.setItem('token', at('token').value.trim()); at('token').value = ''; say('sign-in-message', ''); start(); });
at('sign-out').addEventListener('click', () => { sessionStorage.removeItem('token'); signIn(''); });
at('search-form').addEventListener('submit', event => { event.preventDefault(); devices(true).catch(error => complain('devices-message', error)); });
at('more').addEventListener('click', () => devices(false).catch(error => complain('devices-message', error)));
at('revoke-form').addEventListener('submit', async event => {
  event.preventDefault();
  const subject = at('subject').value.trim(), kind = at('kind').value, named = `${kind === 'device' ? 'camera' : 'model'} ${subject}`;
  if (!confirm(`Revoke ${named}? It holds at once.`)) return;
  const request = { scope: kind === 'device' ? { kind, serial: subject } : { kind, family: subject }, reason: at('reason').value };
  if (at('public-reason').value.trim()) request.public_reason = at('public-reason').value.trim();
  const revoke = () => ask('/api/v1/revocations', { method: 'POST', body: JSON.stringify(request) });
  try {
    let revoked;
    try { revoked = await revoke(); } catch (error) {
      // 409: no camera is covered, which a mistyped name looks like.
      if (error.status !== 409 || !confirm(`0 cameras are of ${named}. Is it spelled as you meant? OK revokes it all the same.`)) throw error;
      request.even_if_none = true;
      revoked = await revoke();
    }
    at('subject').value = at('reason').value = at('public-reason').value = '';
    await show();
    say('revocations-message', `Revocation ${revoked.id} of ${named} is in force; it covers ${number(revoked.cameras)} ${revoked.cameras === 1 ? 'camera' : 'cameras'}.`);
  } catch (error) { complain('revocations-message', error); }
});
const start = () => show().then(() => say('message', '')).catch(error => complain('message', error));
start();
