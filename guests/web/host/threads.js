// The other threads of a graph module: how many there can be here, and the workers that they live in.
import { check } from "./error.js";
import { IN_NODE } from "./source.js";

/** Whether the thread that runs this may sleep: that of a page may not. */
export const MAY_SLEEP = IN_NODE || typeof globalThis.Window === "undefined" || !(globalThis instanceof Window);

/** As many as a module compiled for `most` runs on when `wanted` are asked for; by default, as many as are of use. */
export async function countThreads(most, wanted) {
  const valid = wanted === undefined || (Number.isInteger(wanted) && wanted >= 1 && wanted <= most);
  check(valid, "invalid_argument", `threads: the module was compiled for 1 to ${most}, not for ${wanted}`);
  if (!IN_NODE && !globalThis.crossOriginIsolated) return 1; // a memory cannot be given to workers
  return wanted ?? Math.min(most, IN_NODE ? (await import("node:os")).availableParallelism() : navigator.hardwareConcurrency);
}

/** Starts threads 1 to `count` - 1. Returns what ends them. */
export async function startThreads(module, memory, count) {
  const Kind = IN_NODE ? (await import("node:worker_threads")).Worker : Worker;
  const options = { type: "module", stdout: true, stderr: true }; // of Node: a worker that writes makes the standard output asynchronous
  const workers = Array.from({ length: count - 1 }, () => new Kind(new URL("./thread.js", import.meta.url), options));
  const end = () => workers.forEach((worker) => worker.terminate());
  try {
    await Promise.all(workers.map((worker, i) => ready(worker, { module, memory, index: i + 1 })));
  } catch (error) {
    end();
    throw error;
  }
  return end;
}

function ready(worker, work) {
  return new Promise((resolve, reject) => {
    const told = (message) => {
      if (IN_NODE) worker.unref(); // it does not keep the process alive
      if (message === "ready") resolve();
      else reject(new Error(message));
    };
    if (IN_NODE) worker.once("message", told).once("error", reject);
    else Object.assign(worker, { onmessage: ({ data }) => told(data), onerror: ({ message }) => reject(new Error(message)) });
    worker.postMessage(work);
  });
}
