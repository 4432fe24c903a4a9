"use strict";

// The board: follows /api/v1/stream and shows its summaries. No framework, and nothing from elsewhere.

const SILENCE_MS = 15000; // Three signs of life missed: the connection is lost, whatever it says.
const RETRY_MS = [1000, 2000, 4000, 8000];
const ALERTS_PHONE = 6; // Before "show all", where the page may be scrolled.
const WORST = 7;
const SCALE_LOW = 0.8; // Left end of an area's scale; a lower rate stands at it.
const SVG = "http://www.w3.org/2000/svg";

const PATHS = {
  OK: '<circle cx="8" cy="8" r="7" fill="currentColor"/><path d="M4.5 8.3l2.4 2.4 4.6-5" class="cut"/>',
  AT_RISK: '<path d="M8 1.5L15 14H1z" class="outline"/><path d="M8 6v4M8 12v.4" class="stroke"/>',
  BREACH: '<path d="M5 1h6l4 4v6l-4 4H5l-4-4V5z" fill="currentColor"/><path d="M8 4v5M8 11.5v.5" class="cut"/>',
  INSUFFICIENT: '<circle cx="8" cy="8" r="6" class="outline" stroke-dasharray="3 2.3"/>',
  UNKNOWN: '<circle cx="8" cy="8" r="6.2" class="outline"/><path d="M3.8 12.2l8.4-8.4" class="stroke"/>',
  MAJOR: '<path d="M8 .6L15.4 8 8 15.4.6 8z" fill="currentColor"/><path d="M8 4.4v4.2M8 11v.4" class="cut"/>',
  NONE: '<path d="M3 8h10" class="stroke"/>',
};
const SEVERITY_ICON = { CRITICAL: "BREACH", MAJOR: "MAJOR", MINOR: "AT_RISK", INFO: "INSUFFICIENT" };

const state = {
  summary: null,
  ready: false,
  connected: false,
  lostAt: null,
  refused: false,
  serverMs: 0, // The server's clock at `heardAt`: a screen's own clock may be wrong.
  heardAt: 0,
  staleAfterMs: 600000,
  known: null, // Alerts that have been shown, so that new ones can be announced.
  whole: false,
  token: null,
  shown: { body: "", language: "" },
};

const byId = (id) => document.getElementById(id);
const question = new URLSearchParams(location.search);

function stored(name) {
  try { return localStorage.getItem(`board.${name}`); } catch { return null; }
}

function store(name, value) {
  try { localStorage.setItem(`board.${name}`, value); } catch { /* A private window forgets. */ }
}

function chosen(name, values, fallback) {
  const found = [question.get(name), stored(name)].find((value) => values.includes(value));
  return found ?? fallback;
}

let language = chosen("lang", ["zh", "en"], navigator.language.startsWith("zh") ? "zh" : "en");
let theme = chosen("theme", ["dark", "light"], null);
const WALL = matchMedia("(min-width: 1500px) and (min-height: 800px)"); // As in board.css.
const darkness = matchMedia("(prefers-color-scheme: dark)");
const words = () => WORDS[language];
const number = (value) => count(value, language);
const nameOf = (name) => name[language];

// --- Elements ---------------------------------------------------------------------------------------

/** Make an element: text is never taken for markup. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

function draw(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function icon(name) {
  const svg = draw("svg", { viewBox: "0 0 16 16", "aria-hidden": "true", focusable: "false" });
  svg.innerHTML = PATHS[name] ?? PATHS.NONE; // Our own constants only.
  return svg;
}

function badge(status) {
  return make("span", { class: `badge is-${status}` }, icon(status), words().status[status] ?? status);
}

/** A rate with a smaller sign, read out as one. */
function rateNodes(rate) {
  const text = percent(rate);
  return text.endsWith("%") ? [text.slice(0, -1), make("small", {}, "%")] : [text];
}

// --- Sections ---------------------------------------------------------------------------------------

