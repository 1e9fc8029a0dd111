// Measures a client and its server, two processes, and prints one JSON line for each workload.
import { readFileSync, readdirSync } from "node:fs";

/** Nanoseconds of processor time that a process has used, in all its threads. */
function processorTime(pid) {
  let sum = 0;
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    try {
      sum += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, "utf8").split(" ", 1)[0]);
    } catch {
      // The thread ended in between.
    }
  }
  return sum;
}

function residentKb(pid) {
  return Number(readFileSync(`/proc/${pid}/status`, "utf8").match(/VmRSS:\s+(\d+)/)[1]);
}

const round = (value, digits) => Number(value.toFixed(digits));

export class Meter {
  #server;
  #seconds;

  /** @param {string} peer its name in the results */
  constructor(peer, serverPid, seconds) {
    this.peer = process.env.PEER ?? peer;
    this.#server = serverPid;
    this.#seconds = seconds;
  }

  /** Runs `rounds(end)`, which works until `performance.now()` is `end` and returns how many calls that were. */
  async #measure(workload, rounds, { latencies, bytes } = {}) {
    const [server, client, start] = [processorTime(this.#server), processorTime(process.pid), performance.now()];
    const n = await rounds(start + this.#seconds * 1000);
    const seconds = (performance.now() - start) / 1000;
    const perCall = (before, pid) => round((processorTime(pid) - before) / 1000 / n, 3);
    const line = {
      peer: this.peer, workload, n, secs: round(seconds, 3), ops_s: round(n / seconds, 1),
      server_cpu_us: perCall(server, this.#server), client_cpu_us: perCall(client, process.pid),
    };
    if (latencies) {
      latencies.sort((a, b) => a - b);
      line.p50_us = round(latencies[Math.floor(n / 2)] * 1000, 2);
      line.p99_us = round(latencies[Math.floor(n * 0.99)] * 1000, 2);
    }
    if (bytes) line.mb_s = round((n * bytes) / seconds / 1e6, 1);
    console.log(JSON.stringify(line));
  }

  /** One call at a time. */
  async sequential(workload, call, { bytes = 0, warmUp = bytes ? 30 : 500 } = {}) {
    for (let i = 0; i < warmUp; i++) await call();
    const latencies = [];
    await this.#measure(workload, async (end) => {
      for (let now = performance.now(); now < end; ) {
        await call();
        const after = performance.now();
        latencies.push(after - now);
        now = after;
      }
      return latencies.length;
    }, { latencies, bytes });
  }

  /** So many callers at once, each one call at a time. */
  async window(workload, callers, call, { bytes = 0 } = {}) {
    const rounds = async (end) => {
      let n = 0;
      await Promise.all(Array.from({ length: callers }, async () => {
        while (performance.now() < end) {
          await call();
          n++;
        }
      }));
      return n;
    };
    await rounds(performance.now() + this.#seconds * 125);
    await this.#measure(workload, rounds, { bytes });
  }

  /** So many calls made at once and awaited together, again and again. */
  async burst(workload, size, call) {
    const rounds = async (end) => {
      let n = 0;
      for (; performance.now() < end; n += size) await Promise.all(Array.from({ length: size }, call));
      return n;
    };
    await rounds(performance.now() + this.#seconds * 125);
    await this.#measure(workload, rounds);
  }

  /** What connections cost in memory when they are idle. */
  async idle(count, connect) {
    const [server, client] = [residentKb(this.#server), residentKb(process.pid)];
    for (let i = 0; i < count; i++) await connect();
    await new Promise((resolve) => setTimeout(resolve, 500));
    const [serverAfter, clientAfter] = [residentKb(this.#server), residentKb(process.pid)];
    console.log(JSON.stringify({
      peer: this.peer, workload: "idle", n: count,
      server_kb_per_conn: round((serverAfter - server) / count, 2),
      client_kb_per_conn: round((clientAfter - client) / count, 2),
      server_rss_kb: serverAfter, client_rss_kb: clientAfter,
    }));
  }
}
