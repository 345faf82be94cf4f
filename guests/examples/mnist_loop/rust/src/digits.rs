//! The MNIST digits on their way from the IDX files to the host, block by block.

use std::error::Error;
use std::fs::File;
use std::io::Read;

use wasmgrad::{Dataset, Tensor};

const SIDE: u32 = 28;
const PIXELS: usize = (SIDE * SIDE) as usize;
const BLOCK: usize = 1000;

/// A file of unsigned bytes whose samples are images, or scalars.
struct Idx {
    path: String,
    file: File,
    count: usize,
}

impl Idx {
    fn open(path: String, rank: u32) -> Result<Self, Box<dyn Error>> {
        let file = File::open(&path).map_err(|error| format!("{}: cannot be opened: {}", path, error))?;
        let mut idx = Self { path, file, count: 0 };
        let mut header = vec![0; 4 + 4 * rank as usize];
        idx.read(&mut header)?;
        let mut words =
            header.chunks_exact(4).map(|word| u32::from_be_bytes([word[0], word[1], word[2], word[3]]));
        let (magic, count) = (words.next().unwrap_or(0), words.next().unwrap_or(0));
        if magic != 0x800 | rank {
            let expected = 0x800 | rank;
            return Err(format!(
                "{}: bad magic number: expected {:#010x}, found {:#010x}",
                idx.path, expected, magic
            )
            .into());
        }
        if let Some(side) = words.find(|&side| side != SIDE) {
            return Err(format!(
                "{}: expected images of {}x{}, found a side of {}",
                idx.path, SIDE, SIDE, side
            )
            .into());
        }
        idx.count = count as usize;
        Ok(idx)
    }

    fn read(&mut self, destination: &mut [u8]) -> Result<(), String> {
        let wanted = destination.len();
        self.file
            .read_exact(destination)
            .map_err(|error| format!("{}: truncated: expected {} more bytes: {}", self.path, wanted, error))
    }
}

/// A dataset of all digits of `set`, `train` or `t10k`, in `directory`.
pub fn upload(directory: &str, set: &str) -> Result<Dataset, Box<dyn Error>> {
    let mut images = Idx::open(format!("{}/{}-images-idx3-ubyte", directory, set), 3)?;
    let mut labels = Idx::open(format!("{}/{}-labels-idx1-ubyte", directory, set), 1)?;
    if labels.count != images.count {
        let found = labels.count;
        return Err(format!(
            "{}: expected {} labels, one for each image, found {}",
            labels.path, images.count, found
        )
        .into());
    }

    let mut dataset = Dataset::new()?;
    let mut pixels = vec![0; BLOCK * PIXELS];
    let mut bytes = vec![0; BLOCK];
    let mut done = 0;
    while done < images.count {
        let rows = BLOCK.min(images.count - done);
        let (pixels, bytes) = (&mut pixels[..rows * PIXELS], &mut bytes[..rows]);
        images.read(pixels)?;
        labels.read(bytes)?;
        let classes: Vec<i64> = bytes.iter().map(|&byte| byte.into()).collect();
        dataset.append(
            &[Tensor::new(pixels, &[rows as u32, 1, SIDE, SIDE])],
            &[Tensor::new(&classes, &[rows as u32])],
        )?;
        done += rows;
    }
    Ok(dataset)
}
