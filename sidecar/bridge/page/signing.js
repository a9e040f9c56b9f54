// Signs one request with the operator's secret, in the browser: hs1 (S11).
//
// Rules: the secret becomes a key that cannot be read back, signs once and is let go; it is never
// sent, kept or logged. Without crypto.subtle nothing is asked for.

const NONCE_BYTES = 18;

const INSECURE_WORDS = "This browser signs only on a secure page: open it by https, or as http://localhost or http://127.0.0.1 on the machine itself. Without it: the command line, which stands beside each cause.";

function canSign() {
  return window.isSecureContext && crypto.subtle !== undefined;
}

async function sign(secret, { audience, method, path, body }) {
  const encoder = new TextEncoder();
  const key = await crypto.subtle.importKey("raw", encoder.encode(secret.trim()), { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  const timestamp = String(Math.floor(Date.now() / 1000));
  const nonce = hex(crypto.getRandomValues(new Uint8Array(NONCE_BYTES)));
  const digest = hex(new Uint8Array(await crypto.subtle.digest("SHA-256", encoder.encode(body))));
  const message = ["hs1", audience, method, path, timestamp, nonce, digest].join("\n");
  const signature = hex(new Uint8Array(await crypto.subtle.sign("HMAC", key, encoder.encode(message))));
  return { "x-haltline-signature": signature, "x-haltline-timestamp": timestamp, "x-haltline-nonce": nonce };
}

function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// Takes the secret out of its field: afterwards it is nowhere on the page.
function takeSecret(id) {
  const field = byId(id);
  const secret = field.value;
  field.value = "";
  return secret;
}

// Sends JSON to this origin and returns { ok, status, told }; rejects where nothing answered.
async function post(path, plain, secret, audience) {
  const body = JSON.stringify(plain);
  const signed = secret ? await sign(secret, { audience, method: "POST", path, body }) : {};
  const answer = await fetch(path, {
    method: "POST",
    body,
    headers: { "content-type": "application/json", "x-haltline-page": "1", ...signed },
    cache: "no-store",
    credentials: "same-origin",
    redirect: "error",
    signal: AbortSignal.timeout(10000),
  });
  let told = {};
  try {
    told = await answer.json();
  } catch {
    told = { message: `the sidecar answers ${answer.status} without a word` };
  }
  return { ok: answer.ok, status: answer.status, told };
}

// What went wrong, for the person who pressed.
function refusalWords({ status, told }) {
  const reason = told.reason ? `${clean(told.reason, 60)}: ` : "";
  return `Refused (${status}). ${reason}${clean(told.message || told.error || "no reason given", 600)}`;
}
