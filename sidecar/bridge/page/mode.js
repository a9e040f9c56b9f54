// What stops trading, why, and how it is ended: the top of the page.
//
// Rules: LOST comes before everything; what is not known to be NORMAL is shown as HALTED; every
// cause stands with its way out.

const MODE_MEANS = {
  NORMAL: "Orders are judged by limits and rules.",
  REDUCE_ONLY: "Only orders that reduce a position can be approved.",
  HALTED: "No order can be approved.",
};

function tradingMode(status) {
  const mode = word(status.trading_mode, "TRADING_MODE_");
  return mode === "NORMAL" || mode === "REDUCE_ONLY" ? mode : "HALTED";
}

function toneOf(mode) {
  return { NORMAL: "normal", REDUCE_ONLY: "reduce", HALTED: "halted", LOST: "lost" }[mode];
}

// Every cause: { title, detail, since, command, action, isPartial }; the weightiest first.
function causesOf(frame) {
  const { status } = frame;
  const named = frame.name && frame.name !== "default" ? ` --name ${quoted(frame.name)}` : "";
  return [
    ...recoveryCauses(status),
    ...killCauses(status, named),
    ...breakerCauses(status, named),
    ...storeCauses(frame),
    ...warnings(status),
  ];
}

function recoveryCauses(status) {
  const recovery = status.recovery ?? {};
  const found = word(recovery.state, "RECOVERY_STATE_");
  if (!recovery.way_out && found !== "DAMAGED") return [];
  return [{
    title: `Recovery: ${clean(found, 40)}`,
    detail: clean(recovery.detail) + (recovery.denies_reducing ? " Reducing orders are denied too." : ""),
    since: recovery.since,
    command: clean(recovery.way_out) || "haltline safety",
  }];
}

function killCauses(status, named) {
  const kill = status.kill_switch ?? {};
  const causes = (kill.activations ?? []).map((one) => ({
    title: `Kill switch: ${word(one.mode, "KILL_MODE_").replace("_", " ")} for ${scopeWords(one.scope)}`,
    detail: `${saidWords(one.reason, "no reason was given")} - by ${saidWords(one.triggered_by, "somebody unnamed", 128)}`,
    since: one.triggered_at,
    command: `haltline reset kill${named}${scopeFlag(one.scope)} --by YOU --reason WHY`,
    action: { kind: "kill", scope: one.scope, epoch: one.epoch },
    isPartial: one.scope?.strategy !== undefined || one.scope?.symbol !== undefined,
    isUnknown: !one.scope_known,
  }));
  if (kill.kill_file_present) {
    causes.push({
      title: "A file named KILL is in the data directory",
      detail: "No reset succeeds while it is there. Remove the file, then reset the kill switch.",
      command: "rm DATA_DIRECTORY/KILL",
    });
  }
  return causes;
}

// What somebody said, or words for their silence.
function saidWords(text, silence, lengthMax) {
  return text && text !== "not given" ? clean(text, lengthMax) : silence;
}

function breakerCauses(status, named) {
  const breaker = status.circuit_breaker ?? {};
  if (!isOpen(status)) return [];
  const standing = (status.account?.drawdowns ?? []).filter((one) => one.stands);
  const flag = standing.map((one) => word(one.kind, "DRAWDOWN_KIND_").toLowerCase()).join(",");
  const causes = breaker.causes ?? [];
  return [{
    title: `Circuit breaker OPEN: ${causes.map(tripWords).join("; ") || "cause unknown"}`,
    detail: [
      ...causes.filter((cause) => !String(cause.detail ?? "").startsWith(word(cause.cause, "CIRCUIT_BREAKER_CAUSE_"))).map((cause) => sentence(clean(cause.detail, 200))),
      breaker.when_open === "WHEN_OPEN_REDUCE_ONLY" ? "Reducing orders pass." : "No order passes.",
    ].filter(Boolean).join(" "),
    since: breaker.opened_at,
    command: `haltline reset breaker${named}${flag ? ` --rebase ${flag}` : ""} --by YOU --reason WHY`,
    action: { kind: "breaker" },
  }];
}

function tripWords(cause) {
  const name = word(cause.cause, "CIRCUIT_BREAKER_CAUSE_");
  return `${CAUSE_WORDS[name] ?? clean(name, 40)} ${triggerFigure(cause, cause.observed)} reached ${triggerFigure(cause, cause.threshold)}`;
}

// What stops nothing yet, and is near it.
function warnings(status) {
  if (isOpen(status)) return [];
  return (status.circuit_breaker?.triggers ?? []).filter((one) => one.warning).map((one) => ({
    title: `Warned: ${triggerName(one)} ${triggerFigure(one, one.observed)} of ${triggerFigure(one, one.threshold)}`,
    detail: "The circuit breaker opens when it is reached.",
    isWarning: true,
  }));
}

function sentence(text) {
  return !text || text.endsWith(".") ? text : `${text}.`;
}

function storeCauses(frame) {
  const { status } = frame;
  const causes = [];
  if (status.store?.poisoned) {
    causes.push({
      title: "The store takes no writes",
      detail: clean(status.store.poisoned_why),
      command: "restart on a healthy disk; the start says what must be reconciled",
    });
  }
  if (status.store?.low) {
    causes.push({
      title: "The disk is nearly full",
      detail: "What raises exposure is denied. Free room on the store's disk.",
      isPartial: true,
    });
  }
  return causes;
}

// Whether trading is held back in any way the mode word does not say.
function isOpen(status) {
  return word(status.circuit_breaker?.state, "CIRCUIT_BREAKER_STATE_") !== "CLOSED";
}

