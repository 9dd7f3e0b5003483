// The page of explore(): renders one step of the story in the JSON above. Everything that comes
// from the user is put in as text, never as HTML.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const { vertices, steps, sources, arrays } = data;
const by = (id) => document.getElementById(id);
const dark = matchMedia("(prefers-color-scheme: dark)");
const TITLES = {
  begin: "What comes in", seed: "Backward begins", end: "The gradients are written",
};
let at = 0; // the step that is shown
let sourceOpen = innerWidth >= 1000;
const chosen = { feature: 0, value: 0 }; // whose numbers the equations show

// ---------------------------------------------------------------------------- small helpers

function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false)
      element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function bytes(n) {
  for (const unit of ["B", "kB", "MB"]) {
    if (n < 1000) return `${Number(n.toPrecision(3))} ${unit}`;
    n /= 1000;
  }
  return `${Number(n.toPrecision(3))} GB`;
}

function number(value, kind) {
  if (kind === "Uint8") return value ? "true" : "false";
  if (Number.isInteger(value) || !Number.isFinite(value)) {
    return String(value).replace("Infinity", "∞");
  }
  return String(Number(value.toPrecision(kind === "Float64" ? 10 : 7)));
}

// Names in `backquotes` as code.
const prose = (text) => text.split("`").map((part, i) => (i % 2 ? el("code", {}, part) : part));

const short = (value) => (Number.isFinite(value) ? String(Number(value.toPrecision(3))) : "–");

function values(array) {
  if (!array.decoded) {
    const raw = Uint8Array.from(atob(array.data), (c) => c.charCodeAt(0));
    const size = { Float32: 4, Float64: 8, Int32: 4, Uint8: 1 }[array.kind];
    const view = new DataView(raw.buffer);
    const all = new Array(raw.length / size);
    for (let i = 0; i < all.length; i++) all[i] = view[`get${array.kind}`](i * size, true);
    array.decoded = all;
  }
  return array.decoded;
}

// ---------------------------------------------------------------------------- colours

// t from -1 to 1: blue, the ground, vermilion; the root makes small values visible.
function colour(t) {
  const ground = dark.matches ? [34, 38, 44] : [248, 248, 248];
  const end = t < 0 ? (dark.matches ? [86, 180, 233] : [0, 114, 178])
    : dark.matches ? [255, 140, 62] : [213, 94, 0];
  const share = Math.sqrt(Math.min(Math.abs(t), 1));
  return ground.map((g, i) => Math.round(g + (end[i] - g) * share));
}

function colourOf(value, scale) {
  if (Number.isNaN(value)) return [204, 121, 167];
  if (!Number.isFinite(value)) return dark.matches ? [255, 255, 255] : [0, 0, 0];
  return colour(value / scale);
}

// ---------------------------------------------------------------------------- heat maps

// How the elements of an array lie on the screen: rows and columns, and the flat index of a cell.
function arrangement(shape, lead) {
  const n = shape.length;
  if (n === 0) return { rows: 1, columns: 1, flat: () => 0, index: () => [], cell: () => [0, 0] };
  if (n === 1) {
    const columns = shape[0] <= 128 ? shape[0] : Math.ceil(Math.sqrt(shape[0] * 2));
    return {
      rows: Math.ceil(shape[0] / Math.max(columns, 1)), columns, wrapped: columns < shape[0],
      flat: (r, c) => (r * columns + c < shape[0] ? r * columns + c : -1),
      index: (r, c) => [r * columns + c], cell: (k) => [Math.floor(k / columns), k % columns],
    };
  }
  const [height, width] = shape.slice(-2);
  const offset = lead.reduce((sum, i, axis) => sum * shape[axis] + i, 0) * height * width;
  const turned = n === 2 && height > width; // many samples of few features: samples go across
  return turned
    ? {
        rows: width, columns: height, turned, flat: (r, c) => c * width + r,
        index: (r, c) => [c, r], cell: (k) => [k % width, Math.floor(k / width)],
      }
    : {
        rows: height, columns: width, flat: (r, c) => offset + r * width + c,
        index: (r, c) => [...lead, r, c],
        cell: (k) => [Math.floor((k - offset) / width), (k - offset) % width],
      };
}