function headline(summary) {
  const figures = summary.headline;
  const scope = nameOf(summary.scope.name);
  byId("scope").textContent = scope;
  document.title = `${percent(figures.rate)} · ${scope} · ${words().subject}`;
  byId("headline-title").textContent = words().headline(scope, dayText(figures.date, language));
  byId("rate").replaceChildren(...rateNodes(figures.rate));
  byId("rate").className = `rate is-${figures.rate_status}`;
  byId("verdict").replaceChildren(badge(figures.rate_status));
  const gap = byId("gap");
  if (figures.rate === null) {
    gap.textContent = `${words().noRate} · ${words().target} ${targetText(figures.target)}`;
  } else {
    const difference = figures.rate - figures.target;
    const text = (difference < 0 ? words().below : words().above)(points(difference));
    gap.textContent = `${text} (${targetText(figures.target)})`;
  }
  const counts = [
    [words().onTime, percent(figures.on_time_rate)],
    [words().mature, number(figures.mature)],
    [words().missing, number(figures.missing)],
    [words().pending, number(figures.pending)],
    [words().eligible, number(figures.eligible)],
  ];
  if (summary.previous) counts.push([words().yesterday, percent(summary.previous.rate)]);
  byId("counts").replaceChildren(
    ...counts.map(([term, value]) => make("div", {}, make("dt", {}, term), make("dd", {}, value))),
  );
  byId("events").replaceChildren(...events(summary.periods));
}

function events(periods) {
  if (!periods.length) return [make("p", { class: "about" }, words().noEvent)];
  return periods.slice(0, 2).map((period) => {
    const about = [
      words().level[period.event_level],
      words().phase[period.event_phase],
      words().day(period.day, period.days),
    ];
    return make("p", {},
      make("span", { class: "name" }, nameOf(period.name)),
      make("span", { class: "about" }, about.join(" · ")));
  });
}

function areas(summary) {
  const first = summary.areas[0];
  byId("areas-title").textContent = words().areas[first ? first.scope.granularity : "CITY"];
  byId("areas").replaceChildren(...summary.areas.map((area) => tile(area, summary)));
}

/** The shorter name: a city's own tile need not name the enterprise that the whole board is of. */
function areaName(area, summary) {
  const full = nameOf(area.scope.name);
  const head = nameOf(summary.scope.name);
  return full.startsWith(head) ? full.slice(head.length).replace(/^[\s·,]+/, "") : full.split(", ")[0];
}

function tile(area, summary) {
  const { figures } = area;
  const status = figures ? figures.rate_status : "NONE";
  const head = make("div", { class: "head" }, make("span", { class: "name" }, areaName(area, summary)));
  const item = make("li", { class: `tile is-${status}`, "data-scope": area.scope.scope_id }, head);
  if (!figures) {
    item.append(make("div", { class: "value" }, make("span", {}, "–"), badge(status)));
    return item;
  }
  if (figures.alerts_open) {
    head.append(make("span", { class: "hot" }, words().alertsOpen(figures.alerts_open)));
  }
  item.append(
    make("div", { class: "value" },
      make("span", { class: "figure" }, ...rateNodes(figures.rate)), badge(status)),
    scale(figures),
    make("div", { class: "about" },
      make("span", {}, `${words().target} ${targetText(figures.target)}`),
      make("span", {}, `${words().missing} ${number(figures.missing)}`)),
  );
  const what = partOf(figures.verdict, summary);
  if (what && (status === "BREACH" || status === "AT_RISK")) {
    const { rate, target } = figures.verdict;
    item.append(make("div", { class: "part" },
      words().judgedOn(what, percent(rate), targetText(target))));
  }
  return item;
}

/** What parcels a verdict is about, in words; empty for all of them. */
function partOf(verdict, summary) {
  const period = summary.periods.find((one) => one.event_period_id === verdict.event_period_id);
  const parts = [];
  if (verdict.parcel_category !== "*") {
    parts.push(words().category[verdict.parcel_category] ?? verdict.parcel_category);
  }
  if (period && period.destination_codes.length) {
    // The event stands in the headline already; what matters here is where to.
    const name = nameOf(period.name);
    parts.push((name.match(/（([^）]+)）$/) ?? name.match(/: (.+)$/) ?? [name, name])[1]);
  }
  return parts.join(words().comma);
}

/** The rate as a dot on a rail from 80 to 100 %, the target as a tick. Not a bar: it has no zero. */
function scale(figures) {
  const x = (rate) => `${Math.max(0, Math.min(1, (rate - SCALE_LOW) / (1 - SCALE_LOW))) * 98 + 1}%`;
  const svg = draw("svg", { class: "scale", "aria-hidden": "true", focusable: "false" },
    draw("line", { class: "rail", x1: "1%", x2: "99%", y1: "50%", y2: "50%" }));
  const goal = x(figures.target);
  svg.append(draw("line", { class: "goal", x1: goal, x2: goal, y1: "0", y2: "100%" }));
  if (figures.rate !== null) {
    svg.append(draw("circle", { class: "at", cx: x(figures.rate), cy: "50%", r: 6 }));
  }
  return svg;
}

