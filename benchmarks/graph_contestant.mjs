// One way of running a model in Node, as a long-lived process that runs it when told to:
//
//   node graph_contestant.mjs onnxruntime-web MODEL.onnx INPUTS NODE_MODULES
//   node graph_contestant.mjs wasmgrad MODULE.wasm INPUTS
//
// The protocol is that of graph_contestant.py. INPUTS: a JSON list of {name, dtype, shape}.
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { loadGraph } from "../guests/web/host/graph.js";

const [, , way, file, inputs, nodeModules] = process.argv;
const ARRAYS = { float32: Float32Array, int64: BigInt64Array };

function random({ dtype, shape }) {
  const values = new ARRAYS[dtype](shape.reduce((product, extent) => product * extent, 1));
  let state = 1;
  for (let i = 0; i < values.length; i++) {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    values[i] = dtype === "int64" ? BigInt(state % 100) : state / 0x40000000 - 1;
  }
  return values;
}

async function peer() {
  const ort = await import(pathToFileURL(`${nodeModules}/onnxruntime-web/dist/ort.node.min.mjs`));
  ort.env.wasm.numThreads = 1;
  ort.env.logLevel = "error";
  const begin = performance.now();
  const session = await ort.InferenceSession.create(file, { executionProviders: ["wasm"], graphOptimizationLevel: "all" });
  const load = (performance.now() - begin) / 1000;
  const feeds = {};
  for (const input of JSON.parse(inputs)) feeds[input.name] = new ort.Tensor(input.dtype, random(input), input.shape);
  return { load, run: () => session.run(feeds) };
}

async function ours() {
  const begin = performance.now();
  const graph = await loadGraph(file);
  const load = (performance.now() - begin) / 1000;
  const feeds = Object.fromEntries(graph.inputs.map((input) => [input.name, random(input)]));
  return { load, run: () => graph.run(feeds), calls: graph.metadata.plan.map((_, index) => () => graph.call(index)) };
}

async function seconds(action) {
  const used = process.cpuUsage();
  const begin = performance.now();
  await action();
  const passed = (performance.now() - begin) / 1000;
  const { user, system } = process.cpuUsage(used);
  return Math.min(passed, (user + system) / 1e6);
}

async function repeated(action, times) {
  const results = [];
  for (let i = 0; i < times; i++) results.push(await action());
  return results;
}

const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];

const contestant = await (way === "wasmgrad" ? ours() : peer());
console.log(JSON.stringify({ load: contestant.load }));
for await (const line of createInterface({ input: process.stdin })) {
  const [request, count] = line.split(" ");
  const times = Number(count);
  if (request === "run") {
    console.log(median(await repeated(() => seconds(contestant.run), times)));
    continue;
  }
  const pass = async () => {
    const each = [];
    for (const call of contestant.calls) each.push(await seconds(call));
    return each;
  };
  console.log(JSON.stringify(await repeated(pass, times)));
}
