// Words and figures for people: what the contract's values read like.
//
// Rules: a figure is never a float on its way to the screen; a text from elsewhere keeps no
// character that is unseen, turns the line round or controls anything, and is cut.

const TEXT_LENGTH_MAX = 300;

// Controls, zero-width characters, marks that turn the direction of what follows, line separators.
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202f\u205f-\u206f\ufeff\ufff9-\ufffb]/g;

const MODE_WORDS = { NORMAL: "NORMAL", REDUCE_ONLY: "REDUCE ONLY", HALTED: "HALTED", LOST: "LOST" };

const CAUSE_WORDS = {
  DAILY_DRAWDOWN: "Daily drawdown",
  WEEKLY_DRAWDOWN: "Weekly drawdown",
  TOTAL_DRAWDOWN: "Total drawdown",
  CONSECUTIVE_LOSSES: "Consecutive losses",
  API_ERRORS: "API errors",
  ORDER_FAILURES: "Order failures",
  FAILED_TRADES: "Failed trades",
  UNSOLICITED: "Unsolicited orders",
  BOT_SILENT: "Bot silent",
};

const LAYER_WORDS = {
  STORE: "Store",
  KILL_SWITCH: "Kill switch",
  CIRCUIT_BREAKER: "Circuit breaker",
  POSITION_LIMITS: "Position limits",
};

// A text that somebody else wrote, fit to be shown: with what is unseen written out, and cut.
function clean(text, lengthMax = TEXT_LENGTH_MAX) {
  const whole = String(text ?? "");
  const shown = whole.slice(0, lengthMax).replace(UNSEEN, escaped).toWellFormed();
  return whole.length > lengthMax ? `${shown} … (${group(String(whole.length))} characters)` : shown;
}

function escaped(character) {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

// An enum's value without the enum's prefix: HALT for KILL_MODE_HALT.
function word(value, prefix) {
  const text = String(value ?? `${prefix}UNSPECIFIED`);
  return text.startsWith(prefix) ? text.slice(prefix.length) : text;
}

// 1234567.5 as 1,234,567.5; what is no decimal is shown as it is.
function group(text) {
  const parts = /^(-?)([0-9]+)(\.[0-9]+)?$/.exec(String(text ?? ""));
  if (!parts) return clean(text, 40);
  return parts[1] + parts[2].replace(/\B(?=([0-9]{3})+$)/g, ",") + (parts[3] ?? "");
}

// Money: grouped, with two places where it has any.
function money(text) {
  const parts = /^(-?[0-9]+)\.([0-9]+)$/.exec(String(text ?? ""));
  return parts ? `${group(parts[1])}.${parts[2].slice(0, 2).padEnd(2, "0")}` : group(text);
}

// Money or a small number: one below 1 keeps every digit it has.
function figure(text) {
  return /^-?0\./.test(String(text ?? "")) ? group(text) : money(text);
}

// A ratio as per cent, its digits moved by two places and cut to `places`.
function percent(ratio, places = 2) {
  const parts = /^(-?)([0-9]+)(?:\.([0-9]+))?$/.exec(String(ratio ?? ""));
  if (!parts) return "?";
  const digits = parts[2] + (parts[3] ?? "").padEnd(2 + places, "0").slice(0, 2 + places);
  const point = parts[2].length + 2;
  const whole = digits.slice(0, point).replace(/^0+(?=[0-9])/, "");
  const rest = digits.slice(point).replace(/0+$/, "");
  return `${parts[1]}${group(whole)}${rest ? `.${rest}` : ""} %`;
}

// A share for a bar only: how much of `limit` is used, 0 to 1.
function shareOf(used, limit) {
  const whole = Number(limit);
  if (!(whole > 0)) return 1;
  return Math.min(1, Math.max(0, Number(used ?? 0) / whole));
}

// 3 s, 4 min, 5 h, 6 d.
function lasting(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 120) return `${whole} s`;
  if (whole < 7200) return `${Math.floor(whole / 60)} min`;
  if (whole < 172800) return `${Math.floor(whole / 3600)} h`;
  return `${Math.floor(whole / 86400)} d`;
}

// A duration of the contract ("12.5s") in seconds.
function seconds(duration) {
  return Number.parseFloat(String(duration ?? "0")) || 0;
}

// A time of the contract in milliseconds, NaN where there is none.
function millis(time) {
  return typeof time === "number" ? time : Date.parse(String(time ?? ""));
}

// 21:00:00Z today, 2026-11-22 21:00:00Z on another day than `now`.
function at(time, now) {
  const moment = millis(time);
  if (!Number.isFinite(moment)) return "an unknown time";
  const text = new Date(moment).toISOString();
  const isToday = Number.isFinite(now) && text.slice(0, 10) === new Date(now).toISOString().slice(0, 10);
  return `${isToday ? "" : `${text.slice(0, 10)} `}${text.slice(11, 19)}Z`;
}

function scopeWords(scope) {
  if (scope?.strategy !== undefined) return `strategy ${clean(scope.strategy, 128)}`;
  if (scope?.symbol !== undefined) return `symbol ${clean(scope.symbol, 128)}`;
  return "everything";
}

function scopeFlag(scope) {
  if (scope?.strategy !== undefined) return ` --strategy ${quoted(scope.strategy)}`;
  if (scope?.symbol !== undefined) return ` --symbol ${quoted(scope.symbol)}`;
  return "";
}

// One word of a shell's command line, whatever it holds.
function quoted(text) {
  const plain = clean(text, 128);
  return /^[A-Za-z0-9_./:@%+=-]+$/.test(plain) ? plain : `'${plain.replace(/'/g, "'\\''")}'`;
}
