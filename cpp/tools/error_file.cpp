#include "wasmgrad/tools/error_file.hpp"

#include <cstdlib>
#include <ctime>
#include <nlohmann/json.hpp>
#include <span>

#include "wasmgrad/base/file.hpp"

namespace wasmgrad::tools {

void write_error_file(const std::string& sentence) {
  const char* file = std::getenv("TORCHELASTIC_ERROR_FILE");
  if (file == nullptr || *file == '\0') return;
  using Json = nlohmann::json;
  const Json extra{{"py_callstack", sentence}, {"timestamp", std::to_string(std::time(nullptr))}};
  const Json error{{"message", {{"message", sentence}, {"extraInfo", extra}}}};
  const std::string text = error.dump(-1, ' ', false, Json::error_handler_t::replace);
  // Who is about to report a failure has nothing to add when this one fails.
  (void)write_file_atomic(file, std::as_bytes(std::span(text)));
}

}  // namespace wasmgrad::tools