function alertKey(alert) {
  return `${alert.alert_id}|${alert.episode}`;
}

function alertReason(alert, summary) {
  const say = words().alert;
  if (alert.alert_kind === "CHANNEL_SILENT") {
    return alert.collections === null && alert.observed !== null
      ? say.collapse(percent(alert.observed, 0)) : say.silent(number(alert.collections ?? alert.n));
  }
  const sentence = alert.alert_kind === "RATE_AT_RISK" ? say.atRisk : say.below;
  const parts = [sentence(percent(alert.observed), targetText(alert.target))];
  if (alert.missing !== null) parts.push(say.missing(number(alert.missing), number(alert.n)));
  const what = partOf(alert, summary);
  if (what) parts.push(say.of(what));
  return parts.join(words().comma);
}

function alertItem(alert, summary) {
  const say = words();
  const lasted = Date.parse(summary.as_of) - Date.parse(alert.first_at);
  const since = say.since(instantText(alert.first_at, language, summary.as_of), span(lasted, language));
  const why = [alertReason(alert, summary)];
  if (alert.state === "clearing") why.push(say.clearing);
  if (alert.acked_by) why.push(say.acked(alert.acked_by, alert.ack_note));
  const said = [nameOf(alert.scope.name), nameOf(summary.scope.name)]; // Where a city need not be named again.
  const where = alert.where && !said.some((name) => name.includes(nameOf(alert.where))) ? nameOf(alert.where) : "";
  const what = make("div", { class: "what" },
    make("span", { class: `word is-${alert.severity}` }, say.severity[alert.severity] ?? alert.severity),
    make("span", { class: "name" }, nameOf(alert.scope.name)),
    where ? make("span", { class: "where" }, where) : null);
  const item = make("li", { class: `alert is-${alert.severity}`, "data-alert": alertKey(alert) },
    make("span", { class: "badge-icon" }, icon(SEVERITY_ICON[alert.severity])),
    make("div", { class: "told" }, what, make("span", { class: "why" }, why.join(" · ")),
      make("span", { class: "about" }, since)));
  if (state.known && !state.known.has(alertKey(alert))) item.classList.add("new");
  return item;
}

function alerts(summary) {
  const list = byId("alerts");
  const open = Object.values(summary.alert_counts).reduce((sum, n) => sum + n, 0);
  byId("tallies").replaceChildren(...Object.entries(summary.alert_counts)
    .filter(([, n]) => n > 0)
    .map(([severity, n]) => make("span", { class: `badge is-${severity}` },
      icon(SEVERITY_ICON[severity]), `${words().severity[severity]} ${n}`)));
  list.replaceChildren(...summary.alerts.map((alert) => alertItem(alert, summary)));
  if (!open) list.replaceChildren(make("li", { class: "none" }, words().noAlerts));
  list.dataset.open = open;
  fit();
}

/** Show as many alerts as there is room for, and say how many there are besides. */
function fit() {
  const box = byId("alerts-box");
  const more = byId("alerts-more");
  const items = [...byId("alerts").children];
  const open = Number(byId("alerts").dataset.open ?? 0);
  const wall = WALL.matches;
  box.closest("section").classList.toggle("whole", state.whole);
  for (const item of items) item.hidden = false;
  more.hidden = true;
  if (state.whole) {
    box.tabIndex = 0;
    more.hidden = false;
    more.textContent = words().fewer;
    return;
  }
  box.removeAttribute("tabindex");
  const room = () => items.filter((item, index) => (wall
    ? item.offsetTop + item.offsetHeight <= box.clientHeight + 1 : index < ALERTS_PHONE));
  let fitting = room();
  if (fitting.length < items.length || open > items.length) {
    more.hidden = false; // It takes room itself.
    fitting = room();
  }
  for (const item of items) item.hidden = !fitting.includes(item);
  more.textContent = words().more(open - fitting.length);
}

