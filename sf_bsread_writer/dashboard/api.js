// Asks the buffer: with a timeout, one request of a kind at a time, and only while somebody looks.

import { byId, element, keep, setText } from "./dom.js";

const TIMEOUT_MS = 30_000; // a buffer that is busy takes its time for thousands of channels
const SHARE = 5; // what takes a second is asked for each five seconds
const LATE_MS = 3_000; // after a failure, at least this long until the next try

/** An answer that says what is wrong; `status` is the HTTP code, 0 if there was no answer at all. */
export class Problem extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

/** Whether the buffer answers: `reachable`, null as long as nobody knows, and `since` when. Tells of changes by an event. */
export const link = Object.assign(new EventTarget(), {
  reachable: null,
  since: new Date(),
  set(reachable) {
    if (this.reachable === reachable) return;
    this.reachable = reachable;
    this.since = new Date();
    this.dispatchEvent(new Event("change"));
  },
});

const LONG_INTEGER = /^-?\d{16,}$/;
const HAS_LONG_INTEGER = /[:,[]-?\d{16,}[,\]}]/;

/** JSON in which an integer that a number may not hold exactly, as those of int64, is a BigInt; browsers before 2025 round it. */
function parsed(text) {
  if (!HAS_LONG_INTEGER.test(text)) return JSON.parse(text); // which is much quicker
  return JSON.parse(text, (_, value, context) => (typeof value === "number" && LONG_INTEGER.test(context?.source) ? BigInt(context.source) : value));
}

/** The JSON that a path answers with; throws Problem. `body` makes it a POST unless a method is given. */
export async function ask(path, { body, method = body === undefined ? "GET" : "POST", headers = {}, signal, timeout_ms = TIMEOUT_MS } = {}) {
  const asked_ms = performance.now();
  const ending = new AbortController();
  const end = () => ending.abort();
  const late = setTimeout(end, timeout_ms);
  signal?.addEventListener("abort", end, { once: true });
  try {
    const response = await fetch(path, {
      method,
      headers: body === undefined ? headers : { "content-type": "application/json", ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: ending.signal,
    });
    const answer = parsed(await response.text());
    link.set(true);
    if (!response.ok) throw new Problem(response.status, reasonIn(answer) ?? `${path}: HTTP ${response.status}`);
    return answer;
  } catch (error) {
    if (error instanceof Problem) throw error;
    if (signal?.aborted) throw new Problem(0, "nobody waits for it any more");
    if (ending.signal.aborted) throw new Problem(0, `no answer within ${timeout_ms / 1000} s`);
    if (error instanceof SyntaxError) throw new Problem(0, `the answer of ${path} is not JSON`);
    link.set(false);
    throw new Problem(0, "the buffer cannot be reached");
  } finally {
    clearTimeout(late);
    if (signal) waited.set(signal, (waited.get(signal) ?? 0) + performance.now() - asked_ms);
    signal?.removeEventListener("abort", end);
  }
}

const waited = new WeakMap(); // for answers, in ms, by the signal of who waits for them

function reasonIn(answer) {
  const text = answer.detail ?? answer.status;
  const more = Array.isArray(answer.extra) ? answer.extra.map((part) => `${part.key ?? "value"}: ${part.message}`) : [];
  return text === undefined ? undefined : [text, ...more].join("; ");
}

const wrong = new Map();

/** Shows what is wrong with a part of the page, in words; null when it is well again. */
export function tell(part, text) {
  if (text === null ? !wrong.has(part) : wrong.get(part) === text) return;
  if (text === null) wrong.delete(part);
  else wrong.set(part, text);
  keep(byId("errors"), [...wrong], ([name]) => name, makeComplaint, (line, [name, said]) =>
    setText(line.firstChild, `${name}: ${said}`),
  );
}

function makeComplaint([part]) {
  const button = element("button", { type: "button", "aria-label": `Dismiss: ${part}` }, "Dismiss");
  button.addEventListener("click", () => tell(part, null));
  return element("p", {}, element("span"), button);
}

/** Does something every so often: only while one of `targets` can be seen, and never again before it is done. */
export class Poll {
  #targets;
  #period_ms;
  #work;
  #part;
  #watch;
  #inSight = new Set();
  #timer = null;
  #running = null;
  #began_ms = -Infinity;
  #ended_ms = -Infinity;
  #pause_ms = 0;
  #isCutOff = false;
  #share;
  #scout;
  #hasFailed = false;
  #urgent = false;

  /**
   * `work` is given an AbortSignal; what it throws is told of under the name `part`. The buffer works for it for one in
   * `share` of the time at most; the browser, which draws, has half a period for itself each time.
   * Only a `scout` goes on asking a buffer that cannot be reached.
   */
  constructor(part, targets, period_ms, work, { share = SHARE, scout = false } = {}) {
    this.#part = part;
    this.#targets = targets;
    this.#period_ms = period_ms;
    this.#work = work;
    this.#share = share;
    this.#scout = scout;
    this.#watch = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) this.#inSight[isIntersecting ? "add" : "delete"](target);
      this.#arrange();
    });
  }

  start() {
    document.addEventListener("visibilitychange", this.#arrange);
    link.addEventListener("change", this.#relink);
    for (const target of this.#targets) this.#watch.observe(target);
    return this;
  }

  stop() {
    document.removeEventListener("visibilitychange", this.#arrange);
    link.removeEventListener("change", this.#relink);
    this.#watch.disconnect();
    this.#inSight.clear();
    this.#running?.abort();
    this.#running = null;
    clearTimeout(this.#timer);
    tell(this.#part, null);
  }

  /** While it is urgent, it goes on out of sight, too. */
  set urgent(wanted) {
    if (this.#urgent === wanted) return;
    this.#urgent = wanted;
    this.#arrange();
  }

  /** At once, if it is in sight: what runs now is about something else and is given up. */
  again() {
    this.#running?.abort();
    this.#running = null;
    this.#began_ms = this.#ended_ms = -Infinity;
    this.#arrange();
  }

  #relink = () => {
    this.#hasFailed = false;
    this.#pause_ms = 0;
    this.#isCutOff = this.#running !== null; // how long it waits then says nothing
    this.#arrange();
  };

  #arrange = () => {
    clearTimeout(this.#timer);
    if (link.reachable === false && !this.#scout) return;
    if (this.#running !== null || (this.#inSight.size === 0 && !this.#urgent) || document.visibilityState === "hidden") return;
    const pause_ms = Math.max(this.#period_ms, this.#pause_ms, this.#hasFailed ? LATE_MS : 0);
    const next_ms = Math.max(this.#began_ms + pause_ms, this.#ended_ms + this.#period_ms / 2);
    this.#timer = setTimeout(() => this.#run(), Math.max(0, next_ms - performance.now()));
  };

  async #run() {
    const running = new AbortController();
    this.#running = running;
    this.#isCutOff = false;
    this.#began_ms = performance.now();
    let said = null;
    try {
      await this.#work(running.signal);
    } catch (error) {
      if (!(error instanceof Problem)) console.error(error);
      said = error.message;
    }
    if (this.#running !== running) return; // somebody else has taken over, or it was stopped
    this.#running = null;
    this.#hasFailed = said !== null;
    this.#ended_ms = performance.now();
    this.#pause_ms = this.#hasFailed || this.#isCutOff ? 0 : (waited.get(running.signal) ?? 0) * this.#share;
    tell(this.#part, link.reachable === false ? null : said); // that nothing can be reached is said at the top
    this.#arrange();
  }
}
