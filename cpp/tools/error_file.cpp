#include "wasmgrad/tools/error_file.hpp"

#include <cstdlib>
#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>

namespace wasmgrad::tools {

void write_error_file(const std::string& sentence) {
  const char* file = std::getenv("TORCHELASTIC_ERROR_FILE");
  if (file == nullptr || *file == '\0') return;
  using Json = nlohmann::json;
  const Json extra{{"py_callstack", sentence}, {"timestamp", std::to_string(std::time(nullptr))}};
  const Json error{{"message", {{"message", sentence}, {"extraInfo", extra}}}};
  std::ofstream(file) << error.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace wasmgrad::tools
