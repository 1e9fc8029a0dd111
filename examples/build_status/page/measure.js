// What the Node client and the web page share: the three dependent calls, and a digest of what they brought.

/** Makes the calls; `status` must be there already, as connecting is not measured. */
export async function measure(tub, status, { pipelined, builder: name, build: number = -1 }) {
  const tripsBefore = tub.stats().round_trips;
  const began = performance.now();
  let results;
  if (pipelined) {
    results = await status.getBuilder(name).getBuild(number).getResults();
  } else {
    const builder = await status.getBuilder(name);
    const build = await builder.getBuild(number);
    results = await build.getResults();
  }
  const ms = performance.now() - began;
  return { results, ms, roundTrips: tub.stats().round_trips - tripsBefore };
}

/**
 * A digest that every language computes alike: of the fields in order, each ended by a unit separator, times in whole
 * microseconds.
 */
export async function digest(results) {
  const { name, number, passed, failed, skipped, seconds, finished } = results;
  const micros = (time) => Math.floor(time * 1e6 + 0.5);
  const fields = [name, number, passed, failed, skipped, micros(seconds), finished];
  for (const test of results.tests) {
    fields.push(test.name, test.classname, micros(test.seconds), test.outcome, test.message);
  }
  const bytes = new TextEncoder().encode(fields.map((field) => `${field}\x1f`).join(""));
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
