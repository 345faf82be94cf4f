// Text from a model that reads one byte a run and says which comes next: inputs `token` and `position` (int64 [1]), one output, the
// scores of each byte. What it has read is its state [1, heads, context, size].

/** Numbers from 0 to 1 that follow from a seed: the generator mulberry32. */
function randomNumbers(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The best byte at temperature 0, else one drawn by the probabilities that scores by temperature have. */
function choose(scores, temperature, random) {
  const best = scores.indexOf(Math.max(...scores));
  if (temperature === 0) return best;
  const weights = Array.from(scores, (score) => Math.exp((score - scores[best]) / temperature));
  let left = random() * weights.reduce((sum, weight) => sum + weight, 0);
  const chosen = weights.findIndex((weight) => (left -= weight) < 0);
  return chosen < 0 ? best : chosen; // rounding may leave nothing
}

function checkModel({ inputs, outputs, states }) {
  const takes = (name) => inputs.some((input) => input.name === name && input.dtype === "int64" && input.shape.length === 1);
  if (inputs.length === 2 && takes("token") && takes("position") && outputs.length === 1 && states[0]?.shape.length === 4) return;
  throw new Error("the model is no step of a text: expected inputs token and position, an output of scores, and states");
}

/** Characters that follow a prompt (of ASCII), without end. When the context is full, its second half is read again. */
export function* write(graph, prompt, { temperature = 0, seed = 0 } = {}) {
  checkModel(graph);
  const [context, random] = [graph.states[0].shape[2], randomNumbers(seed)];
  let [read, scores] = [[], undefined];
  graph.reset();
  const feed = (byte) => {
    if (read.length === context) {
      const kept = read.slice(context >> 1);
      read = [];
      graph.reset();
      kept.forEach(feed);
    }
    scores = graph.run({ token: BigInt64Array.of(BigInt(byte)), position: BigInt64Array.of(BigInt(read.length)) })[graph.outputs[0].name];
    read.push(byte);
  };
  const known = graph.outputs[0].shape.at(-1);
  const bytes = Array.from(prompt, (character) => character.charCodeAt(0)).filter((byte) => byte < known);
  (bytes.length > 0 ? bytes : [10]).forEach(feed);
  for (;;) {
    const byte = choose(scores, temperature, random);
    yield String.fromCharCode(byte);
    feed(byte);
  }
}
