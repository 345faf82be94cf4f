// Models on the host.
import { Errno, Result } from "./result";
import { model_close, model_export, model_load, model_load_by_name } from "./sys";

/** File formats of models. */
export enum Encoding {
  /** Load only: told by the bytes. */
  Autodetect = 0,
  /** torch.jit.save */
  TorchScript = 1,
  /** Load only: torch.export.save */
  TorchExport = 2,
  /** Export only: parameters and buffers under their names. */
  Safetensors = 3,
  /** Export only: low-rank branches, as PEFT's adapter_model.safetensors. */
  Lora = 4,
}

const CPU: u32 = 0;

/** A model on the host. A trainer keeps its own hold on it. */
export class Model {
  constructor(readonly handle: u32) {}

  /** Loads a model file. One that could do more than compute is refused with Errno.Security. */
  static load(file: Uint8Array, encoding: Encoding = Encoding.Autodetect): Result<Model> {
    const handle = new StaticArray<u32>(1);
    const errno = model_load(file.dataStart, file.byteLength, encoding, CPU, changetype<usize>(handle));
    return Result.of<Model>(errno, new Model(handle[0]));
  }

  /** Loads a model that the owner of the guest granted under this name. */
  static loadByName(name: string): Result<Model> {
    const handle = new StaticArray<u32>(1);
    const bytes = String.UTF8.encode(name);
    const errno = model_load_by_name(changetype<usize>(bytes), bytes.byteLength, CPU, changetype<usize>(handle));
    return Result.of<Model>(errno, new Model(handle[0]));
  }

  /** The model file with the present weights. */
  toBytes(encoding: Encoding = Encoding.TorchScript): Result<Uint8Array> {
    const size = new StaticArray<u32>(1);
    let errno = model_export(this.handle, encoding, 0, 0, changetype<usize>(size));
    const file = new Uint8Array(size[0]);
    if (errno == Errno.Success) {
      errno = model_export(this.handle, encoding, file.dataStart, file.byteLength, changetype<usize>(size));
    }
    return Result.of<Uint8Array>(errno, file);
  }

  /** Gives the handle back; the object must not be used any more. */
  close(): void {
    model_close(this.handle);
  }
}
