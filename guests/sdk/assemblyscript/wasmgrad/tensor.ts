// Tensors: shaped views of typed arrays, and the records in which the host reads them.
import { fail } from "./wasi";

/** Element types, little-endian. */
export enum Type {
  F16 = 0,
  F32 = 1,
  F64 = 2,
  U8 = 3,
  I32 = 4,
  I64 = 5,
  BF16 = 6,
}

function typeOf<E>(): Type {
  if (isFloat<E>()) return sizeof<E>() == 4 ? Type.F32 : Type.F64;
  if (sizeof<E>() == 1 && !isSigned<E>()) return Type.U8;
  if (sizeof<E>() == 4 && isSigned<E>()) return Type.I32;
  if (sizeof<E>() == 8 && isSigned<E>()) return Type.I64;
  ERROR("tensors are made of f32, f64, u8, i32 and i64");
  return Type.F32;
}

/** Elements of a typed array in row-major order, with a shape and, if the model tells its arguments apart by it, a name. */
export class Tensor {
  private readonly dims: StaticArray<u32>;
  private readonly encodedName: ArrayBuffer;

  private constructor(
    readonly type: Type,
    private readonly buffer: ArrayBuffer,
    private readonly start: usize,
    private readonly bytes: u32,
    shape: u32[],
    elementBytes: u32,
    name: string,
  ) {
    let described: u64 = elementBytes;
    for (let axis = 0; axis < shape.length; ++axis) {
      // With 32 bits of bytes at most in memory, a product that does not fit cannot match.
      described = described > u32.MAX_VALUE ? described : described * <u64>shape[axis];
    }
    if (described != <u64>bytes) {
      const given = (bytes / elementBytes).toString();
      fail("tensor '" + name + "': its shape [" + shape.toString() + "] does not describe the " + given + " elements given");
    }
    this.dims = StaticArray.fromArray(shape);
    this.encodedName = String.UTF8.encode(name);
  }

  /** A view of `data`, whose elements are f32, f64, u8, i32 or i64. The first dimension counts rows. */
  static of<T extends ArrayBufferView>(data: T, shape: u32[], name: string = ""): Tensor {
    const elementBytes = <u32>sizeof<valueof<T>>();
    return new Tensor(typeOf<valueof<T>>(), data.buffer, data.dataStart, data.byteLength, shape, elementBytes, name);
  }

  /** A view of half-precision numbers, given as their bits: `type` is Type.F16 or Type.BF16. */
  static ofBits(type: Type, data: Uint16Array, shape: u32[], name: string = ""): Tensor {
    return new Tensor(type, data.buffer, data.dataStart, data.byteLength, shape, 2, name);
  }

  /** The records of a list, which point into its tensors. */
  static records(tensors: Tensor[]): ArrayBuffer {
    const records = new ArrayBuffer(28 * tensors.length);
    let record = changetype<usize>(records);
    for (let i = 0; i < tensors.length; ++i) {
      const tensor = tensors[i];
      store<usize>(record, changetype<usize>(tensor.encodedName));
      store<u32>(record, tensor.encodedName.byteLength, 4);
      store<usize>(record, changetype<usize>(tensor.dims), 8);
      store<u32>(record, tensor.dims.length, 12);
      store<u8>(record, <u8>tensor.type, 16);
      store<usize>(record, tensor.start, 20);
      store<u32>(record, tensor.bytes, 24);
      record += 28;
    }
    return records;
  }
}
