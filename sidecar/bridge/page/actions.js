// Stopping in two steps, starting again with a signature, signing in to look.

const CONFIRM_MS = 10000;
const DOUBLE_CLICK_MS = 700;
const SCOPES_OFFERED_MAX = 50;
const TRIGGER_PATH = "/api/v1/safety/kill-switch/trigger";
const RESET_PATH = "/api/v1/safety/kill-switch/reset";
const EASE_PATH = "/api/v1/safety/kill-switch/ease";
const BREAKER_PATH = "/api/v1/safety/circuit-breaker/reset";

// Stopping.

const stopping = { pressedAt: null, released: false };

// Whether a stop needs no secret here; before anything was heard it is tried, unless we were sent
// away to sign in.
function isLocal() {
  return known.hello?.is_local ?? !known.stream.isHeld;
}

// The store a signature is for; told to anybody, because it is no secret.
async function audience() {
  if (known.hello) return known.hello.store_id;
  return (await (await fetch("/healthz", { cache: "no-store" })).json()).store_id;
}

function stopPlan() {
  const mode = byId("stop-mode").value === "REDUCE_ONLY" ? "REDUCE ONLY for" : "HALT";
  const kind = byId("stop-kind").value;
  const name = byId("stop-scope").value.trim();
  const what = kind === "ALL" ? "everything" : name ? `${kind.toLowerCase()} ${clean(name, 128)}` : `everything (no ${kind.toLowerCase()} is named)`;
  return `${mode} ${what}`;
}

function showStopPlan() {
  const kind = byId("stop-kind").value;
  byId("stop-scope-label").hidden = kind === "ALL";
  say("stop-plan", `${stopPlan()}, in two steps`);
  const limits = known.frame?.status.position_limits ?? {};
  const names = (kind === "SYMBOL" ? limits.symbols : limits.strategies) ?? [];
  byId("stop-scopes").replaceChildren(...names.slice(0, SCOPES_OFFERED_MAX).map((one) => el("option", { value: one.name })));
}

function pressStop() {
  if (stopping.pressedAt !== null) return;
  stopping.pressedAt = performance.now();
  stopping.released = false;
  say("stop-ask", `${stopPlan()}?`);
  say("stop-said", isLocal() || canSign() ? "" : INSECURE_WORDS);
  byId("stop-secret-label").hidden = isLocal();
  byId("stop-confirm").hidden = false;
  byId("stop").dataset.asks = "yes";
  byId("stop-press").setAttribute("aria-expanded", "true");
  byId(isLocal() ? "stop-yes" : "stop-secret").focus();
}

function forgetStop(words = "") {
  stopping.pressedAt = null;
  byId("stop-confirm").hidden = true;
  delete byId("stop").dataset.asks;
  byId("stop-press").setAttribute("aria-expanded", "false");
  byId("stop-secret").value = "";
  say("stop-said", words);
  byId("stop-press").focus();
}

function tickStop() {
  if (stopping.pressedAt === null) return;
  const left = CONFIRM_MS - (performance.now() - stopping.pressedAt);
  if (left <= 0) forgetStop("Nothing was stopped: it was not confirmed in 10 s.");
  else say("stop-left", String(Math.ceil(left / 1000)));
}

async function confirmStop() {
  // A second click of the same hand, or a key held down, is no second step.
  const isTooSoon = performance.now() - stopping.pressedAt < DOUBLE_CLICK_MS;
  if (stopping.pressedAt === null || isTooSoon || !stopping.released) return;
  const kind = byId("stop-kind").value;
  const name = byId("stop-scope").value.trim();
  const asked = {
    reason: byId("stop-reason").value.trim(),
    triggered_by: byId("stop-by").value.trim() || "page",
    mode: byId("stop-mode").value,
    ...(kind !== "ALL" && name ? { [kind.toLowerCase()]: name } : {}),
  };
  const isUnsigned = isLocal();
  const secret = isUnsigned ? "" : takeSecret("stop-secret");
  if (!isUnsigned && !secret) {
    say("stop-said", "Type the secret: from beyond its machine a stop is signed.");
    return;
  }
  forgetStop("Stopping …");
  try {
    const answer = await post(isUnsigned ? "/kill" : TRIGGER_PATH, asked, secret, isUnsigned ? "" : await audience());
    say("stop-said", answer.ok ? stoppedWords(answer.told) : `NOT STOPPED. ${refusalWords(answer)}`);
  } catch (error) {
    say("stop-said", `NOT STOPPED, as far as this page knows: no answer (${clean(error.message, 200)}). Use haltline kill, put a file named KILL into the data directory, or stop at the venue.`);
  }
}

