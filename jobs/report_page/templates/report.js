"use strict";
// Filters and sorts the rows of #rows, and draws the charts of what is left. Without it the page shows all of them.
(() => {
  const started = performance.now();
  const { rows, colours, shown: SHOWN_FOLDERS, most: MOST_FOLDERS } = JSON.parse(document.getElementById("rows").textContent);
  const KINDS = { Uint8: Uint8Array, Uint16: Uint16Array, Int32: Int32Array };
  const NO_DAY = -(2 ** 31), DAY = 86400000, PAGE = 24, FEW = 30, AROUND = 1.3, Z = 1.959963984540054;
  const SHOWN_BY_BROWSERS = /\.(jpe?g|jfif|png|gif|webp|avif|bmp)$/i, SIDEWAYS = "this browser shows it sideways";
  const $ = (id) => document.getElementById(id);

  function unpacked({ kind, base64 }) {
    const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
    return new KINDS[kind](bytes.buffer);
  }
  for (const name of ["folder", "status", "day", "tall", "faces", "label", "confidence", "x", "y", "width", "height"])
    rows[name] = unpacked(rows[name]);
  const faces = rows.label.length, { labels } = rows;
  const folders = rows.folders.map((path, f) => [rows.roots[rows.rootOf[f]].shown, path].filter(Boolean).join("/") || ".");
  const imageOf = []; // of each face, as they are sorted by image, and behind them each image without one
  rows.faces.forEach((n, image) => { for (; n; n--) imageOf.push(image); });
  rows.faces.forEach((n, image) => { if (!n) imageOf.push(image); });
  rows.image = Int32Array.from(imageOf);
  const count = rows.image.length;
  const size = new Int32Array(faces);
  for (let i = 0; i < faces; i++) size[i] = Math.max(rows.width[i], rows.height[i]);
  const days = [...new Set(rows.day)].filter((day) => day !== NO_DAY).sort((a, b) => a - b);
  const dates = days.map((day) => new Date(day * DAY).toISOString().slice(0, 10));
  const dayAt = new Map(days.map((day, at) => [day, at])), when = Int32Array.from(rows.day, (day) => dayAt.get(day) ?? -1);

  // ---- what the form says
  const form = document.forms[0], fields = form.elements;
  for (const [index, label] of labels.entries()) {
    const box = element("input"), name = element("label");
    Object.assign(box, { type: "checkbox", value: index, defaultChecked: true });
    name.append(box, " ", swatch(colours[index]), " ", label);
    $("labels").append(name);
  }
  for (const [index, status] of rows.statuses.entries()) fields.status.append(new Option(status, index));
  for (const folder of folders.slice(0, 500)) $("folders").append(new Option(folder));

  const number = (field, scale, otherwise) => (field.value === "" ? otherwise : Number(field.value) * scale);
  function wanted() {
    const part = fields.folder.value.toLowerCase(), exact = folders.indexOf(fields.folder.value);
    return {
      label: labels.map((_, i) => $("labels").querySelectorAll("input")[i].checked),
      folder: folders.map((name, i) => (exact >= 0 ? i === exact : name.toLowerCase().includes(part))),
      status: fields.status.value === "" ? -1 : Number(fields.status.value),
      surer: number(fields.surer, 10, -1), unsurer: number(fields.unsurer, 10, Infinity),
      larger: number(fields.larger, 1, -1), smaller: number(fields.smaller, 1, Infinity),
      after: fields.after.value ? Date.parse(fields.after.value) / DAY : NO_DAY,
      before: fields.before.value ? Date.parse(fields.before.value) / DAY : Infinity,
    };
  }

  // ---- rows in the wanted order; each order is sorted once
  const KEYS = {
    surest: (i) => -(rows.confidence[i] ?? -1), unsurest: (i) => rows.confidence[i] ?? Infinity,
    largest: (i) => -(size[i] ?? -1), smallest: (i) => size[i] ?? Infinity,
    newest: (i) => -rows.day[rows.image[i]], oldest: (i) => { const d = rows.day[rows.image[i]]; return d === NO_DAY ? Infinity : d; },
    name: (i) => rows.image[i],
  };
  const orders = {};
  function ordered(name) {
    if (!orders[name]) {
      const keys = Float64Array.from({ length: count }, (_, i) => KEYS[name](i));
      orders[name] = Uint32Array.from({ length: count }, (_, i) => i).sort((a, b) => keys[a] - keys[b] || a - b);
    }
    return orders[name];
  }

  let left = [], shown = 0;
  const kept = new Uint8Array(count);
  function filter() { // row by row as they lie in memory, which is several times faster than in another order
    const want = wanted(), anyLabel = want.label.every(Boolean), asked = want.surer >= 0 || want.larger >= 0 || want.unsurer < Infinity || want.smaller < Infinity;
    kept.fill(0);
    for (let i = 0; i < count; i++) {
      const image = rows.image[i], day = rows.day[image];
      if (!want.folder[rows.folder[image]] || (want.status >= 0 && rows.status[image] !== want.status)) continue;
      if (day < want.after || day > want.before || (day === NO_DAY && want.before < Infinity)) continue;
      if (i < faces) {
        if (!want.label[rows.label[i]] || rows.confidence[i] < want.surer || rows.confidence[i] > want.unsurer) continue;
        if (size[i] < want.larger || size[i] > want.smaller) continue;
      } else if (want.status < 0 || !anyLabel || asked) continue; // images without faces come when their status is asked for
      kept[i] = 1;
    }
    left = ordered(fields.order.value).filter((i) => kept[i]);
  }

  // ---- charts
  function element(name, className) {
    const made = document.createElement(name);
    if (className) made.className = className;
    return made;
  }
  function swatch(colour) {
    const made = element("i");
    Object.assign(made.style, { background: colour, display: "inline-block", width: ".8rem", height: ".8rem", borderRadius: ".2rem" });
    return made;
  }
  function wilson(n, of) { // Wilson 1927
    if (!of) return [0, 1];
    const p = n / of, z2 = Z * Z, middle = (p + z2 / (2 * of)) / (1 + z2 / of);
    const reach = (Z / (1 + z2 / of)) * Math.sqrt((p * (1 - p)) / of + z2 / (4 * of * of));
    return [Math.max(0, middle - reach), Math.min(1, middle + reach)];
  }
  const percent = (x) => Math.round(100 * x), figure = new Intl.NumberFormat("en-US").format;
  const numberOf = (n, thing) => `${figure(n)} ${thing}${n === 1 ? "" : "s"}`;
  function told(name, n, of) {
    const [low, high] = wilson(n, of);
    return `${name}: ${figure(n)} of ${figure(of)}, ${percent(n / of)}\u00a0% (${percent(low)} to ${percent(high)}\u00a0%)`;
  }
  function piece(side, share, colour, title) {
    const made = element("i");
    made.style[side] = `${100 * share}%`;
    if (colour) made.style.background = colour;
    if (title) made.title = title;
    return made;
  }
  function named(name) {
    const made = element("span", "name"), text = element("bdi");
    text.textContent = made.title = name;
    made.append(text);
    return made;
  }
  function numbered(text) {
    const made = element("span", "number");
    made.textContent = text;
    return made;
  }

  function drawEmotions(totals, of) {
    const order = labels.map((_, i) => i).filter((i) => totals[i]).sort((a, b) => totals[b] - totals[a]);
    const most = Math.max(...totals);
    $("emotions").replaceChildren(...order.flatMap((i) => {
      const bar = element("span", "bar alone"), [low, high] = wilson(totals[i], of);
      bar.title = told(labels[i], totals[i], of);
      bar.append(piece("width", totals[i] / most, colours[i]));
      return [named(labels[i]), bar, numbered(`${figure(totals[i])} · ${percent(totals[i] / of)}\u00a0% (${percent(low)}–${percent(high)})`)];
    }));
  }

  let moreFolders = false, counts, folderTotals;
  function drawFolders() {
    const order = folders.map((_, i) => i).filter((i) => folderTotals[i]).sort((a, b) => folderTotals[b] - folderTotals[a]);
    const visible = order.slice(0, moreFolders ? MOST_FOLDERS : SHOWN_FOLDERS);
    $("by-folder").replaceChildren(...visible.flatMap((f) => {
      const of = folderTotals[f], few = of < FEW, bar = element("span", few ? "bar few" : "bar");
      labels.forEach((label, l) => {
        const n = counts[f * labels.length + l];
        if (n) bar.append(piece("width", n / of, colours[l], told(label, n, of)));
      });
      const name = named(folders[f]);
      name.style.cursor = "pointer";
      name.onclick = () => { fields.folder.value = folders[f]; apply(); };
      return [name, bar, numbered(figure(of))];
    }));
    if (order.length > SHOWN_FOLDERS) {
      const other = element("button", "plain"), place = element("span"), most = Math.min(MOST_FOLDERS, order.length);
      other.type = "button";
      other.textContent = `${visible.length} of ${figure(order.length)} folders: show ${moreFolders ? SHOWN_FOLDERS : most}`;
      other.onclick = () => { moreFolders = !moreFolders; drawFolders(); };
      place.style.gridColumn = "1 / -1";
      place.append(other);
      $("by-folder").append(place);
    }
  }

  function drawPeriods(ofDays) { // faces by day, as in `days`, and label
    const place = $("by-period"), first = Math.floor(ofDays.findIndex(Boolean) / labels.length);
    if (!place) return;
    if (first < 0) return place.replaceChildren("No face with a moment.");
    const last = Math.floor(ofDays.findLastIndex(Boolean) / labels.length);
    const cut = days[last] - days[first] < 40 ? 10 : monthsBetween(days[first], days[last]) < 40 ? 7 : 4;
    const periods = new Map(), end = dates[last].slice(0, cut);
    for (const date = new Date(dates[first].slice(0, cut)); date <= new Date(end); ) {
      periods.set(date.toISOString().slice(0, cut), new Uint32Array(labels.length));
      if (cut === 10) date.setUTCDate(date.getUTCDate() + 1);
      else if (cut === 7) date.setUTCMonth(date.getUTCMonth() + 1);
      else date.setUTCFullYear(date.getUTCFullYear() + 1);
    }
    for (let at = first; at <= last; at++) {
      const period = periods.get(dates[at].slice(0, cut));
      for (let l = 0; l < labels.length; l++) period[l] += ofDays[at * labels.length + l];
    }
    const totals = [...periods.values()].map((of) => of.reduce((a, b) => a + b, 0)), most = Math.max(...totals);
    const columns = element("div", "columns"), axis = element("div", "axis"), names = [...periods.keys()];
    [...periods].forEach(([name, of], p) => {
      const column = element("div");
      column.title = `${name}: ${numberOf(totals[p], "face")}`;
      of.forEach((n, l) => { if (n) column.append(piece("height", n / most, colours[l], `${name}, ${told(labels[l], n, totals[p])}`)); });
      columns.append(column);
    });
    for (const text of [names[0], `at most ${numberOf(most, "face")}`, names[names.length - 1]]) axis.append(numbered(text));
    place.replaceChildren(columns, axis);
  }
  function monthsBetween(first, last) {
    const a = new Date(first * DAY), b = new Date(last * DAY);
    return 12 * (b.getUTCFullYear() - a.getUTCFullYear()) + b.getUTCMonth() - a.getUTCMonth();
  }

  function drawBins(id, bins, name) {
    const columns = element("div", "columns"), most = Math.max(1, ...bins);
    bins.forEach((n, b) => {
      const column = element("div");
      column.title = `${name(b)}: ${numberOf(n, "face")}`;
      column.append(piece("height", n / most));
      columns.append(column);
    });
    $(id).replaceChildren(columns);
  }

  function drawCharts() {
    if (!$("emotions")) return;
    const totals = new Uint32Array(labels.length), ofDays = new Uint32Array(days.length * labels.length), sure = new Uint32Array(20), large = new Uint32Array(16);
    counts = new Uint32Array(folders.length * labels.length);
    folderTotals = new Uint32Array(folders.length);
    let of = 0;
    for (let i = 0; i < faces; i++) {
      if (!kept[i]) continue;
      const image = rows.image[i], folder = rows.folder[image], label = rows.label[i], at = when[image];
      of++; totals[label]++; folderTotals[folder]++; counts[folder * labels.length + label]++;
      sure[Math.min(19, Math.floor(rows.confidence[i] / 50))]++;
      large[Math.max(0, Math.min(15, Math.floor(2 * Math.log2(size[i]) - 8)))]++;
      if (at >= 0) ofDays[at * labels.length + label]++;
    }
    drawEmotions(totals, of);
    drawFolders();
    drawPeriods(ofDays);
    drawBins("confidences", sure, (b) => `${5 * b} to ${5 * b + 5}\u00a0%`);
    drawBins("sizes", large, (b) => `${Math.round(2 ** (4 + b / 2))} to ${Math.round(2 ** (4.5 + b / 2))}\u00a0pixels`);
  }

  // ---- faces
  const embedded = new Map();
  for (const one of document.querySelectorAll("figure[data-row]")) {
    const picture = one.querySelector("img"), row = Number(one.dataset.row);
    if (picture) embedded.set(row, picture.src);
    const link = one.querySelector("a");
    if (link) link.onclick = (event) => { event.preventDefault(); look(row); };
  }
  function pathOf(image) {
    const folder = rows.folders[rows.folder[image]];
    return folder ? `${folder}/${rows.names[image]}` : rows.names[image];
  }
  function linkOf(image) {
    const root = rows.roots[rows.rootOf[rows.folder[image]]];
    if (root.link === null) return null;
    return root.link + (rows.odd[image] ?? pathOf(image).split("/").map(encodeURIComponent).join("/"));
  }
  function breakable(name) { // goes on in the next line where the name has a joint
    const made = element("span");
    for (const part of name.split(/(?<=[/_-])|(?=\.)/)) made.append(element("wbr"), part);
    return made;
  }
  function missing(image) { // why there is no picture, as far as a page can tell
    const readable = ["ok", "no_face"].includes(rows.statuses[rows.status[image]]), there = linkOf(image) !== null;
    return there && readable && SHOWN_BY_BROWSERS.test(rows.names[image]) ? "not found; has it moved, or this page?" : "this browser cannot show it";
  }
  function isSideways(picture, image) { // as browsers leave what WebP says of its orientation
    return picture.naturalWidth < picture.naturalHeight !== Boolean(rows.tall[image]);
  }
  function gone(crop, why) {
    const made = element("span", "gone");
    made.textContent = why;
    crop.replaceChildren(made);
  }
  function crop(i) { // a face as it was cut, or out of the photograph itself
    const made = element("span", "crop"), picture = element("img"), link = linkOf(rows.image[i]);
    picture.alt = "";
    if (embedded.has(i)) picture.src = embedded.get(i);
    else if (link === null) gone(made, missing(rows.image[i]));
    else {
      picture.loading = "lazy";
      picture.onerror = () => gone(made, missing(rows.image[i]));
      if (i < faces) picture.onload = () => {
        if (isSideways(picture, rows.image[i])) return gone(made, SIDEWAYS);
        const side = AROUND * size[i], share = (pixels) => `${(100 * pixels) / side}%`;
        picture.className = "whole";
        Object.assign(picture.style, {
          width: share(picture.naturalWidth),
          left: share(side / 2 - rows.x[i] - rows.width[i] / 2), top: share(side / 2 - rows.y[i] - rows.height[i] / 2),
        });
      };
      picture.src = link;
    }
    if (picture.src) made.append(picture);
    return made;
  }
  function found(i) {
    const made = element("figure"), button = element("button"), caption = element("figcaption"), image = rows.image[i];
    button.type = "button";
    button.onclick = () => look(i);
    button.append(crop(i));
    if (i < faces) caption.append(swatch(colours[rows.label[i]]), ` ${labels[rows.label[i]]} ${percent(rows.confidence[i] / 1000)}\u00a0%`);
    else caption.append(rows.statuses[rows.status[image]]);
    caption.append(element("br"), breakable(rows.names[image]));
    caption.title = `${folders[rows.folder[image]]}/${rows.names[image]}`;
    made.append(button, caption);
    return made;
  }
  function look(i) {
    const dialog = $("look"), picture = dialog.querySelector("img"), box = dialog.querySelector("b"), text = dialog.querySelector("p");
    const image = rows.image[i], link = linkOf(image), why = element("span");
    box.hidden = true;
    picture.onload = () => {
      if (i >= faces || !picture.naturalWidth || picture.src.startsWith("data:")) return;
      if (isSideways(picture, image)) { why.textContent = `: ${SIDEWAYS}`; return; }
      const share = (pixels, of) => `${(100 * pixels) / of}%`;
      Object.assign(box.style, {
        left: share(rows.x[i], picture.naturalWidth), width: share(rows.width[i], picture.naturalWidth),
        top: share(rows.y[i], picture.naturalHeight), height: share(rows.height[i], picture.naturalHeight),
      });
      box.hidden = false;
    };
    const lack = () => {
      picture.onerror = null;
      why.textContent = `: ${missing(image)}`;
      if (embedded.has(i)) picture.src = embedded.get(i); else picture.removeAttribute("src");
    };
    picture.onerror = lack;
    if (link === null) lack(); else picture.src = link;
    const facts = i < faces ? `${labels[rows.label[i]]} ${(rows.confidence[i] / 10).toFixed(1)}\u00a0%, face of ${rows.width[i]} × ${rows.height[i]} pixels. ` : `${rows.statuses[rows.status[image]]}. `;
    const day = rows.day[image] === NO_DAY ? "" : `Taken ${new Date(rows.day[image] * DAY).toISOString().slice(0, 10)}. `;
    const name = element(link === null ? "span" : "a");
    name.textContent = `${rows.roots[rows.rootOf[rows.folder[image]]].name}/${pathOf(image)}`;
    if (link !== null) name.href = link;
    text.replaceChildren(facts, day, name, why);
    dialog.showModal();
  }
  $("look").querySelector("button").onclick = () => $("look").close();

  function showMore() {
    const next = left.slice(shown, shown + PAGE);
    shown += next.length;
    $("faces").append(...Array.from(next, found));
    $("more").hidden = shown >= left.length;
  }
  function apply() {
    filter();
    const people = kept.subarray(0, faces).reduce((n, one) => n + one, 0);
    $("found").textContent = `${figure(people)} of ${numberOf(faces, "face")}` + (people < left.length ? `, ${numberOf(left.length - people, "image")} without` : "");
    shown = 0;
    $("faces").replaceChildren();
    showMore();
    drawCharts();
  }
  $("more").onclick = showMore;
  form.oninput = apply;
  form.onreset = () => setTimeout(apply);
  form.onsubmit = (event) => event.preventDefault();
  $("few-folders")?.remove();
  $("more-folders")?.remove();
  $("find").hidden = false;
  apply();
  document.documentElement.dataset.ready = Math.round(performance.now() - started);
})();
