// Makes elements. Whatever is shown goes in as text; nothing here reads markup.

function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") element.className = value;
    else if (name === "on") for (const [event, act] of Object.entries(value)) element.addEventListener(event, act);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

function byId(id) {
  return document.getElementById(id);
}

function say(id, text) {
  const element = byId(id);
  if (element.textContent !== text) element.textContent = text;
}

// A text somebody else wrote, kept apart from the line it stands in.
function foreign(text, lengthMax) {
  return el("bdi", {}, clean(text, lengthMax));
}

// Draws a region anew only where what it shows has changed: focus, selection and a screen
// reader's place stay where they are while nothing happens.
const drawn = new Map();

function draw(id, shown, make) {
  const signature = JSON.stringify(shown);
  if (drawn.get(id) === signature) return;
  byId(id).replaceChildren(...[make()].flat(2).filter(Boolean));
  drawn.set(id, signature);
}

function state(id, text, tone) {
  const element = byId(id);
  if (element.textContent !== text) element.textContent = text;
  element.dataset.tone = tone;
}

// How long ago a time is, counted on by `tick`.
function ago(time) {
  const moment = millis(time);
  return Number.isFinite(moment) ? el("span", { class: "ago", "data-since": moment }) : null;
}

function tick(now) {
  for (const element of document.querySelectorAll("[data-since]")) {
    const text = `${lasting((now - Number(element.dataset.since)) / 1000)} ago`;
    if (element.textContent !== text) element.textContent = text;
  }
}

// One measurement: its name, its figures, and a bar of how much of the limit is used.
// `how` is "armed" or "not-armed"; a bar that guards nothing has no fill and says why.
function meter({ name, figures, share, tags = [], isArmed = true, why = "", warnAt = 0.8 }) {
  const tone = !isArmed ? "not-armed" : share >= 1 ? "bad" : share >= warnAt ? "warn" : "good";
  const bar = el("div", {
    class: "bar",
    role: "meter",
    "aria-label": name,
    "aria-valuemin": 0,
    "aria-valuemax": 100,
    "aria-valuenow": isArmed ? Math.round(share * 100) : 0,
    "aria-valuetext": isArmed ? figures : `NOT ARMED: ${why}`,
  });
  if (isArmed) {
    const fill = el("div", { class: "fill" });
    fill.style.width = `${share * 100}%`;
    const mark = el("div", { class: "warn-at" });
    mark.style.left = `${warnAt * 100}%`;
    bar.append(fill, mark);
  }
  return el(
    "div",
    { class: "measure", "data-tone": tone },
    el("p", { class: "measure-name" }, el("bdi", {}, name), ...tags.map((text) => el("span", { class: "tag" }, text))),
    el("p", { class: "measure-figures" }, isArmed ? figures : el("span", { class: "tag" }, "NOT ARMED")),
    bar,
    isArmed ? null : el("p", { class: "measure-why" }, figures ? `${figures}: ${why}` : why),
  );
}

function command(text) {
  const button = el("button", { type: "button", class: "copy", "aria-label": `Copy: ${text}` }, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(button.previousSibling);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
  return el("span", { class: "command" }, el("code", {}, text), button);
}
