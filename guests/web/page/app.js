// The page: takes a compiled model and a picture, by choice or by drop, and shows the most probable classes and the time.
import { loadGraph } from "../host/graph.js";
import { classify, howToPrepare, toTensor } from "./picture.js";

const element = (id) => document.getElementById(id);
let graph;
let picture;

async function take(files) {
  element("error").textContent = "";
  try {
    const weights = files.find((file) => file.name.endsWith(".weights"));
    for (const file of files) {
      if (file.name.endsWith(".wasm")) await takeModel(file, weights);
      else if (file !== weights) picture = await decode(file);
    }
    if (graph && picture) show();
  } catch (error) {
    element("error").textContent = error.message;
  }
}

async function takeModel(file, weights) {
  graph = undefined;
  const start = performance.now();
  graph = await loadGraph(file, { weights });
  const milliseconds = (performance.now() - start).toFixed(0);
  element("about").textContent = `${graph.metadata.model.name}: ${file.size.toLocaleString()} bytes, loaded in ${milliseconds} ms`;
}

async function decode(file) {
  try {
    return await createImageBitmap(file);
  } catch {
    throw new Error(`${file.name}: not a picture that this browser reads`);
  }
}

function show() {
  const how = howToPrepare(graph);
  const canvas = element("canvas");
  const input = toTensor(picture, how, canvas);
  canvas.hidden = false;
  const start = performance.now();
  const outputs = graph.run({ [graph.inputs[0].name]: input });
  const milliseconds = performance.now() - start;
  const labels = graph.metadata.labels;
  const rows = classify(outputs[graph.outputs[0].name]).map(([number, probability]) => {
    const row = document.createElement("tr");
    for (const text of [number, labels?.[number] ?? "", `${(100 * probability).toFixed(1)} %`]) {
      row.insertCell().textContent = text;
    }
    return row;
  });
  element("classes").replaceChildren(...rows);
  element("time").textContent = `${milliseconds.toFixed(1)} ms`;
}

for (const id of ["model", "picture"]) element(id).addEventListener("change", (event) => take([...event.target.files]));
const drop = element("drop");
drop.addEventListener("dragover", (event) => {
  event.preventDefault();
  drop.classList.add("over");
});
drop.addEventListener("dragleave", () => drop.classList.remove("over"));
drop.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  take([...event.dataTransfer.files]);
});
