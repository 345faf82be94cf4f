// One way of running a model in Node, as a long-lived process that runs it when told to:
//
//   node graph_contestant.mjs onnxruntime-web MODEL.onnx INPUTS NODE_MODULES
//   node graph_contestant.mjs wasmgrad MODULE.wasm INPUTS NODE_MODULES
//
// The protocol is that of graph_contestant.py. INPUTS: a JSON list of {name, dtype, shape}.
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { answer, load } from "./graph_runtimes.mjs";

const [, , runtime, model, inputs, nodeModules] = process.argv;

async function seconds(action) {
  const used = process.cpuUsage();
  const begin = performance.now();
  await action();
  const passed = (performance.now() - begin) / 1000;
  const { user, system } = process.cpuUsage(used);
  return Math.min(passed, (user + system) / 1e6);
}

const contestant = await load(runtime, model, JSON.parse(inputs), pathToFileURL(nodeModules));
console.log(JSON.stringify({ load: contestant.load }));
for await (const request of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await answer(contestant, request, seconds)));
}
