//! The guest's command line.

/// What `--help` prints.
pub const USAGE: &str = "usage: mnist_loop_rust.wasm [options]

  --epochs N    at most this many, those before a --resume included (default 10)
  --batches N   train only N batches an epoch (default 0: all)
  --data DIR    directory of the four raw IDX files (default /data)
  --out DIR     directory for the checkpoint and the trained model (default /out)
  --model NAME  a model that was granted (default model.pt)
  --seed N      of the split and of the order of samples (default 0)
  --resume      go on from the checkpoint in --out
";

pub struct Settings {
    pub epochs: u32,
    pub batches: u32,
    pub seed: u32,
    pub data: String,
    pub out: String,
    pub model: String,
    pub resume: bool,
}

/// Why there is nothing to train.
pub enum Stop {
    Help,
    Usage(String),
}

impl Settings {
    pub fn from_command_line() -> Result<Self, Stop> {
        let mut settings = Self {
            epochs: 10,
            batches: 0,
            seed: 0,
            data: "/data".into(),
            out: "/out".into(),
            model: "model.pt".into(),
            resume: false,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(option) = arguments.next() {
            let mut value = || {
                arguments
                    .next()
                    .ok_or_else(|| Stop::Usage(format!("'{}' is unknown or needs a value", option)))
            };
            match option.as_str() {
                "--help" => return Err(Stop::Help),
                "--resume" => settings.resume = true,
                "--epochs" => settings.epochs = whole_number(&option, &value()?)?,
                "--batches" => settings.batches = whole_number(&option, &value()?)?,
                "--seed" => settings.seed = whole_number(&option, &value()?)?,
                "--data" => settings.data = value()?,
                "--out" => settings.out = value()?,
                "--model" => settings.model = value()?,
                _ => {
                    return Err(Stop::Usage(format!(
                        "unknown option '{}'; --help lists the known ones",
                        option
                    )))
                }
            }
        }
        Ok(settings)
    }
}

fn whole_number(option: &str, text: &str) -> Result<u32, Stop> {
    text.parse().map_err(|_| Stop::Usage(format!("{} takes a whole number, not '{}'", option, text)))
}
