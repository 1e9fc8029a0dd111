// What the page knows, and the connection that it knows it by.
import { Referenceable, Tub } from "/marotte/index.js";

/** What the server calls when something new is there. */
class Observer extends Referenceable {
  #board;

  constructor(board) {
    super();
    this.#board = board;
  }

  buildAdded(_builder, _number, summary) {
    this.#board.added(summary, true);
  }

  problemsChanged(problems) {
    this.#board.setProblems(problems);
  }
}

/** Builders with their builds in short. Tells by the events `change`, `added` (with the summary) and `state`. */
export class Board extends EventTarget {
  /** `connecting`, `live` or `lost`; `why` says more of the last. */
  state = "connecting";
  why = "";
  config = null;
  /** Builds in short by number, by builder. */
  builders = new Map();
  problems = [];
  #tub = null;
  #status = null;
  #results = new Map();

  async connect() {
    this.#enter("connecting");
    this.#tub?.close();
    const tub = (this.#tub = new Tub());
    try {
      this.config = await fetchConfig();
      this.#status = await tub.getReference(this.config.status);
      this.builders.clear();
      this.#results.clear();
      // Subscribed first, so that nothing is missed in between. Waiting for the end of the subscription is how a
      // lost connection shows at once.
      const subscription = this.#status.subscribe(new Observer(this));
      subscription.whenEnded().then(
        () => this.#lost(tub, "The server ended the subscription."),
        (error) => this.#lost(tub, sentence(error.message)),
      );
      const [problems, builders] = await Promise.all([this.#status.getProblems(), this.#status.getBuilders()]);
      // All in one round trip, however many builders there are.
      const builds = await Promise.all(builders.map(({ name }) => this.#status.getBuilder(name).getBuilds()));
      for (const summary of builds.flat()) this.added(summary, false);
      this.setProblems(problems);
      // It may have been lost meanwhile.
      if (this.#tub === tub && this.state === "connecting") this.#enter("live");
    } catch (error) {
      this.#lost(tub, sentence(error.message));
    }
  }

  added(summary, isNew) {
    let builds = this.builders.get(summary.name);
    if (!builds) {
      builds = new Map();
      this.builders.set(summary.name, builds);
      this.builders = new Map([...this.builders].sort(([a], [b]) => a.localeCompare(b)));
    }
    if (builds.has(summary.number)) return;
    builds.set(summary.number, summary);
    if (isNew) this.dispatchEvent(new CustomEvent("added", { detail: summary }));
    this.dispatchEvent(new Event("change"));
  }

  setProblems(problems) {
    this.problems = problems;
    this.dispatchEvent(new Event("change"));
  }

  /** The results of a build: three dependent calls, one round trip. */
  results(name, number) {
    const key = JSON.stringify([name, number]);
    let results = this.#results.get(key);
    if (!results) {
      results = this.#status.getBuilder(name).getBuild(number).getResults()._when();
      this.#results.set(key, results);
      // A failure is not kept, and neither is more than a few builds.
      results.catch(() => this.#results.delete(key));
      if (this.#results.size > 8) this.#results.delete(this.#results.keys().next().value);
    }
    return results;
  }

  newest(name) {
    const builds = this.builders.get(name);
    return builds && Math.max(...builds.keys());
  }

  #lost(tub, why) {
    if (tub !== this.#tub || this.state === "lost") return;
    this.#enter("lost", why);
    void tub.close();
  }

  #enter(state, why = "") {
    Object.assign(this, { state, why });
    this.dispatchEvent(new Event("state"));
  }
}

async function fetchConfig() {
  let response;
  try {
    response = await fetch("/config.json", { cache: "no-store" });
  } catch {
    throw new Error("The page's own web server does not answer; is `make serve` still running?");
  }
  if (!response.ok) throw new Error(`The page's own web server answered ${response.status} for config.json.`);
  return response.json();
}

function sentence(text) {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
