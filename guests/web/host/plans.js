// Plans of a module: which of them takes tensors of some shapes, or of some lengths.
import { GraphError } from "./error.js";

/** Whether there is something to choose. */
export function selects(plans) {
  return plans.length > 1 || plans[0].batch !== null;
}

const product = (shape) => shape.reduce((a, b) => a * b, 1);

/** A tensor of a plan as it is with so many samples; 0 stands for the most. */
function sized(tensor, plan, samples) {
  if (plan.batch === null || samples === 0) return tensor;
  const shape = tensor.shape.map((extent, axis) => (tensor.batched?.includes(axis) ? (extent / plan.batch.most) * samples : extent));
  return { ...tensor, shape };
}

/** The inputs and outputs of a plan as they are with so many samples. */
export function tensorsOf(plan, samples) {
  const [inputs, outputs] = [plan.inputs, plan.outputs].map((side) => side.map((tensor) => sized(tensor, plan, samples)));
  return { inputs, outputs };
}

/** Whether tensors of these shapes, or numbers of elements, by name, are what the inputs are with so many samples. */
function fits(plan, samples, wanted) {
  return plan.inputs.every((input) => {
    const one = wanted[input.name];
    const { shape } = sized(input, plan, samples);
    if (Array.isArray(one)) return one.length === shape.length && one.every((extent, axis) => extent === shape[axis]);
    return one === undefined || one === product(shape);
  });
}

/** How many samples the inputs hold where they fit a plan, 0 for one without a choice; undefined where they do not. */
function samplesOf(plan, wanted) {
  const named = ({ name, batched, shape }) => wanted[name] !== undefined && batched?.length > 0 && product(shape) > 0;
  const input = plan.inputs.find(named);
  if (plan.batch === null || input === undefined) return fits(plan, 0, wanted) ? plan.batch?.most ?? 0 : undefined;
  const one = wanted[input.name];
  const share = Array.isArray(one) ? one[input.batched[0]] / input.shape[input.batched[0]] : (one / product(input.shape)) ** (1 / input.batched.length);
  const samples = Math.round(plan.batch.most * share);
  return samples >= plan.batch.least && samples <= plan.batch.most && fits(plan, samples, wanted) ? samples : undefined;
}

function text(plan) {
  return plan.inputs.map(({ name, dtype, shape, batched }) => {
    const extents = shape.map((extent, axis) =>
      batched?.includes(axis) ? `${(extent / plan.batch.most) * plan.batch.least}..${extent}` : extent);
    return `${name}: ${dtype}[${extents}]`;
  }).join(", ");
}

/**
 * [number, samples] of the first plan of an entry whose inputs fit `wanted`: shapes or numbers of elements by name. Where plans for
 * several shapes do, it is the `current` one; else the caller must give the shapes.
 */
export function choose(plans, entry, wanted, current) {
  const numbers = [...plans.keys()].filter((number) => plans[number].entry === entry);
  if (numbers.length === 0) throw new GraphError("invalid_argument", `there is no entry "${entry}"`);
  const found = numbers.map((number) => [number, samplesOf(plans[number], wanted)]).filter(([, samples]) => samples !== undefined);
  const shapes = found.map(([number, samples]) => JSON.stringify(tensorsOf(plans[number], samples).inputs.map(({ shape }) => shape)));
  if (found.length > 0 && shapes.every((each) => each === shapes[0])) return found[0];
  const same = found.find(([number, samples]) => number === current?.[0] && samples === current[1]);
  if (same) return same;
  const given = Object.entries(wanted).map(([name, one]) => (Array.isArray(one) ? `${name} of shape [${one}]` : `${name} of ${one} elements`));
  const problem = found.length === 0 ? "no plan takes" : "several plans take";
  const takes = numbers.map((number) => text(plans[number])).join("; or ");
  throw new GraphError("invalid_argument", `${problem} ${given.join(", ")}; expected ${found.length === 0 ? "" : "shapes that tell which: "}${takes}`);
}