function isKilled(status) {
  return word(status.kill_switch?.state, "KILL_SWITCH_STATE_") !== "INACTIVE";
}

function drawMode(view) {
  const { frame, isLost, stream } = view;
  const known = frame ? tradingMode(frame.status) : "";
  const mode = isLost ? "LOST" : known;
  say("mode-word", MODE_WORDS[mode]);
  document.documentElement.dataset.tone = toneOf(mode);
  document.documentElement.dataset.warned = frame && !isLost && warnings(frame.status).length ? "yes" : "no";
  const title = `${MODE_WORDS[mode]} - Haltline ${frame?.name ?? ""}`.trim();
  if (document.title !== title) document.title = title;
  drawIcon(mode);
  say("mode-means", isLost ? lostWords(view, known) : meansWords(mode, frame));
  const causes = frame ? causesOf(frame) : [];
  draw("causes", [causes, isLost, stream.problem && isLost], () => causes.map((cause) => drawCause(cause, isLost)));
  draw("mode-last", [frame !== null && !isLost, frame?.status.last_stop_at, frame?.status.last_start_at], () => (frame && !isLost ? lastWords(frame.status) : []));
  drawFlags(view);
}

// When trading was last stopped and started: "was it stopped while I slept?"
function lastWords(status) {
  const stop = status.last_stop_at ? ["Last stopped ", at(status.last_stop_at, Date.now()), ", ", ago(status.last_stop_at)] : ["Never stopped"];
  const start = status.last_start_at ? ["; last started again ", at(status.last_start_at, Date.now()), ", ", ago(status.last_start_at)] : [];
  return [...stop, ...start, "."];
}

function lostWords({ frame, stream, heardAgo }, known) {
  const what = stream.isGoingAway ? "The sidecar said that it is stopping" : `Nothing was heard for ${heardAgo}`;
  if (stream.isHeld) return "Treat trading as stopped until you see that it is not: the status is shown to who has signed in.";
  if (!frame) return `Treat trading as stopped. ${stream.problem ? `Not reached: ${stream.problem}.` : "Nothing was heard yet."} Trying again.`;
  const why = stream.problem && !stream.isGoingAway ? ` (${stream.problem})` : "";
  return `Treat trading as stopped. ${what}${why}; last known: ${MODE_WORDS[known]}. Trying again.`;
}

function meansWords(mode, frame) {
  const partial = causesOf(frame).filter((cause) => cause.isPartial).length;
  if (mode !== "NORMAL" || !partial) return MODE_MEANS[mode];
  return `${MODE_MEANS[mode]} But not all of them: ${partial === 1 ? "one part is stopped" : `${partial} parts are stopped`}.`;
}

function drawCause(cause, isLost) {
  const act = cause.action && !isLost
    ? el("button", { type: "button", class: "button-again", on: { click: () => openStart(cause.action) } }, "Start again …")
    : null;
  return el(
    "li",
    { class: `cause${cause.isUnknown ? " unknown" : ""}${cause.isWarning ? " warning" : ""}` },
    el("p", { class: "cause-title" }, el("bdi", {}, cause.title), cause.since ? el("span", { class: "cause-since" }, ` since ${at(cause.since, Date.now())}, `, ago(cause.since)) : null),
    cause.isUnknown ? el("p", { class: "cause-unknown" }, "UNKNOWN NAME: nothing here has this name. Misspelt? It is armed all the same.") : null,
    cause.detail ? el("p", { class: "cause-detail" }, el("bdi", {}, cause.detail)) : null,
    cause.command ? el("p", { class: "cause-way" }, el("span", { class: "way" }, "Way out"), command(cause.command), act) : null,
  );
}

function drawFlags({ frame, stream }) {
  const flags = [];
  if (frame) {
    const { status } = frame;
    const clock = status.clock ?? {};
    if (clock.mode !== "CLOCK_MODE_WALL") flags.push(["DRIVEN CLOCK", clock.now ? at(clock.now, NaN) : "not set"]);
    if (frame.is_draining || stream.isGoingAway) flags.push(["DRAINING", "stopping"]);
    if (status.positions_state !== "POSITIONS_STATE_CONFIRMED") flags.push(["NOT CONFIRMED", "positions were never compared with the venue's"]);
    if (!status.operator_proof_configured) flags.push(["NO SECRET", "resets are impossible until restarted with one"]);
    if (clock.jump) flags.push(["CLOCK JUMP", `${Math.round(seconds(clock.jump))} s; haltline reset clock`]);
    if (known.version && status.version !== known.version) flags.push(["ANOTHER VERSION", "answers now: load this page again"]);
    for (const part of frame.unwell ?? []) flags.push([`${clean(part.name, 40).toUpperCase().replace(/_/g, " ")} UNWELL`, clean(part.cause)]);
  }
  draw("flags", flags, () => flags.map(([name, what]) => el("li", { class: "flag" }, el("b", {}, name), el("span", {}, ` ${what}`))));
}

const ICON_COLOURS = { NORMAL: "%230b5d3b", REDUCE_ONLY: "%23f2b200", HALTED: "%23b3121d", LOST: "%23000000" };

function drawIcon(mode) {
  const shape = mode === "NORMAL" ? "<circle cx='8' cy='8' r='7'" : "<rect x='1' y='1' width='14' height='14'";
  const cross = mode === "LOST" ? "<path d='M4 4l8 8M12 4l-8 8' stroke='%23ff4d4d' stroke-width='3'/>" : "";
  const href = `data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'>${shape} fill='${ICON_COLOURS[mode]}'/>${cross}</svg>`;
  if (byId("icon").getAttribute("href") !== href) byId("icon").setAttribute("href", href);
}
