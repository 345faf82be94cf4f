// The processes that train together, in each of which the guest runs.
import { process_group } from "./sys";

export class ProcessGroup {
  constructor(
    /** Which of them this one is, from 0. */
    readonly rank: u32,
    readonly size: u32,
  ) {}
}

/** 0 of 1 when alone. */
export function processGroup(): ProcessGroup {
  const numbers = new StaticArray<u32>(2);
  numbers[1] = 1;
  const address = changetype<usize>(numbers);
  process_group(address, address + sizeof<u32>());
  return new ProcessGroup(numbers[0], numbers[1]);
}
