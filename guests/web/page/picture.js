// Pictures to input tensors and scores to classes, as wasmgrad/_graph/pictures.py does it (a browser's own scaling differs a little).

const IMAGENET = { scale: 1 / 255, color: "RGB", mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };

/** How the module's one input is made from a picture: what the module says, else as for ImageNet. */
export function howToPrepare(graph) {
  const [{ name, dtype, shape }] = graph.inputs;
  if (graph.inputs.length !== 1 || dtype !== "float32" || shape.length !== 4 || shape[0] !== 1) {
    throw new Error(`the model's input ${name}: ${dtype} [${shape}] is not one picture`);
  }
  const layout = shape[1] === 1 || shape[1] === 3 ? "NCHW" : "NHWC";
  const [channels, height, width] = layout === "NCHW" ? shape.slice(1) : [shape[3], shape[1], shape[2]];
  const said = graph.metadata.preprocess;
  const how = { ...IMAGENET, resize: Math.round((Math.max(height, width) * 256) / 224), ...said, layout, height, width };
  if (how.mean.length !== channels || (channels === 1) !== (how.color === "L")) {
    throw new Error(`the model's input [${shape}] has ${channels} channels; its preprocessing makes ${how.mean.length}`);
  }
  return how;
}

/** A Float32Array of one picture; `canvas` then shows what the model sees. */
export function toTensor(picture, how, canvas) {
  const { width, height, resize, layout, mean, std, scale, color } = how;
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  const factor = resize === null ? null : resize / Math.min(picture.width, picture.height);
  const [w, h] = factor === null ? [width, height] : [picture.width * factor, picture.height * factor];
  context.drawImage(picture, (width - w) / 2, (height - h) / 2, w, h);
  const { data } = context.getImageData(0, 0, width, height);
  const channels = mean.length;
  const pixels = width * height;
  const tensor = new Float32Array(channels * pixels);
  for (let pixel = 0; pixel < pixels; ++pixel) {
    const [red, green, blue] = data.subarray(4 * pixel, 4 * pixel + 3);
    const values = color === "L" ? [0.299 * red + 0.587 * green + 0.114 * blue] : color === "BGR" ? [blue, green, red] : [red, green, blue];
    for (let channel = 0; channel < channels; ++channel) {
      const place = layout === "NCHW" ? channel * pixels + pixel : pixel * channels + channel;
      tensor[place] = (values[channel] * scale - mean[channel]) / std[channel];
    }
  }
  return tensor;
}

/** The most probable classes, [number, probability], best first; scores that are no probabilities go through softmax. */
export function classify(scores, count = 5) {
  let values = Array.from(scores, Number);
  const sum = values.reduce((total, value) => total + value, 0);
  if (values.length > 1 && !(values.every((value) => value >= 0) && Math.abs(sum - 1) < 1e-3)) {
    const largest = values.reduce((a, b) => Math.max(a, b), -Infinity);
    const exponents = values.map((value) => Math.exp(value - largest));
    const total = exponents.reduce((a, b) => a + b, 0);
    values = exponents.map((value) => value / total);
  }
  return values.map((value, number) => [number, value]).sort((a, b) => b[1] - a[1]).slice(0, count);
}
