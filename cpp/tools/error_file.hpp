// The file in which torchrun wants to find why a process failed.
#pragma once

#include <string>

namespace wasmgrad::tools {

/// Writes the sentence to the file that TORCHELASTIC_ERROR_FILE names, if it is set, in torchrun's form.
/// Without that file torchrun knows the exit code alone: what stands in the way of it is ignored.
void write_error_file(const std::string& sentence);

}  // namespace wasmgrad::tools
