// The other threads of a graph module: how many there can be here, and the workers that they live in.
import { check, GraphError } from "./error.js";
import { IN_NODE } from "./source.js";

const IN_PAGE = typeof Window !== "undefined" && globalThis instanceof Window; // whose own thread may not sleep

/** As many threads as a module compiled for `most` runs on when `wanted` are asked for; by default, as many as are of use. */
async function countThreads(most, wanted) {
  const valid = wanted === undefined || (Number.isInteger(wanted) && wanted >= 1 && wanted <= most);
  check(valid, "invalid_argument", `threads: the module was compiled for 1 to ${most}, not for ${wanted}`);
  if (!IN_NODE && !globalThis.crossOriginIsolated) return 1; // no worker may be given the memory
  return wanted ?? Math.min(most, IN_NODE ? (await import("node:os")).availableParallelism() : navigator.hardwareConcurrency);
}

/** The threads of one module, with the one that calls it. */
export class Threads {
  #workers = [];
  #instance;

  constructor(instance, count) {
    this.#instance = instance;
    this.count = count;
  }

  static async of({ metadata, instance }, wanted) {
    return new Threads(instance, await countThreads(metadata.options.threads ?? 1, wanted));
  }

  /** Starts the others, when the memory is ready. */
  async start(module, memory) {
    if (this.count === 1) return;
    if (IN_PAGE) this.#instance.invoke("graph_spin");
    const Kind = IN_NODE ? (await import("node:worker_threads")).Worker : Worker;
    // Of Node: no flags of a program that is given as text; nothing that makes the standard output asynchronous.
    const options = { type: "module", execArgv: [], stdout: true, stderr: true };
    for (let i = 1; i < this.count; i++) this.#workers.push(new Kind(new URL("./thread.js", import.meta.url), options));
    try {
      await Promise.all(this.#workers.map((worker, i) => begin(worker, { module, memory, index: i + 1 })));
    } catch (error) {
      this.end();
      throw new GraphError("runtime_error", `a thread cannot be started: ${error.message}`);
    }
  }

  /** Ends the others. */
  end() {
    if (this.#workers.length > 0) this.#instance.invoke("graph_stop");
    for (const worker of this.#workers.splice(0)) worker.terminate();
  }
}

function begin(worker, work) {
  return new Promise((resolve, reject) => {
    const told = (message) => {
      if (IN_NODE) worker.unref(); // from now on it does not keep the process alive
      if (message === "ready") resolve();
      else reject(new Error(message));
    };
    if (IN_NODE) {
      worker.once("message", told).once("error", reject);
    } else {
      Object.assign(worker, { onmessage: ({ data }) => told(data), onerror: ({ message }) => reject(new Error(message)) });
    }
    worker.postMessage(work);
  });
}
