// What a call to the host returns: a value, or why there is none. AssemblyScript cannot catch what is thrown, so nothing is.
import { last_error } from "./sys";
import { fail, interrupt } from "./wasi";

/** Why a call failed; the numbers are those of wasi-nn. */
export enum Errno {
  Success = 0,
  InvalidArgument = 1,
  InvalidEncoding = 2,
  Timeout = 3,
  RuntimeError = 4,
  UnsupportedOperation = 5,
  TooLarge = 6,
  NotFound = 7,
  Security = 8,
  Unknown = 9,
  /** The owner asked to stop, or allows no more epochs: save what matters and return. */
  Interrupted = 10,
}

/** The host's sentence behind the last call that failed; empty before the first. */
export function lastError(): string {
  const size = new StaticArray<u32>(1);
  if (last_error(0, 0, changetype<usize>(size)) != 0) return "";
  const sentence = new ArrayBuffer(size[0]);
  if (last_error(changetype<usize>(sentence), size[0], changetype<usize>(size)) != 0) return "";
  return String.UTF8.decode(sentence);
}

/** Whether a call succeeded. */
export class Status {
  /** The host's sentence; empty on success. */
  readonly message: string;

  constructor(readonly errno: Errno) {
    this.message = errno == Errno.Success ? "" : lastError();
  }

  get ok(): bool {
    return this.errno == Errno.Success;
  }

  /** The owner asked to stop, or allows no more epochs. */
  get interrupted(): bool {
    return this.errno == Errno.Interrupted;
  }

  /**
   * Ends the guest with the host's sentence unless the call succeeded: with exit code 130 when the owner asked to stop, as nothing
   * is wrong then, else with 1.
   */
  expect(): void {
    if (this.interrupted) interrupt(this.message);
    if (!this.ok) fail(this.message);
  }
}

/** A value of type T, or a failure. */
export class Result<T> extends Status {
  private readonly held: StaticArray<T> = new StaticArray<T>(1);

  /** What a call made, when it succeeded. */
  static of<T>(errno: u32, value: T): Result<T> {
    const result = new Result<T>(errno);
    result.held[0] = value;
    return result;
  }

  /** The value. Without one, the guest ends as expect() does. */
  unwrap(): T {
    this.expect();
    return this.held[0];
  }
}
