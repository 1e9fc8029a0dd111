// The entry for browsers and bundlers: fetches the module from beside itself.
import init from "./marotte_wasm.js";
import { start } from "./wasm.js";

start(await init({ module_or_path: new URL("marotte_wasm_bg.wasm", import.meta.url) }));

export * from "./api.js";