function stoppedWords(told) {
  const isUnknown = told.scope_known === undefined ? told.activation?.scope_known === false : told.scope_known === false;
  return [
    told.already_active ? "It was stopped already." : "Stopped.",
    told.durable === false ? "NOT DURABLE: the disk refused it, a restart may not know it. Stop the bots too." : "",
    isUnknown ? "Nothing here has that name: misspelt?" : "",
    clean(told.advice ?? ""),
  ].filter(Boolean).join(" ");
}

// Starting again.

const starting = { choices: [], isBusy: false };

function startChoices(status) {
  const choices = [];
  const kill = status.kill_switch ?? {};
  const activations = kill.activations ?? [];
  if (activations.length > 1) choices.push({ id: "kill-all", text: `Kill switch: all ${activations.length} activations`, path: RESET_PATH, body: { expected_epoch: Number(kill.epoch) } });
  activations.forEach((one, index) => {
    const scope = one.scope?.strategy !== undefined ? { strategy: one.scope.strategy } : one.scope?.symbol !== undefined ? { symbol: one.scope.symbol } : { all: true };
    const body = { scope, expected_epoch: Number(one.epoch) };
    choices.push({ id: `kill-${index}`, text: `Kill switch: reset ${scopeWords(one.scope)} (epoch ${one.epoch})`, path: RESET_PATH, body, of: one });
    if (one.mode === "KILL_MODE_HALT") choices.push({ id: `ease-${index}`, text: `Only ease it to REDUCE ONLY: ${scopeWords(one.scope)}`, path: EASE_PATH, body });
  });
  if (isOpen(status)) choices.push({ id: "breaker", text: "Circuit breaker: close it", path: BREAKER_PATH, body: {} });
  return choices;
}

function openStart(action) {
  const { status } = known.frame;
  starting.choices = startChoices(status);
  const wanted = starting.choices.find((one) => (action.kind === "breaker" ? one.id === "breaker" : one.of?.epoch === action.epoch)) ?? starting.choices[0];
  byId("start-choices").replaceChildren(...starting.choices.map((choice) => el("label", { class: "choice" },
    el("input", { type: "radio", name: "start-choice", value: choice.id, checked: choice === wanted, on: { change: showRebase } }), el("span", {}, el("bdi", {}, choice.text)))));
  const standing = (status.account?.drawdowns ?? []).filter((one) => one.stands);
  byId("start-rebases").replaceChildren(...standing.map((one) => {
    const kind = word(one.kind, "DRAWDOWN_KIND_");
    return el("label", { class: "choice" }, el("input", { type: "checkbox", value: kind }), el("span", {}, `Re-base the ${kind.toLowerCase()} drawdown: it stands at ${percent(one.ratio)} of ${percent(one.threshold)}`));
  }));
  const problem = startProblem(status);
  byId("start-problem").hidden = !problem;
  say("start-problem", problem);
  say("start-said", "");
  showRebase();
  byId("start").showModal();
  byId("start-by").focus();
}

function startProblem(status) {
  if (!status.operator_proof_configured) return "This sidecar was started without a secret: no reset is possible until it is restarted with KILL_SWITCH_SECRET. What is stopped stays stopped.";
  if (!canSign()) return INSECURE_WORDS;
  if (status.kill_switch?.kill_file_present) return "A file named KILL is in the data directory: no reset of the kill switch succeeds until it is removed.";
  return "";
}