// `mark` is the flat index of an element to frame, `pick` is told of the one that is clicked.
function heatMap(array, label, { mark = -1, pick } = {}) {
  const box = el("div");
  const lead = array.shown.slice(0, -2).map(() => 0);
  const draw = () => {
    const plan = arrangement(array.shown, lead);
    box.replaceChildren(axes(array, plan, lead, draw), grid(array, plan, label, mark, pick));
  };
  if (values(array).length) draw();
  else box.append(el("span", { class: "none" }, "no elements"));
  return box;
}

function axes(array, plan, lead, redraw) {
  const n = array.shown.length;
  const line = el("div", { class: "axes" });
  lead.forEach((value, axis) => {
    const size = array.shown[axis];
    if (size === 1) return;
    const input = el("input", {
      type: "number", min: 0, max: size - 1, value, "aria-label": `index of axis ${axis}`,
      onchange: () => {
        lead[axis] = Math.max(0, Math.min(size - 1, Math.round(Number(input.value)) || 0));
        redraw();
      },
    });
    line.append(el("label", {}, `axis ${axis} `, input, ` of ${size}`));
  });
  if (plan.turned) line.append(el("span", {}, "→ axis 0, ↓ axis 1"));
  else if (n >= 2) line.append(el("span", {}, `↓ axis ${n - 2}, → axis ${n - 1}`));
  if (plan.wrapped) line.append(el("span", {}, `in rows of ${plan.columns}`));
  const cut = array.shown.some((size, i) => size < array.shape[i]);
  if (cut) line.append(el("span", {}, `shown: the first ${array.shown.join(" × ")} of ${array.shape.join(" × ")}`));
  return line;
}

function grid(array, plan, label, mark, pick) {
  const all = values(array);
  const scale = Math.max(Math.abs(array.low ?? 0), Math.abs(array.high ?? 0)) || 1;
  const { rows, columns } = plan;
  const few = columns <= 6 && rows * columns <= 36;
  const map = el("div", {
    class: few ? "map cells" : "map", tabindex: 0, role: "img",
    "aria-label": `${label}: heat map of ${rows} rows and ${columns} columns; arrow keys read cells`,
  });
  if (few) {
    map.style.gridTemplateColumns = `repeat(${columns}, auto)`;
    for (let i = 0; i < rows * columns; i++) {
      const k = plan.flat(Math.floor(i / columns), i % columns);
      const cell = el("span", {}, k < 0 ? "" : brief(all[k], array.kind));
      if (k >= 0) paint(cell, colourOf(all[k], scale));
      map.append(cell);
    }
  } else map.append(canvas(all, plan, scale));
  const cursor = el("i", { hidden: "" });
  if (!few) map.append(cursor);
  if (!few && mark >= 0) {
    const [r, c] = plan.cell(mark);
    map.append(el("i", { class: "mark", style: `left:${(100 * c) / columns}%;top:${(100 * r) / rows}%;`
      + `width:${100 / columns}%;height:${100 / rows}%` }));
  }
  readable(map, cursor, plan, (r, c) => {
    const k = plan.flat(r, c);
    return k < 0 ? null : `[${plan.index(r, c).join(", ")}] = ${number(all[k], array.kind)}`;
  }, few, pick && ((r, c) => pick(plan.flat(r, c))));
  return map;
}

function brief(value, kind) {
  if (kind !== "Float32" && kind !== "Float64") return number(value, kind);
  if (!Number.isFinite(value) || Number.isInteger(value)) return number(value, kind);
  return Math.abs(value) < 1e-3 ? value.toExponential(1) : String(Number(value.toPrecision(3)));
}

function paint(cell, [r, g, b]) {
  cell.style.background = `rgb(${r},${g},${b})`;
  cell.style.color = 0.3 * r + 0.59 * g + 0.11 * b > 125 ? "#111" : "#fff";
}

function canvas(all, plan, scale) {
  const { rows, columns } = plan;
  const element = el("canvas", { width: columns, height: rows });
  const context = element.getContext("2d");
  const image = context.createImageData(columns, rows);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) {
      const k = plan.flat(r, c);
      if (k >= 0) image.data.set([...colourOf(all[k], scale), 255], 4 * (r * columns + c));
    }
  }
  context.putImageData(image, 0, 0);
  const fit = (n, room) => Math.max(1, Math.min(12, room / n)) * n;
  const narrow = innerWidth < 1000;
  element.style.width = `${Math.min(Math.max(fit(columns, narrow ? 250 : 340), 24), 420)}px`;
  element.style.height = `${Math.min(Math.max(fit(rows, 150), 14), 260)}px`;
  return element;
}

