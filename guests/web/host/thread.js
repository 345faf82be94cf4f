// Another thread of a graph module, in a worker of Node or of a page: an instance of its own over the memory of the first one. It
// waits inside the module, not for messages.
import { IN_NODE } from "./source.js";

const port = IN_NODE ? (await import("node:worker_threads")).parentPort : globalThis;

async function serve({ module, memory, index }) {
  const { exports } = await WebAssembly.instantiate(module, { env: { memory } });
  port.postMessage("ready");
  try {
    exports.graph_thread(index);
  } catch {
    exports.graph_stop(); // or the run would wait for this thread: it ends with an error
  }
}

function begin(work) {
  serve(work).catch((error) => port.postMessage(error.message));
}

if (IN_NODE) port.once("message", begin);
else port.onmessage = ({ data }) => begin(data);
