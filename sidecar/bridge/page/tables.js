// Open orders and the last decisions, as tables a screen reader can walk through.

const ORDERS_SHOWN_MAX = 10;

function drawOrders(frame) {
  const { status, orders } = frame;
  const reservations = status.reservations ?? {};
  const open = Number(reservations.open_count ?? 0);
  const unreported = Number(reservations.unreported_count ?? 0);
  state("orders-state", open ? `${group(open)} open${unreported ? `, ${group(unreported)} never reported` : ""}` : "none", unreported ? "warn" : "good");
  const shown = [open, unreported, reservations.oldest_unreported_age, orders, status.flagged_reports, status.not_armed, status.marks, status.account?.last_drift];
  draw("orders", shown, () => [
    unreported ? el("p", { class: "advice" }, `${group(unreported)} approved and never reported about, the oldest for ${lasting(seconds(reservations.oldest_unreported_age))}: was it sent? Report it, or release it: haltline release ORDER_ID`) : null,
    orders?.length ? el("ul", { class: "orders-list", "aria-label": "Orders that hold a reservation" }, orders.slice(0, ORDERS_SHOWN_MAX).map(orderItem)) : null,
    open && !orders?.length ? el("p", { class: "quiet" }, "Too many to list here: haltline orders") : null,
    open ? null : el("p", { class: "quiet" }, "No order holds a reservation."),
    orders?.length > ORDERS_SHOWN_MAX ? el("p", { class: "quiet" }, `and ${orders.length - ORDERS_SHOWN_MAX} more: haltline orders`) : null,
    ...oddities(status),
  ]);
}

function orderItem(order) {
  const report = order.last_report ? el("span", { class: "quiet" }, order.last_report.toLowerCase().replace(/_/g, " ")) : el("span", { class: "tag" }, "NEVER REPORTED");
  return el("li", {},
    el("p", { class: "order-what" }, foreign(order.strategy, 128), " ", sideWords(order.side), ` ${group(order.remaining)} `, foreign(order.symbol, 128)),
    el("p", { class: "order-figures" }, money(order.notional)),
    el("p", { class: "order-id" }, foreign(order.order_id, 128)),
    el("p", { class: "order-age" }, `${lasting(order.age_seconds)} `, report));
}

// What is odd and stops nothing by itself, but must not be silent.
function oddities(status) {
  const flagged = (status.flagged_reports ?? []).map((one) => `${word(one.flag, "REPORT_FLAG_").replace(/_/g, " ")}: ${group(one.count)} reports since the store began`);
  const marks = (status.marks ?? []).map((mark) => mark.unconfirmed_price === undefined
    ? `STALE MARK ${clean(mark.symbol, 128)} ${group(mark.price)}, ${lasting(seconds(mark.age))} old`
    : `UNCONFIRMED MARK ${clean(mark.symbol, 128)} ${group(mark.unconfirmed_price)}, confirmed is ${group(mark.price)}`);
  const hasMeter = /^(circuit_breaker|position_limits)\./; // these stand hatched in their layer
  const notArmed = (status.not_armed ?? []).filter((one) => !hasMeter.test(one.rule_id)).map((one) => el("li", {}, el("span", { class: "tag tag-not-armed" }, "NOT ARMED"), " ", el("code", {}, clean(one.rule_id, 200)), ": ", foreign(one.why)));
  const items = [...notArmed, ...[...marks, ...flagged].map((text) => el("li", {}, text))];
  return items.length ? [el("h3", {}, "Worth a look"), el("ul", { class: "odd" }, items)] : [];
}

function sideWords(side) {
  return el("span", { class: "side" }, String(side).toLowerCase());
}

function drawDecisions(decisions, skipped) {
  if (decisions === null) return;
  const denied = decisions.filter((one) => one.verdict === "DENIED").length;
  state("decisions-state", decisions.length ? `${decisions.length} shown, ${denied} denied` : "none yet", "quiet");
  draw("decisions", [decisions, skipped], () => [
    decisions.length
      ? table("The last decisions, newest first", ["Time", "Verdict", "Order", "Code", "Would be, limit", "Why"], decisions.map(decisionRow))
      : el("p", { class: "quiet" }, "No order was asked about yet."),
    skipped ? el("p", { class: "quiet" }, `${group(skipped)} records went by too fast to be shown; the audit has them all: haltline audit tail`) : null,
  ]);
}

function decisionRow(one) {
  const isDenied = one.verdict === "DENIED";
  const times = one.count > 1 ? ` ${group(one.count)} times` : "";
  const [first, ...rest] = one.broken;
  return {
    tone: isDenied ? "bad" : "good",
    cells: [
      at(one.time, Date.now()),
      el("span", { class: `verdict ${isDenied ? "verdict-denied" : "verdict-approved"}` }, isDenied ? `DENIED${times}` : one.is_renewal ? "RENEWED" : "APPROVED"),
      orderWords(one),
      first ? el("code", {}, clean(first.code, 40)) : "",
      first ? numbersOf(first) : "",
      first ? whyDenied(one, first, rest) : "",
    ],
  };
}

function orderWords(one) {
  const what = [foreign(one.strategy, 128), " ", sideWords(one.side), " ", one.quantity ? `${group(one.quantity)} ` : "", foreign(one.symbol, 128)];
  const price = one.price ? ` at ${group(one.price)}` : one.order_type ? ` ${one.order_type.toLowerCase().replace("_", " ")}` : "";
  return [...what, price];
}

function numbersOf(rule) {
  const asked = rule.projected || rule.observed;
  if (!asked && !rule.limit) return "";
  return el("span", {}, asked ? el("b", {}, figure(asked)) : "?", rule.limit ? `, ${figure(rule.limit)}` : "");
}

function whyDenied(one, first, rest) {
  const also = rest.length ? ` Also ${rest.map((rule) => clean(rule.code, 40)).join(", ")}.` : "";
  const approvable = one.approvable && one.approvable !== "0" ? ` Approvable: ${group(one.approvable)}.` : "";
  return [first.message ? foreign(sentence(first.message)) : "", el("span", { class: "quiet" }, also + approvable)];
}

// Roles stand on every part, because the narrow form of a table is laid out as blocks.
function table(caption, heads, rows) {
  return el("table", { class: "table", role: "table" },
    el("caption", { class: "unseen" }, caption),
    el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, heads.map((head) => el("th", { scope: "col", role: "columnheader" }, head)))),
    el("tbody", { role: "rowgroup" }, rows.map(({ cells, tone }) => el("tr", { role: "row", "data-tone": tone ?? "" },
      cells.map((cell, index) => el("td", { role: "cell", class: cell === "" ? "empty" : "" }, el("span", { class: "unseen" }, `${heads[index]}: `), cell))))));
}