// Hovering, or arrow keys once it has the focus, tell the number of a cell.
function readable(map, cursor, plan, text, few, pick) {
  let row = 0, column = 0;
  const show = (r, c, x, y) => {
    const content = text(r, c);
    if (content === null) return hide();
    const tip = by("tip");
    tip.textContent = content;
    tip.hidden = false;
    tip.style.left = `${Math.max(4, Math.min(x + 14, innerWidth - tip.offsetWidth - 6))}px`;
    tip.style.top = `${y > innerHeight - 60 ? y - 34 : y + 16}px`;
    if (few) return;
    const place = map.firstChild;
    cursor.hidden = false;
    cursor.style.left = `${(c / plan.columns) * place.offsetWidth}px`;
    cursor.style.top = `${(r / plan.rows) * place.offsetHeight}px`;
    cursor.style.width = `${place.offsetWidth / plan.columns}px`;
    cursor.style.height = `${place.offsetHeight / plan.rows}px`;
  };
  const hide = () => { by("tip").hidden = true; cursor.hidden = true; };
  const cellAt = (event) => {
    const b = (few ? map : map.firstChild).getBoundingClientRect();
    if (few) {
      const i = [...map.children].indexOf(event.target);
      return i < 0 ? null : [Math.floor(i / plan.columns), i % plan.columns];
    }
    const r = Math.floor(((event.clientY - b.top) / b.height) * plan.rows);
    const c = Math.floor(((event.clientX - b.left) / b.width) * plan.columns);
    return r < 0 || c < 0 || r >= plan.rows || c >= plan.columns ? null : [r, c];
  };
  map.addEventListener("pointermove", (event) => {
    const cell = cellAt(event);
    if (cell) { [row, column] = cell; show(row, column, event.clientX, event.clientY); }
    else hide();
  });
  map.addEventListener("pointerleave", hide);
  if (pick) map.addEventListener("click", () => pick(row, column));
  map.addEventListener("blur", hide);
  const reveal = () => {
    const b = (few ? map.children[row * plan.columns + column] : map.firstChild).getBoundingClientRect();
    const x = few ? b.left : b.left + ((column + 0.5) / plan.columns) * b.width;
    show(row, column, x, few ? b.bottom - 14 : b.top + ((row + 0.5) / plan.rows) * b.height);
  };
  map.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (event.key === "Escape") return map.blur();
    if (event.key === "Enter" && pick) return pick(row, column);
    if (!move) return;
    event.preventDefault();
    event.stopPropagation(); // they do not change the step
    row = Math.max(0, Math.min(plan.rows - 1, row + move[0]));
    column = Math.max(0, Math.min(plan.columns - 1, column + move[1]));
    reveal();
  });
}

function statistics(array) {
  const line = el("div", { class: "stats" });
  if (array.low !== undefined && array.shape.length) {
    line.append(`${short(array.low)} … ${short(array.high)}, mean ${short(array.mean)}`);
  }
  for (const [count, what] of [[array.nan, "NaN"], [array.inf, "∞"]]) {
    if (count) line.append(" ", el("strong", {}, `${count} × ${what}`));
  }
  return line;
}

// A card with an array. `title` is text or an element, `how` what backward does with a gradient.
function card(index, title, { text, how, kind = "" } = {}) {
  const array = index === null || index === undefined ? null : arrays[index];
  const described = text ?? (array ? `${shapeText(array.shape)} ${array.dtype}` : "");
  const caption = el("figcaption", {}, typeof title === "string" ? el("b", {}, title) : title,
    ` ${described}`, how ? el("span", { class: "how" }, how) : null);
  const name = typeof title === "string" ? title : title.textContent;
  const body = array ? [heatMap(array, name), statistics(array)]
    : [el("span", { class: "none" }, data.remembered ? "not known" : "not remembered")];
  return el("figure", { class: kind }, caption, ...body);
}

const shapeText = (shape) => `(${shape.join(", ")}${shape.length === 1 ? "," : ""})`;

// ---------------------------------------------------------------------------- a step's parts

const full = (v) => (v.kind === "op" && v.op !== v.name ? `${v.name} = ${v.op}` : v.name);

// A vertex's name, which leads to its step.
function link(index) {
  const v = vertices[index];
  return el("button", { type: "button", onclick: () => go(stepOf(index)) }, full(v));
}