function worst(summary) {
  const box = byId("worst-box");
  byId("worst-count").replaceChildren(...(summary.breaching_outlets
    ? [make("span", { class: "badge is-BREACH" }, icon("BREACH"),
      words().breaching(number(summary.breaching_outlets)))] : []));
  if (!summary.worst.length) {
    box.replaceChildren(make("p", { class: "none" }, words().noWorst));
    return;
  }
  const { column } = words();
  const heads = make("tr", {}, make("th", { scope: "col" }, column.outlet),
    ...["rate", "target", "missing"].map((name) =>
      make("th", { scope: "col", class: "number" }, column[name])));
  const rows = summary.worst.slice(0, WORST).map((figures) => {
    const { verdict } = figures;
    const status = make("span", { class: `badge-icon is-${figures.rate_status}` },
      icon(figures.rate_status),
      make("span", { class: "unseen" }, words().status[figures.rate_status]));
    const part = partOf(verdict, summary);
    return make("tr", { "data-scope": figures.scope.scope_id },
      make("th", { scope: "row" }, nameOf(figures.scope.name), " ",
        make("span", { class: "where" }, part)),
      make("td", { class: `number low is-${figures.rate_status}` }, status, " ", percent(verdict.rate)),
      make("td", { class: "number" }, targetText(verdict.target)),
      make("td", { class: "number" }, number(verdict.n - verdict.covered)));
  });
  box.replaceChildren(make("table", { "aria-labelledby": "worst-title" },
    make("thead", {}, heads), make("tbody", {}, ...rows)));
}

// --- The curve --------------------------------------------------------------------------------------

const minuteOf = (instant) => Number(instant.slice(11, 13)) * 60 + Number(instant.slice(14, 16));

/** Minutes since the start of a business day; a point of it may lie behind its midnight. */
function minutes(point, date) {
  return minuteOf(point.at) + (point.at.slice(0, 10) > date ? 1440 : 0);
}

function curve(summary) {
  const plot = byId("plot");
  const { curve: data } = summary;
  const drawn = data && data.points.length + data.points_before.length > 1;
  byId("legend").hidden = !drawn;
  byId("curve-table").replaceChildren();
  if (!drawn) {
    plot.replaceChildren(make("p", {}, words().noPoints));
    return;
  }
  legend(data);
  const size = { width: plot.clientWidth, height: plot.clientHeight };
  if (size.width < 50 || size.height < 50) return;
  const rates = [...data.points, ...data.points_before].map((point) => point.rate);
  const low = Math.max(0, Math.floor(Math.min(...rates, data.target) * 50 - 0.5) / 50);
  const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
  const margin = { left: 3 * rem, right: 0.7 * rem, top: 0.8 * rem, bottom: 1.5 * rem };
  const x = (minute) => margin.left + minute / 1440 * (size.width - margin.left - margin.right);
  const y = (rate) => size.height - margin.bottom
    - (rate - low) / (1 - low) * (size.height - margin.top - margin.bottom);
  const svg = draw("svg", {
    viewBox: `0 0 ${size.width} ${size.height}`, role: "img", "aria-label": curveText(data),
  });
  grid(svg, { x, y, low, size, margin });
  const line = (points, date) => points
    .map((point, index) => `${index ? "L" : "M"}${x(minutes(point, date)).toFixed(1)} ${y(point.rate).toFixed(1)}`)
    .join("");
  const dayBefore = data.points_before.length ? data.points_before[0].at.slice(0, 10) : "";
  svg.append(draw("path", { class: "line-before", d: line(data.points_before, dayBefore) }));
  svg.append(draw("path", {
    class: "line-target", d: `M${x(0)} ${y(data.target)}H${x(1440)}`,
  }));
  svg.append(draw("path", { class: "line-today", d: line(data.points, data.date) }));
  const last = data.points.at(-1);
  if (last) svg.append(draw("circle", { class: "dot", cx: x(minutes(last, data.date)), cy: y(last.rate), r: 6 }));
  plot.replaceChildren(svg);
  byId("curve-table").replaceChildren(curveTable(data));
}

function grid(svg, { x, y, low, size, margin }) {
  const step = 1 - low > 0.3 ? 0.1 : 1 - low > 0.12 ? 0.05 : 0.02;
  for (let level = 1; level >= low - 1e-9; level -= step) {
    const text = draw("text", { x: margin.left - 8, y: y(level), dy: "0.35em", "text-anchor": "end" });
    text.textContent = `${Math.round(level * 100)}%`;
    svg.append(draw("path", { class: "grid", d: `M${margin.left} ${y(level)}H${size.width - margin.right}` }), text);
  }
  for (const hour of [0, 6, 12, 18, 24]) {
    const text = draw("text", {
      x: x(hour * 60), y: size.height - 6,
      "text-anchor": hour === 24 ? "end" : hour === 0 ? "start" : "middle",
    });
    text.textContent = `${String(hour).padStart(2, "0")}:00`;
    svg.append(text);
  }
}

