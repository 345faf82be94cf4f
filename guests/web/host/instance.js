// An instance of a graph module: its exports, whose failures become errors of one kind, and views of its memory.
import { check, GraphError } from "./error.js";
import { ARRAYS, viewAt } from "./tensors.js";

export class Instance {
  #exports;

  constructor(exports) {
    this.#exports = exports;
  }

  /** What an export returns. */
  invoke(name, ...args) {
    try {
      return this.#exports[name](...args);
    } catch (error) { // a TypeError: it has other parameters, or is no function
      throw new GraphError(error instanceof TypeError ? "invalid_encoding" : "runtime_error", `${name}(${args}) failed: ${error.message}`);
    }
  }

  /** Calls an export that returns 0 for success. */
  succeed(name, ...args) {
    const code = this.invoke(name, ...args);
    if (code !== 0) throw new GraphError("runtime_error", `${name}(${args}) failed with code ${code}`);
  }

  /** A typed array at the address that an export returns. */
  viewOf(type, size, name, ...args) {
    const address = this.invoke(name, ...args) >>> 0;
    check(address > 0, "invalid_encoding", `${name}(${args}) is 0: the module lacks what its metadata names`);
    return viewAt(this.#exports.memory, type, address, size, `${name}(${args})`);
  }

  /** Typed arrays over all tensors of a side, "input" or "output". */
  views(side, tensors) {
    const more = this.invoke(`graph_${side}`, tensors.length) !== 0;
    check(!more, "invalid_encoding", `the module has more ${side}s than the ${tensors.length} of its metadata`);
    return tensors.map(({ dtype, shape }, i) => this.viewOf(ARRAYS[dtype], shape.reduce((a, b) => a * b, 1), `graph_${side}`, i));
  }
}