function stepOf(index) {
  const backward = at > seedStep;
  const found = steps.findIndex((s) => s.vertex === index && (s.phase === "backward") === backward);
  if (found >= 0) return found;
  const other = steps.findIndex((s) => s.vertex === index);
  return other >= 0 ? other : backward ? steps.length - 1 : 0;
}

function heading(v, phase) {
  const tags = [el("span", { class: `tag ${phase}` }, phase)];
  if (v.layer) tags.push(el("span", { class: "tag" }, `layer ${v.layer}`));
  if (v.kernels) tags.push(el("span", { class: "tag" }, v.kernels === "numba" ? "numba kernels" : "numpy"));
  return [el("h2", {}, full(v)), el("div", { class: "tags" }, ...tags)];
}

function explanation(v, phase) {
  const parts = [];
  if (v.line && v.line.text) {
    parts.push(el("div", { class: "line" },
      el("small", {}, `your line, ${v.line.file}:${v.line.number}`), v.line.text));
  }
  const source = sources[v.source];
  if (!source) return parts;
  if (source.sentence) parts.push(el("p", {}, ...prose(source.sentence)));
  const formula = source.formula.length ? source.formula : v.equations.length ? [] : [source.chapter];
  if (formula.length && formula[0]) {
    const quiet = (text) => (/dL\/d|\bdx\b|\bdw\b/.test(text) ? phase === "forward" : phase === "backward");
    const mixed = new Set(formula.map(quiet)).size > 1;
    parts.push(el("div", { class: "formula" },
      ...formula.map((text) => el("div", { class: mixed && quiet(text) ? "quiet" : "" }, text))));
  }
  return parts;
}

function sourceText(v, phase) {
  const source = sources[v.source];
  if (!source) return [];
  const code = el("pre", { tabindex: 0 });
  source.functions.forEach((f, i) => {
    if (i) code.append(el("div", { "data-n": "" }, "…"));
    f.lines.forEach((spans, k) => {
      const n = f.first + k;
      const marked = phase === "backward" && f.backward.some(([a, b]) => a <= n && n <= b);
      code.append(el("div", { "data-n": n, class: marked ? "marked" : "" },
        ...spans.map(([kind, text]) => (kind ? el("span", { class: kind }, text) : text))));
    });
  });
  const details = el("details", { open: sourceOpen ? "" : null, class: "source" },
    el("summary", {}, `Source: ${source.file}, ${source.functions.map((f) => f.name).join(", ")}`), code);
  details.addEventListener("toggle", () => { sourceOpen = details.open; scrollToMarked(code); });
  return [details];
}

function scrollToMarked(code) {
  const first = code.querySelector(".marked");
  if (first) code.scrollTop = first.offsetTop - code.offsetTop - 60;
}

const section = (title, ...children) => [el("h3", {}, title), ...children];
const cards = (...children) => el("div", { class: "cards" }, ...children);

function heldTable(rows, note) {
  return el("table", { class: "held" }, ...rows.map((row) => el("tr", {},
    el("td", {}, row.name), el("td", {}, ...note(row)),
    el("td", { class: "bytes" }, bytes(row.bytes)))));
}

// ---------------------------------------------------------------------------- equations

// The numbered equations of a chapter, with the numbers of one value of one feature.
function equations(v, phase) {
  const own = v.equations?.filter((e) => e.backward === (phase === "backward")) ?? [];
  if (!own.length) return [];
  const holder = el("div");
  const whole = v.equations.flatMap((e) => e.formulas).map((f) => arrays[f.value])
    .find((array) => array && array.shown.length > 1);
  const fields = whole ? chooser(whole, () => draw()) : null;
  const pick = (feature, value) => { Object.assign(chosen, { feature, value }); draw(); };
  const draw = () => {
    holder.replaceChildren(...own.flatMap((e) => equation(e, pick)));
    fields?.update();
  };
  draw();
  return section("The equations, as they stand in the source", fields?.element, holder);
}

