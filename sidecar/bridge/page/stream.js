// Follows the sidecar's events and knows how old what it heard is.
//
// Rules: an answer that is silent for three heartbeats is LOST, and asked for anew after a while;
// a number that is missing between two events ends the stream, because something was lost.

const SILENCES_MAX = 3;
const RECONNECT_MS = 1000;
const HOPELESS_MS = 10000;
const EVENT_LENGTH_MAX = 4_000_000;

class Stream {
  constructor(path, onEvent, onProblem) {
    this.path = path;
    this.onEvent = onEvent;
    this.onProblem = onProblem;
    this.heartbeatMs = 1000;
    this.heardAt = null;
    this.isConnected = false;
    this.isGoingAway = false;
    this.problem = "";
    this.abort = null;
    this.isHeld = false;
  }

  // How long ago the last event came, in ms. The larger of two clocks: one of them may sleep.
  silentMs() {
    if (this.heardAt === null) return Infinity;
    return Math.max(performance.now() - this.heardAt.steady, Date.now() - this.heardAt.wall);
  }

  isLost() {
    return !this.isConnected || this.isGoingAway || this.silentMs() > SILENCES_MAX * this.heartbeatMs;
  }

  async run() {
    for (;;) {
      if (!this.isHeld) {
        try {
          await this.follow();
          this.problem = "the sidecar ended the stream";
        } catch (error) {
          this.problem = error.name === "AbortError" ? "no answer" : clean(error.message, 200);
        }
        this.isConnected = false;
        this.onProblem();
      }
      await new Promise((done) => setTimeout(done, RECONNECT_MS));
    }
  }

  // Called often: ends an attempt that has said nothing for too long.
  watch() {
    if (this.abort && performance.now() - this.abort.since > HOPELESS_MS) this.abort.controller.abort();
  }

  async follow() {
    const controller = new AbortController();
    this.abort = { controller, since: performance.now() };
    try {
      const answer = await fetch(this.path, { signal: controller.signal, cache: "no-store", credentials: "same-origin", redirect: "error" });
      if (answer.status === 401) {
        this.isHeld = true;
        throw new Error("sign in to see the status");
      }
      if (!answer.ok) throw new Error(`the sidecar answers ${answer.status}`);
      await this.read(answer.body.getReader());
    } finally {
      this.abort = null;
      controller.abort();
    }
  }

  async read(reader) {
    const decoder = new TextDecoder();
    let text = "";
    let expected = 1;
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      text += decoder.decode(value, { stream: true });
      if (text.length > EVENT_LENGTH_MAX) throw new Error("an event without an end");
      for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
        expected = this.take(text.slice(0, end), expected);
        text = text.slice(end + 2);
      }
    }
  }

  take(block, expected) {
    let name = "";
    let data = "";
    for (const line of block.split("\n")) {
      if (line.startsWith("id: ")) {
        if (Number(line.slice(4)) !== expected) throw new Error(`event ${expected} is missing`);
        expected += 1;
      } else if (line.startsWith("event: ")) name = line.slice(7);
      else if (line.startsWith("data: ")) data = line.slice(6);
    }
    const told = JSON.parse(data);
    this.heardAt = { steady: performance.now(), wall: Date.now() };
    if (this.abort) this.abort.since = performance.now();
    this.problem = "";
    if (name === "signed_out") this.isHeld = true;
    if (name === "status") {
      this.isConnected = true; // not before: what is known from an earlier stream is old
      this.isGoingAway = told.kind === "GOING_AWAY";
      this.heartbeatMs = Math.max(100, 1000 * Number(told.max_silence_seconds) || 1000);
    }
    this.onEvent(name, told);
    return expected;
  }
}
