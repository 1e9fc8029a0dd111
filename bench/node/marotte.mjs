// marotte.mjs server | client PORT SERVER_PID SECONDS WORKLOADS
import { Referenceable, Tub } from "../../wasm/dist/node.js";
import { Meter } from "./meter.mjs";

class Bench extends Referenceable {
  null() {}
  echo(data) {
    return data;
  }
  next(_index) {
    return new Bench();
  }
  val() {
    return 4;
  }
}

const [role, ...rest] = process.argv.slice(2);
if (role === "server") {
  const tub = new Tub();
  const listener = await tub.listen();
  const uri = tub.registerReference(new Bench(), { name: "bench" });
  // The client makes the same URI of the port: only the peer's name is random, and clients do not check it.
  if (process.env.VERBOSE) console.error(uri);
  console.log(`READY ${listener.port}`);
} else {
  const [port, pid, seconds, works] = rest;
  const meter = new Meter("marotte-node", Number(pid), Number(seconds));
  const uri = `ocapn://bench.websocket/s/YmVuY2g?url=ws://127.0.0.1:${port}`;
  const big = new Uint8Array(65536).fill(7);
  const kept = [];
  const connect = () => {
    const tub = new Tub();
    kept.push(tub);
    return tub.getReference(uri);
  };
  const workloads = {
    seq: (name, bench) => meter.sequential(name, () => bench.null()),
    win64: (name, bench) => meter.window(name, 64, () => bench.null()),
    burst1000: (name, bench) => meter.burst(name, 1000, () => bench.null()),
    echo64k: (name, bench) => meter.sequential(name, () => bench.echo(big), { bytes: big.length }),
    echo64k_w8: (name, bench) => meter.window(name, 8, () => bench.echo(big), { bytes: big.length }),
    chain: (name, bench) => meter.sequential(name, async () => {
      const second = await (await bench.next(0)).next(1);
      await (await second.next(2)).val();
    }, { warmUp: 5 }),
    chainp: (name, bench) => meter.sequential(name, () => bench.next(0).next(1).next(2).val(), { warmUp: 5 }),
    idle: (_name) => meter.idle(1000, () => connect().null()),
  };
  for (const name of works.split(",")) {
    const bench = await connect();
    await bench.null();
    await workloads[name]?.(name, bench);
  }
  process.exit(0);
}
