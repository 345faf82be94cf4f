// The runtimes that are compared, in Node and in a page alike: how each loads a model and runs it once on one thread.
//
// `load(runtime, model, inputs, peers)`: the model's path or URL, a list of {name, dtype, shape}, the URL of the peers'
// `node_modules`. It knows neither how time is taken nor where requests come from.
import { loadGraph } from "../guests/web/host/graph.js";
import { IN_NODE } from "../guests/web/host/source.js";

const ARRAYS = { float32: Float32Array, int32: Int32Array, int64: BigInt64Array };

function random({ dtype, shape }) {
  const values = new ARRAYS[dtype](shape.reduce((product, extent) => product * extent, 1));
  let state = 1;
  for (let i = 0; i < values.length; i++) {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    values[i] = dtype === "int64" ? BigInt(state % 100) : dtype === "int32" ? state % 100 : state / 0x40000000 - 1;
  }
  return values;
}

async function wasmgrad(model) {
  const graph = await loadGraph(model);
  const feeds = Object.fromEntries(graph.inputs.map((input) => [input.name, random(input)]));
  return { run: () => graph.run(feeds), calls: graph.metadata.plan.map((_, index) => () => graph.call(index)) };
}

async function onnxruntime(ort, model, inputs) {
  ort.env.wasm.numThreads = 1;
  ort.env.logLevel = "error";
  const session = await ort.InferenceSession.create(model, { executionProviders: ["wasm"], graphOptimizationLevel: "all" });
  const feeds = {};
  for (const input of inputs) feeds[input.name] = new ort.Tensor(input.dtype, random(input), input.shape);
  return { run: () => session.run(feeds) };
}

async function liteRt(litert, model, peers) {
  await litert.loadLiteRt(`${peers}/@litertjs/core/wasm/`);
  const compiled = await litert.loadAndCompile(model, { accelerator: "wasm", cpuOptions: { numThreads: 1 } });
  const feeds = compiled.getInputDetails().map(({ dtype, shape }) => {
    return new litert.Tensor(random({ dtype, shape: [...shape] }), [...shape]);
  });
  const run = async () => {
    for (const output of await compiled.run(feeds)) {
      await output.data();
      output.delete();
    }
  };
  return { run };
}

/** A contestant: `load` in seconds, without that of the runtime's script; `run` for one run; of ours, also `calls` of the plan. */
export async function load(runtime, model, inputs, peers) {
  let start = () => wasmgrad(model);
  if (runtime === "onnxruntime-web") {
    const ort = await import(`${peers}/onnxruntime-web/dist/ort.${IN_NODE ? "node" : "wasm"}.min.mjs`);
    start = () => onnxruntime(ort, model, inputs);
  } else if (runtime === "LiteRT.js") {
    const litert = await import(`${peers}/@litertjs/core/dist/index.js`);
    start = () => liteRt(litert, model, peers);
  }
  const begin = performance.now();
  const contestant = await start();
  return { load: (performance.now() - begin) / 1000, ...contestant };
}

async function repeated(action, times) {
  const results = [];
  for (let i = 0; i < times; i++) results.push(await action());
  return results;
}

const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];

/** The answer to a request of graph_contestant.py's protocol; `seconds` takes the time of an action. */
export async function answer(contestant, request, seconds) {
  const [what, count] = request.split(" ");
  if (what === "run") return median(await repeated(() => seconds(contestant.run), Number(count)));
  const pass = async () => {
    const each = [];
    for (const call of contestant.calls) each.push(await seconds(call));
    return each;
  };
  return repeated(pass, Number(count));
}
