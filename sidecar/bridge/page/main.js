// Puts what was heard on the page, and the age of it; whatever fails here is shown as LOST.

const TICK_MS = 200;

const known = { hello: null, frame: null, decisions: null, skipped: 0, stream: null, clockSkewMs: 0, version: null, fault: "" };

function take(name, told) {
  if (name === "hello") known.hello = told;
  else if (name === "status") {
    known.frame = told;
    known.version ??= told.status.version;
    known.clockSkewMs = Date.now() - Number(told.sent_at);
  } else if (name === "equity") takeEquity(told);
  else if (name === "decisions") {
    known.decisions = told.decisions ?? [];
    known.skipped = told.skipped ?? 0;
  }
  show(name);
}

function show(name) {
  try {
    showNow(name);
    known.fault = "";
  } catch (error) {
    known.fault = clean(error.message, 200);
    say("mode-word", "LOST");
    document.documentElement.dataset.tone = "lost";
    say("mode-means", `Treat trading as stopped. This page failed (${known.fault}): load it again, or ask haltline safety.`);
    throw error;
  }
}

function showNow(name) {
  const { stream, frame } = known;
  const isLost = stream.isLost();
  const heardAgo = Number.isFinite(stream.silentMs()) ? lasting(stream.silentMs() / 1000) : "ever";
  drawMode({ frame, isLost, stream, heardAgo });
  showHeard(isLost, heardAgo);
  byId("sign-in").hidden = !stream.isHeld;
  byId("body").hidden = frame === null || stream.isHeld;
  byId("body").dataset.old = isLost ? "yes" : "no";
  byId("old").hidden = !isLost;
  say("old", `OLD NUMBERS: as they were ${heardAgo} ago, not as they are.`);
  if (frame !== null && name === "status") {
    drawLayers(frame);
    drawEquity(frame);
    drawOrders(frame);
    drawAbout(frame);
  }
  if (name === "decisions" || name === "status") drawDecisions(known.decisions, known.skipped);
  if (name === "equity") drawChart();
  // A driven clock is far from ours: ages are counted by it, as it stood.
  const isDriven = frame !== null && frame.status.clock?.mode !== "CLOCK_MODE_WALL";
  tick(isDriven ? millis(frame.status.clock?.now) : Date.now() - known.clockSkewMs);
}

function showHeard(isLost, heardAgo) {
  const silent = known.stream.silentMs();
  const text = Number.isFinite(silent) ? `heard ${silent < 10000 ? `${(Math.floor(silent / 100) / 10).toFixed(1)} s` : heardAgo} ago` : "nothing heard yet";
  say("heard", text);
  byId("pulse").dataset.lost = isLost ? "yes" : "no";
}

function drawAbout(frame) {
  const { status } = frame;
  say("name", clean(frame.name, 128));
  const facts = [
    ["stop epoch", group(status.stop_epoch ?? 0)],
    ["record", group(status.last_sequence ?? 0)],
    ["durable", group(status.store?.durable_sequence ?? 0)],
    ["store", clean(status.store_id, 64)],
    ["configuration", clean(status.config_hash, 64).slice(0, 12)],
    ["version", clean(status.version, 40)],
    ["running since", at(status.started_at, Date.now())],
  ];
  draw("about", facts, () => el("dl", {}, facts.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)))));
}

function begin() {
  known.stream = new Stream("/api/v1/safety/status/stream", take, () => show(""));
  bindActions();
  drawRanges();
  showStopPlan();
  byId("sign-in-insecure").hidden = canSign();
  say("sign-in-insecure", canSign() ? "" : INSECURE_WORDS);
  setInterval(() => { known.stream.watch(); tickStop(); show(""); }, TICK_MS);
  document.addEventListener("visibilitychange", () => show(""));
  new ResizeObserver(() => drawChart()).observe(byId("chart").parentElement);
  known.stream.run();
}

begin();
