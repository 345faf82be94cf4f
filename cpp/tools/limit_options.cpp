#include "wasmgrad/tools/limit_options.hpp"

#include <CLI/CLI.hpp>
#include <string>

#include "wasmgrad/base/byte_size.hpp"
#include "wasmgrad/tools/old_spelling.hpp"

namespace wasmgrad::tools {

namespace {

constexpr std::uint64_t kPage = 65536;

// An option whose value is a number of bytes: `parse` makes the field's value of the text.
template <class Parse, class Field>
void add_size(CLI::App& app, const std::string& name, Parse parse, Field& field, std::uint64_t bytes,
              const std::string& help) {
  app.add_option_function<std::string>(
         name,
         [name, parse, &field](const std::string& text) {
           const auto size = parse(text);
           if (!size) throw CLI::ValidationError(name, size.error().message);
           field = *size;
         },
         help)
      ->group("Limits")
      ->type_name("SIZE")
      ->default_str(byte_size_text(bytes));
}

template <class Field>
void add_number(CLI::App& app, const std::string& name, Field& field, const std::string& help) {
  app.add_option(name, field, help)->group("Limits")->capture_default_str();
}

// As version 0.1 called it.
template <class Field>
void add_old(CLI::App& app, const std::string& name, const std::string& now, Field& field) {
  app.add_option_function<Field>(
         name,
         [name, now, &field](const Field& value) {
           tell_old_spelling("wasmgrad-train", name, now);
           field = value;
         },
         "")
      ->group("");
}

}  // namespace

void add_limit_options(CLI::App& app, runner::Limits& limits) {
  add_size(app, "--memory", parse_memory_size, limits.memory_pages, limits.memory_pages * kPage,
           "Linear memory of the guest, in bytes or as 512MiB");
  add_number(app, "--time-limit", limits.wall_seconds, "Seconds that the run may take; 0: no limit");
  add_size(app, "--tensor-bytes", parse_byte_size, limits.tensor_bytes, limits.tensor_bytes,
           "Tensors, models and trainers that the host keeps for the guest");
  add_number(app, "--open-files", limits.open_files, "Files that the guest may have open at once");
  add_number(app, "--abi-handles", limits.abi_handles,
             "Models, datasets, trainers and the like that the guest may have open at once");
  add_size(app, "--output-bytes", parse_byte_size, limits.output_bytes, limits.output_bytes,
           "Console output, and the size of any file");
  add_number(app, "--grace-time", limits.grace_seconds,
             "Seconds that an interrupted run has to end by itself");
  add_size(app, "--process-bytes", parse_byte_size, limits.process_bytes, limits.process_bytes,
           "All that the worker allocates; 0: three quarters of what the machine has to spare");
  add_old(app, "--max-memory-pages", "--memory SIZE", limits.memory_pages);
  add_old(app, "--wall-time", "--time-limit", limits.wall_seconds);
  add_old(app, "--max-tensor-bytes", "--tensor-bytes", limits.tensor_bytes);
  add_old(app, "--max-handles", "--open-files", limits.open_files);
  add_old(app, "--max-output-bytes", "--output-bytes", limits.output_bytes);
  add_old(app, "--max-process-bytes", "--process-bytes", limits.process_bytes);
}

}  // namespace wasmgrad::tools
