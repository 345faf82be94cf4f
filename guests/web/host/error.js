// What all parts of the library throw.

/** Whatever can go wrong; `kind` is a stable name for programs. */
export class GraphError extends Error {
  constructor(kind, message) {
    super(message);
    this.kind = kind;
  }
}

export function check(condition, kind, message) {
  if (!condition) throw new GraphError(kind, message);
}
