// The three layers in the order they are asked, each with what it measures against what it allows.

const EXPOSURES_SHOWN_MAX = 8;

function drawLayers(frame) {
  const { status } = frame;
  drawKill(status);
  drawBreaker(status);
  drawLimits(status);
}

function drawKill(status) {
  const kill = status.kill_switch ?? {};
  const activations = kill.activations ?? [];
  state("kill-state", isKilled(status) ? "ACTIVE" : "INACTIVE", isKilled(status) ? "bad" : "good");
  draw("kill", kill, () => [
    activations.length ? el("ul", { class: "kills" }, activations.map(drawActivation)) : el("p", { class: "quiet" }, "No kill is in force."),
    kill.advice ? el("p", { class: "advice" }, foreign(kill.advice)) : null,
    kill.kill_file_present ? el("p", { class: "bad" }, "KILL FILE in the data directory: no reset succeeds while it is there.") : null,
  ]);
}

function drawActivation(one) {
  const action = word(one.requested_action, "REQUESTED_ACTION_");
  const times = Number(one.attempts ?? 1);
  return el(
    "li",
    { class: one.scope_known ? "kill" : "kill unknown" },
    el("p", { class: "kill-what" }, el("b", {}, word(one.mode, "KILL_MODE_").replace("_", " ")), " for ", el("bdi", {}, scopeWords(one.scope)), one.scope_known ? null : el("span", { class: "tag tag-bad" }, "UNKNOWN NAME")),
    el("p", { class: "kill-why" }, el("bdi", {}, saidWords(one.reason, "No reason was given."))),
    el("p", { class: "kill-who" }, "by ", el("bdi", {}, saidWords(one.triggered_by, "somebody unnamed", 128)), `, ${at(one.triggered_at, Date.now())}, epoch ${group(one.epoch)}`, times > 1 ? `, triggered ${times} times` : "", action === "NONE" || action === "UNSPECIFIED" ? "" : `; asked of the bots: ${action.replace(/_/g, " ").toLowerCase()}`),
    one.scope_known ? null : el("p", { class: "bad" }, "Nothing here has this name. Misspelt? It is armed all the same."),
  );
}

function drawBreaker(status) {
  const breaker = status.circuit_breaker ?? {};
  const triggers = breaker.triggers ?? [];
  const isBad = isOpen(status);
  const warned = triggers.filter((one) => one.warning).length;
  const text = isBad ? "OPEN" : warned ? `CLOSED, ${warned} warned` : "CLOSED";
  state("breaker-state", text, isBad ? "bad" : warned ? "warn" : "good");
  const tripped = new Set((breaker.causes ?? []).map((cause) => cause.cause));
  const off = triggers.filter((one) => one.arming === "TRIGGER_ARMING_OFF").map((one) => triggerName(one));
  draw("breaker", [triggers, breaker.causes], () => [
    ...triggers.filter((one) => one.arming !== "TRIGGER_ARMING_OFF").map((one) => drawTrigger(one, tripped.has(one.cause))),
    off.length ? el("p", { class: "quiet" }, `Off, because nobody asked for them: ${off.join(", ").toLowerCase()}.`) : null,
  ]);
}

function triggerName(trigger) {
  const name = word(trigger.cause, "CIRCUIT_BREAKER_CAUSE_");
  return CAUSE_WORDS[name] ?? clean(name, 40);
}

// A measurement of a trigger: a drawdown is a ratio, everything else a count.
function triggerFigure(trigger, value) {
  return String(trigger.cause).endsWith("DRAWDOWN") ? percent(value ?? "0") : group(value ?? "0");
}

function drawTrigger(trigger, isTripped) {
  const figure = (value) => triggerFigure(trigger, value);
  const isArmed = trigger.arming === "TRIGGER_ARMING_ARMED";
  const observed = trigger.observed ?? "0";
  const share = shareOf(observed, trigger.threshold);
  const tags = [];
  if (isTripped) tags.push("TRIPPED");
  else if (isArmed && share >= 1) tags.push("REACHED");
  else if (trigger.warning) tags.push("WARNED");
  return meter({
    name: triggerName(trigger),
    figures: isArmed ? `${figure(observed)} of ${figure(trigger.threshold)}` : `threshold ${figure(trigger.threshold)}`,
    share: isTripped ? Math.max(share, 0) : share,
    tags,
    isArmed,
    why: clean(trigger.not_armed_why) || "its input is missing",
    warnAt: trigger.warning ? Math.min(0.8, share) : 0.8,
  });
}

function drawLimits(status) {
  const limits = status.position_limits ?? {};
  const { positions, all } = limitRows(limits);
  const worst = Math.max(positions.share, ...all.map((row) => row.share));
  const isUnknown = all.some((row) => !row.isArmed);
  state("limits-state", isUnknown ? "NOT ARMED in part" : worst >= 1 ? "AT THE LIMIT" : worst >= 0.8 ? "NEARLY USED" : "within limits", isUnknown ? "not-armed" : worst >= 0.8 ? "warn" : "good");
  draw("limits", limits, () => {
    const [portfolio, ...rest] = all;
    const strategies = rest.filter((row) => row.kind === "strategy");
    const symbols = rest.filter((row) => row.kind === "symbol");
    return [
      meter(portfolio),
      meter(positions),
      exposureGroup("By strategy", strategies, limits.strategy_count, limits.per_strategy_ratio),
      exposureGroup("By symbol", symbols, limits.symbol_count, limits.per_symbol_ratio),
    ];
  });
}

function limitRows(limits) {
  const positions = {
    name: "Positions",
    figures: `${limits.position_count ?? 0} of ${limits.max_positions ?? 0}`,
    share: shareOf(limits.position_count, limits.max_positions),
  };
  positions.tags = limitTags(positions.share);
  const shown = (list) => (list ?? []).slice(0, EXPOSURES_SHOWN_MAX);
  const all = [
    exposureRow("Portfolio", limits.portfolio ?? {}, "portfolio"),
    ...shown(limits.strategies).map((one) => exposureRow(clean(one.name, 128), one, "strategy")),
    ...shown(limits.symbols).map((one) => exposureRow(clean(one.name, 128), one, "symbol")),
  ];
  return { positions, all };
}

function exposureRow(name, exposure, kind) {
  const isArmed = exposure.share !== undefined;
  const share = isArmed ? shareOf(exposure.share, exposure.limit_ratio) : 0;
  return {
    kind,
    name,
    share,
    isArmed,
    tags: isArmed ? limitTags(share) : [],
    figures: isArmed ? `${money(exposure.exposure ?? "0")} · ${percent(exposure.share)} of ${percent(exposure.limit_ratio)}` : "",
    why: "equity is unknown: increases are denied",
  };
}

function limitTags(share) {
  if (share >= 1) return ["FULL"];
  return share >= 0.8 ? ["80 % USED"] : [];
}

function exposureGroup(title, rows, count, ratio) {
  const hidden = Number(count ?? 0) - rows.length;
  return el(
    "section",
    { class: "exposures", "aria-label": title },
    el("h3", {}, title, el("span", { class: "limit-of" }, `limit ${percent(ratio)} each`)),
    rows.length ? rows.map(meter) : el("p", { class: "quiet" }, "No exposure."),
    hidden > 0 ? el("p", { class: "quiet" }, `and ${group(hidden)} smaller ones`) : null,
  );
}
