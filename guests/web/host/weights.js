// Weights that are in a file of their own.
import { check } from "./error.js";
import { IN_NODE } from "./source.js";

/** Puts them in place, when they are those that a model expects. Without HTTPS a browser can only compare their length. */
export async function fillWeights(instance, expected, opening) {
  check(opening, "invalid_argument", "the module's weights are in a file of their own: pass { weights }");
  const source = await opening;
  try {
    check(source.size === expected.bytes, "invalid_encoding", `the weights have ${source.size} bytes, expected ${expected.bytes}`);
    const view = instance.viewOf(Uint8Array, source.size, "graph_weights");
    await source.read(view, 0);
    const hex = await sha256(view);
    check(!hex || hex === expected.sha256, "invalid_encoding", `the weights are of another model: their SHA-256 is ${hex}`);
  } finally {
    await source.close();
  }
}

async function sha256(bytes) {
  if (IN_NODE) return (await import("node:crypto")).createHash("sha256").update(bytes).digest("hex"); // without a copy of them
  const plain = bytes.buffer instanceof ArrayBuffer ? bytes : bytes.slice(); // threads share the memory
  const digest = await globalThis.crypto?.subtle?.digest("SHA-256", plain);
  return digest && Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