function chooser(array, draw) {
  const [samples, features, ...rest] = array.shown;
  const most = { feature: features, value: samples * rest.reduce((a, b) => a * b, 1) };
  const inputs = {};
  const field = (name, text) => {
    chosen[name] = Math.min(chosen[name], most[name] - 1);
    inputs[name] = el("input", {
      type: "number", min: 0, max: most[name] - 1,
      oninput: () => {
        const wanted = Math.round(Number(inputs[name].value)) || 0;
        chosen[name] = Math.max(0, Math.min(most[name] - 1, wanted));
        draw();
      },
    });
    return el("label", {}, text, inputs[name], ` of ${most[name]}`);
  };
  return {
    element: el("div", { class: "choose" }, "The numbers are those of",
      field("feature", "feature "), field("value", "and its value i = "), "(or click a cell)"),
    update: () => {
      for (const name of ["feature", "value"]) {
        if (document.activeElement !== inputs[name]) inputs[name].value = chosen[name];
      }
    },
  };
}

function equation(e, pick) {
  const rows = e.before ? [el("p", { class: "before" }, ...prose(e.before))] : [];
  e.formulas.forEach((f, i) => {
    const row = el("div", { class: "equation", "data-number": e.number },
      el("div", { class: "text" }, f.text), el("div", { class: "number" }, i ? "" : `(${e.number})`));
    if (f.value !== undefined) row.append(...evaluated(f, pick));
    if (e.remark && i === e.formulas.length - 1) row.append(el("div", { class: "stats more" }, e.remark));
    rows.push(row);
  });
  return rows;
}

function evaluated(f, pick) {
  const array = arrays[f.value];
  const { shown } = array;
  const each = shown.slice(2).reduce((a, b) => a * b, 1);
  const n = Math.floor(chosen.value / each);
  const single = shown.length === 1;
  const inside = chosen.feature < shown[single ? 0 : 1] && (single || n < shown[0]);
  const k = single ? chosen.feature : (n * shown[1] + chosen.feature) * each + (chosen.value % each);
  const choose = (flat) => single ? pick(flat, chosen.value)
    : pick(Math.floor(flat / each) % shown[1], Math.floor(flat / each / shown[1]) * each + (flat % each));
  const notes = [];
  if (f.apart !== undefined) notes.push(`the two sides differ by ${agreement(f.apart)}`);
  if (f.kernel !== undefined) notes.push(`the kernel's result differs by ${agreement(f.kernel)}`);
  return [
    el("div", { class: "value" }, inside ? `= ${number(values(array)[k], array.kind)}` : "not shown"),
    el("div", { class: "more" }, heatMap(array, f.name, { mark: inside ? k : -1, pick: choose }),
      el("div", {}, statistics(array),
        ...notes.map((note) => el("div", { class: "stats" }, note)))),
  ];
}

const agreement = (x) => (x === 0 ? "nothing" : x === null ? "NaN" : `${x.toExponential(1)} of the largest`);

// ---------------------------------------------------------------------------- the kinds of steps

