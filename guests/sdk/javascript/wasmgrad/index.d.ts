/** What a guest in JavaScript needs besides the training interface. */
declare module 'wasmgrad' {
  import type { NamedTensor } from 'wasmgrad:training/training@0.1.0';

  /** What follows the guest's file name on the command line. */
  export function args(): string[];
  /** A line on the console. */
  export function print(...values: unknown[]): void;
  /** A line on standard error. */
  export function warn(...values: unknown[]): void;
  export function encodeText(text: string): Uint8Array;
  export function decodeText(bytes: Uint8Array): string;
  /** A file below a directory that the owner granted. Throws an Error with its path otherwise. */
  export function readBytes(path: string): Uint8Array;
  /** The same as UTF-8 text. */
  export function readText(path: string): string;
  /** Writes a file, whole or not at all. */
  export function writeBytes(path: string, bytes: Uint8Array): void;
  /** A tensor of these dimensions, row by row. Throws an Error when there are more or fewer values. */
  export function tensor(
    type: 'f32' | 'f64' | 'u8' | 'i32',
    dims: number[],
    values: ArrayLike<number> | Iterable<number>,
    name?: string,
  ): NamedTensor;
  export function tensor(
    type: 'i64',
    dims: number[],
    values: ArrayLike<bigint> | Iterable<bigint>,
    name?: string,
  ): NamedTensor;
}
