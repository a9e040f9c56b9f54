// Equity over time, how far it is below its highest, and where trading was stopped and started.
//
// Drawn by hand as SVG. A chart is a picture for whoever sees it; the sentence beneath says the
// same in words.

const POINTS_MAX = 1600;
const RANGES = [["15 min", 15 * 60e3], ["6 h", 6 * 3600e3], ["All", Infinity]];
const SVG = "http://www.w3.org/2000/svg";
const MARK_LETTERS = { kill: "K", trip: "T", reset: "R" };
const MARK_WORDS = { kill: "killed", trip: "tripped", reset: "started again" };

const series = { points: [], marks: [], range: Infinity, drawnAt: 0 };

function takeEquity(told) {
  if (told.is_whole) series.points = [];
  for (const [time, equity, drawdown] of told.points) series.points.push({ time, equity, drawdown });
  if (series.points.length > POINTS_MAX) thin();
  series.marks = told.marks.map(([time, kind]) => ({ time, kind }));
}

// Keeps the newer half; of the older one the lower of each two, so that no trough is lost.
function thin() {
  const old = series.points.splice(0, POINTS_MAX / 2);
  const kept = [];
  for (let at = 0; at + 1 < old.length; at += 2) kept.push(Number(old[at].equity) <= Number(old[at + 1].equity) ? old[at] : old[at + 1]);
  series.points.unshift(...kept);
}

function drawRanges() {
  byId("ranges").replaceChildren(...RANGES.map(([name, range]) => el("button", {
    type: "button",
    class: "range",
    "aria-pressed": String(range === series.range),
    on: { click: () => { series.range = range; drawRanges(); drawChart(); } },
  }, name)));
}

function drawEquity(frame) {
  const { account = {} } = frame.status;
  draw("equity-now", [account.equity, account.drawdowns, account.unconfirmed_equity, account.unit_value], () => [
    el("p", { class: "equity-figure" }, account.equity === undefined ? el("span", { class: "tag" }, "UNKNOWN") : money(account.equity)),
    account.equity === undefined ? el("p", { class: "measure-why" }, "Orders that raise exposure are denied until equity is reported.") : null,
    account.unconfirmed_equity === undefined ? null : el("p", { class: "advice" }, `${money(account.unconfirmed_equity)} waits for its confirmation`),
    el("dl", { class: "drawdowns" }, (account.drawdowns ?? []).map((one) => el("div", { "data-tone": one.stands ? "bad" : "good" },
      el("dt", {}, `${word(one.kind, "DRAWDOWN_KIND_").toLowerCase()} drawdown`),
      el("dd", {}, one.ratio === undefined ? "unknown" : percent(one.ratio), one.stands ? el("span", { class: "tag tag-bad" }, "STANDS") : null)))),
  ]);
}

function drawChart() {
  const figure = byId("chart");
  const width = Math.max(240, Math.round(figure.clientWidth));
  const { points, marks } = visible();
  if (points.length < 2) {
    figure.replaceChildren(el("p", { class: "quiet chart-empty" }, series.points.length ? "Not enough points in this range yet." : "No equity was seen yet."));
    return;
  }
  const box = { width, left: 70, right: width - 10, top: 26, middle: 168, under: 188, bottom: 236, height: 262 };
  const scales = scalesOf(points, box);
  const picture = svg("svg", { viewBox: `0 0 ${box.width} ${box.height}`, width: box.width, height: box.height, role: "img", "aria-label": chartWords(points, marks) });
  picture.append(...grid(scales, box), drawdownArea(points, scales, box), equityLine(points, scales), ...marks.map((mark) => drawMark(mark, scales, box)), ...timeLabels(scales, box));
  figure.replaceChildren(picture, el("figcaption", {}, chartWords(points, marks)));
}

function visible() {
  const last = series.points.at(-1)?.time ?? 0;
  const from = last - series.range;
  const first = series.points.findIndex((point) => point.time >= from);
  const points = first < 0 ? [] : series.points.slice(first);
  const start = points[0]?.time ?? from;
  return { points, marks: series.marks.filter((mark) => mark.time >= start && mark.time <= last + 1000) };
}