const render = {
  begin() {
    const incoming = vertices.map((v, i) => [v, i]).filter(([v]) => v.kind !== "op");
    const count = (kind) => vertices.filter((v) => v.kind === kind).length;
    const leaves = incoming.filter(([v]) => v.kind === "leaf");
    const given = incoming.filter(([v]) => v.kind === "data");
    const show = ([v]) => card(v.value, v.name, { text: v.text });
    return [
      el("h2", { class: "plain" }, TITLES.begin),
      el("p", {}, `${count("op")} operations were recorded, each with the formula of its backward. `
        + "The steps follow them forward; then they follow the gradient back, newest first."),
      ...(given.length ? section("Data: no gradient goes there", cards(...given.map(show))) : []),
      ...(leaves.length ? section("Leaves: gradients are collected here", cards(...leaves.map(show))) : []),
    ];
  },

  forward(step) {
    const v = vertices[step.vertex];
    const inputs = v.inputs.map((i) => card(vertices[i].value, link(i), { text: vertices[i].text }));
    const also = step.numbers.length ? el("p", {}, `and ${step.numbers.join(", ")}`) : null;
    const note = (row) => row.same === undefined ? [row.text]
      : row.same === step.vertex ? [`${row.text}, its result`]
        : [`${row.text}, the memory of `, link(row.same)];
    const maps = step.held.filter((row) => row.array !== undefined);
    return [
      ...heading(v, "forward"), ...explanation(v, "forward"),
      ...equations(v, "forward"),
      ...section("Makes", cards(card(v.value, full(v), { text: v.text }))),
      ...section("From", cards(...inputs), also),
      ...section(step.held.length ? "Holds for its backward" : "Holds nothing for its backward",
        step.held.length ? heldTable(step.held, note) : null,
        maps.length ? cards(...maps.map((row) => card(row.array, row.name))) : null),
      ...sourceText(v, "forward"),
    ];
  },

  seed(step) {
    const [{ vertex, array }] = step.gives;
    return [
      el("h2", { class: "plain" }, TITLES.seed),
      el("p", {}, "The walk starts with the gradient of the loss with respect to itself, and always "
        + "takes the newest operation that a gradient has reached: then all its users have passed."),
      cards(card(array, link(vertex), { how: "its gradient", kind: "arrives" })),
    ];
  },

  backward(step) {
    const v = vertices[step.vertex];
    const from = (a) => (a.from === null ? "the start" : link(a.from));
    const several = step.arrivals.length > 1;
    const arrived = step.arrivals.map((a) =>
      card(a.array, el("span", {}, "from ", from(a)), { how: a.how, kind: "arrives" }));
    const total = several || step.changed ? card(step.gradient, "g", { how: "their sum" }) : null;
    const gives = step.gives.map((g) =>
      card(g.array, el("span", {}, "to ", link(g.vertex)), { how: g.how, kind: "gives" }));
    const note = (row) => [row.still ? "an older operation still holds it" : "freed"];
    return [
      ...heading(v, "backward"), ...explanation(v, "backward"),
      ...section(`g arrives, the gradient of the loss with respect to ${full(v)}`,
        cards(...arrived, total)),
      step.changed ? el("p", {}, "g is not the sum of what arrived: a hook changed it, or another "
        + "backward passed here later.") : null,
      ...equations(v, "backward"),
      ...section("Gives its inputs", gives.length ? cards(...gives)
        : el("span", { class: "none" }, "nothing")),
      ...section("Is consumed", step.frees.length ? heldTable(step.frees, note)
        : el("span", { class: "none" }, "it held nothing")),
      ...sourceText(v, "backward"),
    ];
  },

  end(step) {
    return [
      el("h2", { class: "plain" }, TITLES.end),
      el("p", {}, "Only now that the whole walk has succeeded, each leaf adds its gradient to "
        + ".grad: an error on the way would have changed nothing."),
      cards(...step.leaves.map((leaf) => card(leaf.gradient, `${vertices[leaf.vertex].name}.grad`, {
        text: vertices[leaf.vertex].text,
        how: leaf.arrivals.map((a) => `${a.how.split(": ")[1]} (${full(vertices[a.from])})`).join(", "),
        kind: "arrives",
      }))),
    ];
  },
};

// ---------------------------------------------------------------------------- the picture

const seedStep = steps.findIndex((s) => s.phase === "seed");
const picture = by("picture");

function paintPicture() {
  const done = new Set(), graded = new Set(), freed = new Set();
  steps.slice(0, at + 1).forEach((s) => {
    if (s.phase === "forward") done.add(s.vertex);
    if (s.phase === "backward") freed.add(s.vertex);
    for (const g of s.gives ?? []) graded.add(g.vertex);
  });
  const step = steps[at];
  const now = step.phase === "seed" ? step.gives[0].vertex : step.vertex;
  vertices.forEach((v, i) => {
    const box = by(`v${i}`);
    box.classList.toggle("todo", v.kind === "op" && !done.has(i));
    box.classList.toggle("now", i === now);
    box.classList.toggle("graded", graded.has(i));
    box.classList.toggle("freed", freed.has(i) && i !== now);
    v.inputs.forEach((k) => {
      const forward = step.phase === "forward" && i === now;
      const back = step.phase === "backward" && i === now && step.gives.some((g) => g.vertex === k);
      for (const part of [by(`e${k}-${i}`), by(`h${k}-${i}`)]) {
        part.classList.toggle("todo", !done.has(i));
        part.classList.toggle("flow", forward);
        part.classList.toggle("back", back);
      }
    });
  });
  if (now === undefined || now === null) picture.scrollTop = step.phase === "begin" ? 0 : picture.scrollTop;
  else {
    const box = by(`v${now}`).getBoundingClientRect(), room = picture.getBoundingClientRect();
    picture.scrollTop += (box.top + box.bottom - room.top - room.bottom) / 2;
    picture.scrollLeft += (box.left + box.right - room.left - room.right) / 2;
  }
}

