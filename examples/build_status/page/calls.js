// The comparison: the same three calls one at a time and pipelined, over a line that is made slow.
import { Tub } from "/marotte/index.js";
import { count, h } from "./dom.js";
import { digest, measure } from "./measure.js";

const WAYS = [
  ["oneAtATime", "One at a time", "each call waits for the answer before it"],
  ["pipelined", "Pipelined", "each call is sent to the promise of the one before"],
];

export function describeLine(config) {
  document.querySelector("#distance").textContent = `over a line that takes ${config.delay} ms each way`;
}

/** Runs both, shows them as bars, and tells by the event `measured` on the document. */
export async function compare(config, question) {
  const tub = new Tub();
  try {
    // Connecting is not measured.
    const status = await tub.getReference(config.distant);
    const runs = {};
    for (const [way] of WAYS) {
      runs[way] = await measure(tub, status, { ...question, pipelined: way === "pipelined" });
    }
    // Both first, as drawing takes time, too.
    show(runs, question);
    const detail = {};
    for (const [way, { results, ms, roundTrips }] of Object.entries(runs)) {
      const { name, number, passed, failed, skipped } = results;
      detail[way] = { ms, roundTrips, name, number, passed, failed, skipped, digest: await digest(results) };
    }
    document.dispatchEvent(new CustomEvent("measured", { detail }));
  } catch (error) {
    const output = document.querySelector("#comparison");
    output.replaceChildren(h("p", { class: "notice bad" }, `The calls could not be made: ${error.message}`));
    document.dispatchEvent(new CustomEvent("measured", { detail: { error: error.message } }));
  } finally {
    void tub.close();
  }
}

function show(runs, { builder, build }) {
  const longest = Math.max(...Object.values(runs).map(({ ms }) => ms));
  const rows = WAYS.map(([way, label, why]) => {
    const { ms, roundTrips } = runs[way];
    // One piece a round trip: what is waited for is seen.
    const pieces = Array.from({ length: roundTrips }, () => h("i", {}));
    return h("div", { class: `way ${way}` },
      h("dt", {}, label, h("small", {}, why)),
      h("dd", {},
        h("span", { class: "bar", style: `width: ${(100 * ms) / longest}%`, "aria-hidden": "true" }, pieces),
        h("span", { class: "figures" }, h("b", {}, `${Math.round(ms)} ms`), ` · ${count(roundTrips, "round trip")}`)));
  });
  const chain = `status.getBuilder(${JSON.stringify(builder)})\n  .getBuild(${build})\n  .getResults()`;
  document.querySelector("#comparison").replaceChildren(h("dl", {}, rows), h("pre", { class: "chain" }, chain));
}
