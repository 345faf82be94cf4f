// Programs with one thing wrong each: refused with the kind of error and the name of what is wrong.
#include <doctest/doctest.h>

#include <string>

#include "files.hpp"
#include "wasmgrad/training/torch/model/torch_model.hpp"

namespace wasmgrad::training::pt2 {
namespace {

void check_refused(const std::string& name, Errc code, const std::string& named) {
  CAPTURE(name);
  const auto model = TorchModel::load(read_file("hostile/" + name + ".pt2"), "m", kMaxBytes);
  REQUIRE_FALSE(model.has_value());
  CAPTURE(model.error().message);
  CHECK(model.error().code == code);
  CHECK(model.error().message.find(named) != std::string::npos);
  CHECK(model.error().message.find('\n') == std::string::npos);
}

}  // namespace

TEST_CASE("operators that are not on the allow-list are refused by name") {
  check_refused("unknown_operator", Errc::kSecurity, "'torch.ops.aten.from_file.default'");
  check_refused("custom_operator", Errc::kSecurity, "'torch.ops.evil.run.default'");
  check_refused("out_overload", Errc::kSecurity, "'torch.ops.aten.relu.out'");
  check_refused("python_function", Errc::kSecurity, "'os.system'");
  check_refused("decomposed", Errc::kSecurity, "batch_norm");
  check_refused("unknown_overload", Errc::kUnsupportedOperation, "'torch.ops.aten.relu.no'");
  check_refused("higher_order", Errc::kUnsupportedOperation, "higher-order");
}

TEST_CASE("arguments that do not fit an operator's schema are refused") {
  check_refused("wrong_argument", Errc::kInvalidEncoding, "'input_'");
  check_refused("argument_of_wrong_type", Errc::kInvalidEncoding, "'torch.ops.aten.relu.default'");
  check_refused("number_for_tensor", Errc::kInvalidEncoding, "'torch.ops.aten.relu.default'");
  check_refused("graph_argument", Errc::kUnsupportedOperation, "'as_graph'");
  check_refused("kind_with_line_break", Errc::kUnsupportedOperation, "'as_?ten'");
  check_refused("too_many_outputs", Errc::kInvalidEncoding, "2");
}

TEST_CASE("names are defined once, before they are used") {
  check_refused("undefined_name", Errc::kInvalidEncoding, "'nowhere'");
  check_refused("cyclic_name", Errc::kInvalidEncoding, "'relu'");
  check_refused("name_defined_twice", Errc::kInvalidEncoding, "'linear'");
  check_refused("taken_name", Errc::kInvalidEncoding, "'0'");
  check_refused("name_with_an_empty_piece", Errc::kInvalidEncoding, "not a name");
}

TEST_CASE("inputs and outputs that are not tensors are refused") {
  check_refused("number_input", Errc::kUnsupportedOperation, "'as_sym_int'");
  check_refused("number_output", Errc::kUnsupportedOperation, "'as_int'");
}

TEST_CASE("a fixed batch size is refused with what to do") {
  check_refused("static_batch", Errc::kInvalidArgument, "dynamic_shapes");
}

TEST_CASE("tensors stay inside their records") {
  for (const char* name :
       {"sizes_beyond_record", "strides_beyond_record", "offset_beyond_record", "negative_size",
        "negative_stride", "negative_offset", "overflowing_sizes", "huge_rank"})
    check_refused(name, Errc::kInvalidEncoding, "'0.weight'");
  check_refused("repeating_strides", Errc::kTooLarge, "'0.weight'");
  check_refused("huge_number", Errc::kInvalidEncoding, "64 bits");
  check_refused("symbolic_size", Errc::kInvalidEncoding, "'0.weight'");
  check_refused("missing_weight", Errc::kInvalidEncoding, "'0.weight'");
  check_refused("missing_record", Errc::kInvalidEncoding, "weight_9");
  check_refused("path_outside", Errc::kInvalidEncoding, "'0.weight'");
}

TEST_CASE("tensors of other kinds are refused by name") {
  check_refused("pickled_weight", Errc::kSecurity, "'0.weight'");
  check_refused("sparse_layout", Errc::kUnsupportedOperation, "'0.weight'");
  check_refused("unknown_type", Errc::kUnsupportedOperation, "29");
  check_refused("integer_parameter", Errc::kInvalidArgument, "'0.weight'");
}

TEST_CASE("JSON is bounded in depth and read in one way") {
  check_refused("deep_json", Errc::kInvalidEncoding, "nested deeper");
  check_refused("deep_objects", Errc::kInvalidEncoding, "nested deeper");
  check_refused("repeated_key", Errc::kInvalidEncoding, "'graph_module' twice");
  check_refused("not_json", Errc::kInvalidEncoding, "not JSON");
  check_refused("not_an_object", Errc::kInvalidEncoding, "object");
  check_refused("newer_format", Errc::kUnsupportedOperation, "version 9");
}

TEST_CASE("records are those that torch.export.save writes") {
  check_refused("native_code", Errc::kSecurity, "model.so");
  check_refused("several_programs", Errc::kInvalidEncoding, "several");
  check_refused("no_program", Errc::kInvalidEncoding, "no program");
  check_refused("big_endian", Errc::kInvalidEncoding, "byte order");
  check_refused("duplicate_record", Errc::kInvalidEncoding, "duplicate");
  check_refused("path_trick", Errc::kSecurity, "escape");
  check_refused("truncated", Errc::kInvalidEncoding, "");
}

TEST_CASE("a program is not larger than allowed") {
  const auto model = TorchModel::load(read_file("mlp.pt2"), "m", 100'000);
  REQUIRE_FALSE(model.has_value());
  CHECK(model.error().code == Errc::kTooLarge);
}

TEST_CASE("no prefix of a program is one") {
  const auto whole = read_file("tied.pt2");
  for (std::size_t size = 0; size < whole.size(); size += 97)
    CHECK_FALSE(TorchModel::load(std::span(whole).first(size), "m", kMaxBytes).has_value());
}

TEST_CASE("a model of the other encoding is refused when one is asked for") {
  const auto torchscript = TorchModel::load(read_file("mlp.pt"), "m", kMaxBytes, ModelEncoding::kTorchExport);
  REQUIRE_FALSE(torchscript.has_value());
  CHECK(torchscript.error().code == Errc::kInvalidEncoding);
  const auto exported = TorchModel::load(read_file("mlp.pt2"), "m", kMaxBytes, ModelEncoding::kTorchScript);
  REQUIRE_FALSE(exported.has_value());
  CHECK(exported.error().code == Errc::kInvalidEncoding);
}

}  // namespace wasmgrad::training::pt2
