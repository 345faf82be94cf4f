// The page that writes: takes a compiled model and a beginning, and shows the text as it comes, and how fast.
import { loadGraph } from "../host/graph.js";
import { write } from "./text.js";

const CHARACTERS = 400;
const PATIENCE = 50; // milliseconds until the page is drawn again
const element = (id) => document.getElementById(id);
let graph;
let latest = 0; // text that was asked for: those before it end

async function show() {
  const own = ++latest;
  element("error").textContent = "";
  const prompt = element("prompt").value;
  element("text").textContent = prompt;
  const characters = write(graph, prompt, { temperature: Number(element("temperature").value), seed: Number(element("seed").value) });
  let [written, milliseconds] = [0, 0];
  while (written < CHARACTERS && own === latest) {
    const start = performance.now();
    let text = "";
    while (written < CHARACTERS && performance.now() - start < PATIENCE) {
      text += characters.next().value;
      written++;
    }
    milliseconds += performance.now() - start;
    element("text").append(text);
    element("speed").textContent = `${((1000 * written) / milliseconds).toFixed(0)} characters a second`;
    await new Promise((resolve) => setTimeout(resolve));
  }
}

async function attempt(action) {
  try {
    await action();
  } catch (error) {
    element("error").textContent = error.message;
  }
}

element("model").addEventListener("change", ({ target }) =>
  attempt(async () => {
    element("write").disabled = true;
    graph = await loadGraph(target.files[0]);
    element("write").disabled = false;
    await show();
  }),
);
element("write").addEventListener("click", () => attempt(show));
