// The guest's command line.
import { exit, fail, print, programArguments } from "wasmgrad/wasi";

const USAGE = `usage: mnist_loop_as.wasm [options]

  --epochs N    at most this many, those before a --resume included (default 10)
  --batches N   train only N batches an epoch (default 0: all)
  --data DIR    directory of the four raw IDX files (default /data)
  --out DIR     directory for the checkpoint and the trained model (default /out)
  --model NAME  a model that was granted (default model.pt)
  --seed N      of the split and of the order of samples (default 0)
  --resume      go on from the checkpoint in --out`;

const WRONG_USAGE: u32 = 2;

function wholeNumber(option: string, text: string): u32 {
  let number: u64 = 0;
  let valid = text.length > 0 && text.length < 11;
  for (let i = 0; i < text.length; ++i) {
    const digit = text.charCodeAt(i) - 0x30;
    valid = valid && digit >= 0 && digit <= 9;
    number = 10 * number + digit;
  }
  if (!valid || number > u32.MAX_VALUE) fail(`${option} takes a whole number, not '${text}'`, WRONG_USAGE);
  return <u32>number;
}

export class Settings {
  epochs: u32 = 10;
  batches: u32 = 0;
  seed: u32 = 0;
  data: string = "/data";
  out: string = "/out";
  model: string = "model.pt";
  resume: bool = false;

  static fromCommandLine(): Settings {
    const settings = new Settings();
    const all = programArguments();
    for (let i = 0; i < all.length; ++i) {
      const option = all[i];
      if (option == "--help") {
        print(USAGE);
        exit(0);
      }
      if (option == "--resume") {
        settings.resume = true;
        continue;
      }
      if (i + 1 == all.length) fail(`'${option}' is unknown or needs a value; --help lists the options`, WRONG_USAGE);
      const value = all[++i];
      if (option == "--epochs") settings.epochs = wholeNumber(option, value);
      else if (option == "--batches") settings.batches = wholeNumber(option, value);
      else if (option == "--seed") settings.seed = wholeNumber(option, value);
      else if (option == "--data") settings.data = value;
      else if (option == "--out") settings.out = value;
      else if (option == "--model") settings.model = value;
      else fail(`unknown option '${option}'; --help lists the known ones`, WRONG_USAGE);
    }
    return settings;
  }
}