function scalesOf(points, box) {
  const values = points.map((point) => Number(point.equity));
  const worst = Math.max(0, ...points.map((point) => Number(point.drawdown ?? 0)));
  const deepest = Math.max(0.02, worst);
  let [low, high] = [Math.min(...values), Math.max(...values)];
  const room = Math.max((high - low) * 0.12, Math.abs(high) * 0.0005, 1e-9);
  low -= room;
  high += room;
  const [from, to] = [points[0].time, points.at(-1).time];
  const span = Math.max(1, to - from);
  return {
    from, to, low, high, worst,
    x: (time) => box.left + ((time - from) / span) * (box.right - box.left),
    y: (equity) => box.middle - ((equity - low) / (high - low)) * (box.middle - box.top),
    down: (ratio) => box.under + (ratio / deepest) * (box.bottom - box.under),
  };
}

function svg(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

function grid(scales, box) {
  const lines = [0.08, 0.5, 0.92].map((part) => scales.low + part * (scales.high - scales.low));
  return [
    ...lines.flatMap((value) => [
      svg("line", { class: "grid", x1: box.left, x2: box.right, y1: scales.y(value), y2: scales.y(value) }),
      svg("text", { class: "label", x: box.left - 8, y: scales.y(value) + 4, "text-anchor": "end" }, money(value.toFixed(scales.high - scales.low < 10 ? 2 : 0))),
    ]),
    svg("line", { class: "axis", x1: box.left, x2: box.right, y1: box.under, y2: box.under }),
    svg("text", { class: "label", x: box.left - 8, y: box.under + 4, "text-anchor": "end" }, "drawdown"),
    svg("text", { class: "label", x: box.left - 8, y: Math.max(box.under + 18, scales.down(scales.worst) + 4), "text-anchor": "end" }, `to ${percent(scales.worst.toFixed(6))}`),
  ];
}

function equityLine(points, scales) {
  const path = points.map((point, index) => `${index ? "L" : "M"}${scales.x(point.time).toFixed(1)} ${scales.y(Number(point.equity)).toFixed(1)}`).join("");
  const last = points.at(-1);
  return svg("g", {}, svg("path", { class: "line", d: path }), svg("circle", { class: "last", cx: scales.x(last.time), cy: scales.y(Number(last.equity)), r: 3.5 }));
}

function drawdownArea(points, scales, box) {
  const top = points.map((point) => `L${scales.x(point.time).toFixed(1)} ${scales.down(Number(point.drawdown ?? 0)).toFixed(1)}`).join("");
  return svg("path", { class: "below", d: `M${scales.x(points[0].time).toFixed(1)} ${box.under}${top}L${scales.x(points.at(-1).time).toFixed(1)} ${box.under}Z` });
}

function drawMark(mark, scales, box) {
  const x = Math.min(box.right - 9, Math.max(box.left + 9, scales.x(mark.time)));
  return svg("g", { class: `mark mark-${mark.kind}` },
    svg("line", { x1: x, x2: x, y1: 20, y2: box.bottom }),
    svg("rect", { x: x - 9, y: 2, width: 18, height: 18, rx: mark.kind === "reset" ? 9 : 2 }),
    svg("text", { x, y: 15, "text-anchor": "middle" }, MARK_LETTERS[mark.kind] ?? "?"));
}

function timeLabels(scales, box) {
  const isLong = scales.to - scales.from > 86400e3;
  const text = (time) => { const iso = new Date(time).toISOString(); return isLong ? `${iso.slice(5, 10)} ${iso.slice(11, 16)}` : iso.slice(11, 19); };
  return [
    svg("text", { class: "label", x: box.left, y: box.height - 8 }, `${text(scales.from)}Z`),
    svg("text", { class: "label", x: box.right, y: box.height - 8, "text-anchor": "end" }, `${text(scales.to)}Z`),
  ];
}

function chartWords(points, marks) {
  const values = points.map((point) => Number(point.equity));
  const least = points[values.indexOf(Math.min(...values))];
  const most = points[values.indexOf(Math.max(...values))];
  const told = [...new Set(marks.slice(-6).map((mark) => `${MARK_LETTERS[mark.kind]} ${MARK_WORDS[mark.kind]} ${at(mark.time, points.at(-1).time)}`))];
  return `Now ${money(points.at(-1).equity)}, between ${money(least.equity)} and ${money(most.equity)} since ${at(points[0].time, points.at(-1).time)}.${told.length ? ` ${told.join(", ")}.` : " Not stopped in this time."}`;
}
