/* The MNIST digits on their way from the IDX files to the host. */
#pragma once

#include "wasmgrad/training_v1.h"

/* A dataset of all digits of `set`, "train" or "t10k", in `directory`. They pass through the guest's memory
 * block by block. A file that is not exactly such a set ends the guest with a sentence. */
wasmgrad_dataset upload(const char* directory, const char* set);