function legend(data) {
  const entry = (name, text) => make("span", {},
    draw("svg", { viewBox: "0 0 30 10" }, draw("path", { class: name, d: "M1 5H29" })), text);
  byId("legend").replaceChildren(
    entry("line-today", words().today),
    ...(data.points_before.length ? [entry("line-before", words().before)] : []),
    entry("line-target", `${words().target} ${targetText(data.target)}`));
}

function curveText(data) {
  const [first, last] = [data.points[0] ?? data.points_before[0], data.points.at(-1) ?? data.points_before.at(-1)];
  return `${words().curve}. ${words().curveText(
    first.at.slice(11, 16), last.at.slice(11, 16), percent(last.rate), targetText(data.target))}`;
}

/** The curve for those who do not see it: the last point of each hour. */
function curveTable(data) {
  const hours = new Map(data.points.map((point) => [point.at.slice(0, 13), point]));
  const rows = [...hours.values()].map((point) => make("tr", {},
    make("th", { scope: "row" }, point.at.slice(11, 16)), make("td", {}, percent(point.rate))));
  return make("table", {}, make("caption", {}, words().curve),
    make("thead", {}, make("tr", {}, make("th", { scope: "col" }, words().time),
      make("th", { scope: "col" }, words().column.rate))),
    make("tbody", {}, ...rows));
}

// --- The state of the whole -------------------------------------------------------------------------

function serverNow() {
  return state.serverMs + (performance.now() - state.heardAt);
}

function clockNow() {
  // Shanghai's, as everything on the board.
  return new Date(Date.now() + 8 * 3600000).toISOString().slice(11, 19);
}

/** Say how fresh the figures are. Runs every second. */
function freshness() {
  const { summary } = state;
  const age = summary && summary.received_ms !== null ? serverNow() - summary.received_ms : null;
  const lost = !state.connected && state.lostAt !== null;
  const stale = age !== null && age > state.staleAfterMs;
  const name = state.refused ? "refused" : lost ? "lost" : !state.connected ? "connecting" : stale ? "stale" : "live";
  document.body.dataset.state = name;
  byId("fresh").dataset.state = name;
  const parts = [];
  byId("fresh").hidden = name === "refused";
  if (name === "connecting") parts.push(words().connecting);
  if (name === "lost") parts.push(words().lostShort);
  if (name === "stale") parts.push(words().staleShort);
  if (summary && summary.as_of) parts.push(words().asOf(instantText(summary.as_of, language)));
  if (age !== null && name === "live") parts.push(words().received(span(age, language)));
  if (!parts.length) parts.push(words().connected);
  byId("fresh-text").textContent = parts.join(" · ");
  notice(name, age);
}

function notice(name, age) {
  const box = byId("notice");
  const minute = Math.floor((age ?? 0) / 60000) * 60000;
  const text = { lost: () => words().lost(state.lostAt), stale: () => words().stale(span(minute, language)),
    refused: () => (state.token ? words().badToken : "") }[name]?.() ?? "";
  box.dataset.state = name;
  box.hidden = !text;
  if (box.textContent !== text) box.textContent = text; // It is read out at each change.
}

/** Show what there is. Nothing is drawn again that has not changed, so that focus and reader stay. */
function show() {
  const { summary } = state;
  const say = words();
  const filled = Boolean(summary && summary.headline);
  byId("signin").hidden = !state.refused;
  byId("figures").hidden = !filled || state.refused;
  byId("empty").hidden = filled || state.refused || (!state.connected && state.lostAt === null);
  byId("empty-title").textContent = state.ready ? say.empty : say.reading;
  byId("empty-text").textContent = state.ready
    ? (summary && summary.as_of ? say.noScope : say.emptyText) : say.readingText;
  if (filled && !state.refused) {
    headline(summary);
    curve(summary);
    areas(summary);
    worst(summary);
    alerts(summary);
    announce(summary);
  } else if (summary) {
    byId("scope").textContent = nameOf(summary.scope.name);
    document.title = `${nameOf(summary.scope.name)} · ${say.subject}`;
  }
  freshness();
}