function chosen() {
  const picked = document.querySelector("input[name=start-choice]:checked");
  return starting.choices.find((choice) => choice.id === picked?.value);
}

function showRebase() {
  byId("start-rebase").hidden = chosen()?.id !== "breaker" || !byId("start-rebases").children.length;
}

async function signStart() {
  if (starting.isBusy) return;
  const choice = chosen();
  const [by, reason] = [byId("start-by").value.trim(), byId("start-reason").value.trim()];
  const missing = [[choice, "what to start"], [by, "who you are"], [reason, "why"], [byId("start-secret").value, "the secret"]].filter(([there]) => !there).map(([, what]) => what);
  if (missing.length) {
    say("start-said", `Still missing: ${missing.join(", ")}.`);
    return;
  }
  if (!canSign()) {
    byId("start-secret").value = "";
    say("start-said", INSECURE_WORDS);
    return;
  }
  const rebase = choice.id === "breaker" ? [...byId("start-rebases").querySelectorAll("input:checked")].map((box) => box.value) : [];
  const secret = takeSecret("start-secret");
  starting.isBusy = true;
  say("start-said", "Signing …");
  try {
    const body = { reset_by: by, reason, ...choice.body, ...(rebase.length ? { rebase } : {}) };
    const answer = await post(choice.path, body, secret, known.hello.store_id);
    say("start-said", answer.ok ? "Done: see the mode above." : startRefusedWords(answer));
    if (answer.ok) closeStart(`Started again: ${choice.text}.`);
  } catch (error) {
    say("start-said", `No answer (${clean(error.message, 200)}): look at the mode before you try again.`);
  } finally {
    starting.isBusy = false;
  }
}

function startRefusedWords(answer) {
  const skew = Math.round(Math.abs(known.clockSkewMs ?? 0) / 1000);
  const clock = answer.status === 401 && skew > 60 ? ` This browser's clock is ${skew} s away from the sidecar's: set it right.` : "";
  return `${refusalWords(answer)}${clock}`;
}

function closeStart(words = "") {
  byId("start-secret").value = "";
  if (byId("start").open) byId("start").close();
  if (words) say("stop-said", words);
}

// Signing in to look.

async function signIn() {
  const secret = takeSecret("sign-in-secret");
  if (!secret || !canSign()) {
    say("sign-in-said", canSign() ? "Type the secret." : INSECURE_WORDS);
    return;
  }
  say("sign-in-said", "Signing …");
  try {
    const answer = await post("/session", {}, secret, await audience());
    say("sign-in-said", answer.ok ? "" : refusalWords(answer));
    if (answer.ok) known.stream.isHeld = false;
  } catch (error) {
    say("sign-in-said", `No answer (${clean(error.message, 200)}).`);
  }
}

function bindActions() {
  byId("stop-press").addEventListener("click", pressStop);
  byId("stop-yes").addEventListener("click", confirmStop);
  byId("stop-no").addEventListener("click", () => forgetStop("Nothing was stopped."));
  byId("stop-confirm").addEventListener("keydown", (event) => {
    if (event.key === "Escape") forgetStop("Nothing was stopped.");
    if (event.key === "Enter" && event.target === byId("stop-secret")) confirmStop();
  });
  for (const name of ["keyup", "pointerup"]) document.addEventListener(name, () => { stopping.released = true; });
  for (const id of ["stop-mode", "stop-kind"]) byId(id).addEventListener("change", showStopPlan);
  byId("stop-scope").addEventListener("input", showStopPlan);
  byId("start-go").addEventListener("click", signStart);
  byId("start-close").addEventListener("click", () => closeStart());
  byId("start").addEventListener("close", () => { byId("start-secret").value = ""; });
  byId("start-secret").addEventListener("keydown", (event) => { if (event.key === "Enter") signStart(); });
  byId("sign-in-go").addEventListener("click", signIn);
  byId("sign-in-secret").addEventListener("keydown", (event) => { if (event.key === "Enter") signIn(); });
  window.addEventListener("pagehide", () => { for (const id of ["stop-secret", "start-secret", "sign-in-secret"]) byId(id).value = ""; });
}
