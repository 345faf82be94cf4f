// What the owner and the guest of a run tell each other: a configuration, and figures of the guest's own.
import { Errno, Result, Status } from "./result";
import { run_config, run_report } from "./sys";

/**
 * What the owner's configuration of this run has under this name, as text: a number in decimal, a truth value as true or false.
 * Without such a name the errno is NotFound.
 */
export function runConfig(key: string): Result<string> {
  const name = String.UTF8.encode(key);
  const address = changetype<usize>(name);
  const size = new StaticArray<u32>(1);
  const asked = run_config(address, name.byteLength, 0, 0, changetype<usize>(size));
  if (asked != Errno.Success) return Result.of<string>(asked, "");
  const text = new ArrayBuffer(size[0]);
  const read = run_config(address, name.byteLength, changetype<usize>(text), size[0], changetype<usize>(size));
  return Result.of<string>(read, String.UTF8.decode(text));
}

/** Tells the owner a figure of the guest's own; the last under each name is the run's. */
export function runReport(name: string, value: f64): Status {
  const bytes = String.UTF8.encode(name);
  return new Status(run_report(changetype<usize>(bytes), bytes.byteLength, value));
}