function announce(summary) {
  const keys = new Set(summary.alerts.map(alertKey));
  if (state.known) {
    const fresh = summary.alerts.filter((alert) => !state.known.has(alertKey(alert)));
    if (fresh.length) {
      byId("announce").textContent = fresh.slice(0, 3).map((alert) =>
        words().newAlert(`${nameOf(alert.scope.name)}${words().comma}${alertReason(alert, summary)}`)).join(" ");
    }
  }
  state.known = keys;
}

function speak() {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  for (const element of document.querySelectorAll("[data-word]")) {
    element.textContent = words()[element.dataset.word];
  }
  const button = byId("language");
  button.textContent = words().language;
  button.lang = language === "zh" ? "en" : "zh-CN";
  button.setAttribute("aria-label", words().languageLabel);
  if (!state.summary) document.title = words().subject;
  paint();
  show();
}

function paint() {
  const dark = theme ? theme === "dark" : darkness.matches;
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  byId("theme").textContent = dark ? words().themeLight : words().themeDark;
}

// --- The stream -------------------------------------------------------------------------------------

function take(event, data) {
  const found = JSON.parse(data);
  if (event === "time") {
    state.serverMs = found.now_ms;
    state.heardAt = performance.now();
    state.staleAfterMs = found.stale_after_ms;
    const changed = state.ready !== found.ready;
    state.ready = found.ready;
    if (changed || !state.summary) show(); else freshness();
  } else if (event === "summary") {
    state.summary = found;
    show();
  }
}

/** Read one connection until it ends. EventSource would not send a token, nor tell a refusal. */
async function follow() {
  const stopping = new AbortController();
  let silence = setTimeout(() => stopping.abort(), SILENCE_MS);
  try {
    const headers = state.token ? { Authorization: `Bearer ${state.token}` } : {};
    const answer = await fetch("/api/v1/stream", { headers, signal: stopping.signal, cache: "no-store" });
    if (answer.status === 401 || answer.status === 403) {
      state.refused = true;
      show();
      return;
    }
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    state.refused = false;
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      clearTimeout(silence);
      silence = setTimeout(() => stopping.abort(), SILENCE_MS);
      state.connected = true;
      state.lostAt = null;
      text += value;
      const whole = text.split("\n\n");
      text = whole.pop();
      for (const block of whole) {
        const fields = Object.fromEntries(block.split("\n").map((line) => line.split(/: (.*)/s)));
        if (fields.data) take(fields.event, fields.data);
      }
    }
  } finally {
    clearTimeout(silence);
    stopping.abort();
  }
}

async function stayConnected() {
  for (let failures = 0; ; failures += 1) {
    try {
      await follow();
    } catch { /* Shown as lost; there is nobody to tell but the viewer. */ }
    if (state.refused) return; // Until somebody enters a token.
    if (state.connected || state.lostAt === null) state.lostAt = clockNow();
    if (state.connected) failures = 0;
    state.connected = false;
    show();
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS[Math.min(failures, RETRY_MS.length - 1)]));
  }
}

// --- Beginning --------------------------------------------------------------------------------------

function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    // Behind a # it is never sent, and here it goes from the address bar, too.
    history.replaceState(null, "", location.pathname + location.search);
    try { sessionStorage.setItem("board.token", given); } catch { /* Kept for this page only. */ }
    return given;
  }
  try { return sessionStorage.getItem("board.token"); } catch { return null; }
}

function begin() {
  state.token = takeToken();
  byId("language").addEventListener("click", () => {
    language = language === "zh" ? "en" : "zh";
    store("lang", language);
    speak();
  });
  byId("theme").addEventListener("click", () => {
    theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    store("theme", theme);
    paint();
  });
  darkness.addEventListener("change", paint);
  byId("alerts-more").addEventListener("click", () => {
    state.whole = !state.whole;
    fit();
  });
  byId("signin").addEventListener("submit", (event) => {
    event.preventDefault();
    state.token = byId("token").value.trim();
    try { sessionStorage.setItem("board.token", state.token); } catch { /* As above. */ }
    state.refused = false;
    stayConnected();
  });
  new ResizeObserver(() => {
    if (state.summary && state.summary.headline && !byId("figures").hidden) {
      curve(state.summary);
      fit();
    }
  }).observe(document.body);
  setInterval(freshness, 1000);
  speak();
  stayConnected();
}

begin();
