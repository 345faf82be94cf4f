// Serves one graph module to the process that started this one, over standard input and output (wasmgrad/_graph/engines/node.py).
//
// Its argument is the number of threads.
//
// Request: operation, index, length as 32-bit little-endian words, then `length` bytes; weights and module are given as bytes, or
// as a path where the index is 1. Reply: status (0: well), length, bytes;
// of a failure, the kind and the message, separated by a newline. It ends with its input.
import { readSync, writeSync } from "node:fs";
import { loadGraph } from "./graph.js";

const [WEIGHTS, MODULE, INPUT, RUN, CALL, OUTPUT, STATE, NEW_STATE, SELECT] = [1, 2, 3, 4, 5, 6, 7, 8, 9];
const threads = Number(process.argv[2]);
let weights;
let graph;

function fill(bytes) {
  for (let at = 0; at < bytes.length; ) {
    const count = readSync(0, bytes, at, bytes.length - at);
    if (count === 0) process.exit(0);
    at += count;
  }
  return bytes;
}

function reply(status, bytes) {
  for (const part of [new Uint8Array(Uint32Array.of(status, bytes.length).buffer), bytes]) {
    for (let at = 0; at < part.length; ) at += writeSync(1, part, at);
  }
}

const raw = (view) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);

function timed(action) {
  const start = performance.now();
  action();
  return raw(Float64Array.of((performance.now() - start) / 1000));
}

async function serve(operation, index, length) {
  if ((operation === INPUT || operation === NEW_STATE) && graph) {
    fill(raw((operation === INPUT ? graph.views.inputs : graph.views.states)[index]));
    return new Uint8Array();
  }
  const payload = fill(new Uint8Array(length));
  const from = index === 1 ? new TextDecoder().decode(payload) : payload;
  if (operation === WEIGHTS) weights = from;
  if (operation === MODULE) graph = await loadGraph(from, { weights, threads });
  if (operation === SELECT) graph.selectPlan(index, new Uint32Array(payload.buffer)[0]);
  if (operation === RUN) return timed(() => graph.execute());
  if (operation === CALL) return timed(() => graph.call(index));
  if (operation === OUTPUT) return raw(graph.views.outputs[index]);
  if (operation === STATE) return raw(graph.views.states[index]);
  return new Uint8Array();
}

for (;;) {
  const [operation, index, length] = new Uint32Array(fill(new Uint8Array(12)).buffer);
  try {
    reply(0, await serve(operation, index, length));
  } catch (error) {
    reply(1, new TextEncoder().encode(`${error.kind ?? "unknown"}\n${error.message}`));
  }
}