function fitPicture() {
  const svg = picture.querySelector("svg");
  const { width, height } = svg.viewBox.baseVal;
  const share = Math.max(0.7, Math.min(1, (picture.clientWidth - 18) / width));
  svg.setAttribute("width", width * share);
  svg.setAttribute("height", height * share);
}

// How much memory all vjps hold after each step.
function memoryChart() {
  const svgNS = "http://www.w3.org/2000/svg";
  const shape = (tag, attributes) => {
    const element = document.createElementNS(svgNS, tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };
  const n = steps.length, peak = Math.max(...steps.map((s) => s.kept)), top = peak || 1;
  const chart = shape("svg", { viewBox: `0 0 ${n} 100`, preserveAspectRatio: "none", "aria-hidden": "true" });
  steps.forEach((s, i) => chart.append(shape("rect", {
    x: i, y: 100 - (96 * s.kept) / top, width: 1, height: (96 * s.kept) / top,
    class: i >= seedStep ? "aft" : "fore",
  })));
  const marker = shape("line", { x1: 0, x2: 0, y1: 0, y2: 100 });
  chart.append(marker);
  chart.addEventListener("click", (event) => {
    const room = chart.getBoundingClientRect();
    go(Math.floor(((event.clientX - room.left) / room.width) * n));
  });
  const text = el("div");
  by("memory").append(text, chart);
  return () => {
    text.replaceChildren("held", el("span", { class: "wide" }, " for backward"), ": ", el("b", {}, bytes(steps[at].kept)), ` (peak ${bytes(peak)})`);
    for (const end of ["x1", "x2"]) marker.setAttribute(end, at + 0.5);
  };
}

// ---------------------------------------------------------------------------- going from step to step

function go(index) {
  at = Math.max(0, Math.min(steps.length - 1, index));
  const step = steps[at];
  const backward = at >= seedStep;
  document.body.classList.toggle("backward", backward);
  by("where").textContent = step.vertex === undefined ? TITLES[step.phase]
    : `${step.phase}: ${full(vertices[step.vertex])}`;
  by("count").textContent = `${at + 1} / ${steps.length}`;
  by("slider").value = at;
  by("first").disabled = by("back").disabled = at === 0;
  by("last").disabled = by("next").disabled = at === steps.length - 1;
  by("tip").hidden = true;
  by("step").replaceChildren(...render[step.phase](step).filter(Boolean));
  by("step").scrollTop = 0;
  const code = by("step").querySelector("pre");
  if (code) scrollToMarked(code);
  paintPicture();
  paintMemory();
  history.replaceState(null, "", `#step=${at + 1}`);
}

function notice() {
  const parts = [];
  if (!data.remembered) {
    parts.push("Structure, formulas and what is held for backward. For arrays, gradients and your "
      + "lines, run the forward under ", el("code", {}, "with minigrad.remember():"));
  }
  if (data.problem) {
    if (parts.length) parts.push(" · ");
    const { step, vertex, what } = data.problem;
    const phase = step > seedStep ? "the backward of " : step === seedStep ? "the gradient of " : "";
    parts.push(`There is ${what} in this graph, first in ${phase}`,
      el("button", { type: "button", onclick: () => go(step) }, full(vertices[vertex])));
  }
  by("notice").hidden = !parts.length;
  by("notice").classList.toggle("warning", Boolean(data.problem));
  by("notice").append(...parts);
}

addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.target.matches("input:not([type=range])")) return;
  const target = {
    ArrowRight: at + 1, ArrowLeft: at - 1, PageDown: null, Home: 0, End: steps.length - 1,
    f: 1, b: seedStep,
  }[event.key];
  if (target === undefined || target === null) return;
  event.preventDefault();
  go(target);
});
by("first").onclick = () => go(0);
by("back").onclick = () => go(at - 1);
by("next").onclick = () => go(at + 1);
by("last").onclick = () => go(steps.length - 1);
by("slider").max = steps.length - 1;
by("slider").oninput = () => go(Number(by("slider").value));
vertices.forEach((v, i) => by(`v${i}`).addEventListener("click", () => go(stepOf(i))));
addEventListener("resize", () => { fitPicture(); paintPicture(); });
addEventListener("hashchange", fromHash);
dark.addEventListener("change", () => go(at));

function fromHash() {
  const match = /^#step=(\d+)$/.exec(location.hash);
  go(match ? Number(match[1]) - 1 : 0);
}

const paintMemory = memoryChart();
notice();
fitPicture();
fromHash();
