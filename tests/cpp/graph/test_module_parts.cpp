// Modules taken apart and changed before the engine sees them, whole ones and damaged ones.
#include <doctest/doctest.h>

#include "../support.hpp"
#include "probe.hpp"
#include "wasmgrad/graph/module_parts.hpp"
#include "wasmgrad/sandbox/relaxed_simd.hpp"
#include "wasmgrad/sandbox/section_reader.hpp"

using namespace std::literals;
using namespace wasmgrad;
using namespace wasmgrad::graph;
using namespace wasmgrad::test;

namespace {

std::vector<std::byte> module_of(std::string_view sections) {
  const auto bytes = bytes_of(sections);
  std::vector<std::byte> module{std::byte{0}, std::byte{'a'}, std::byte{'s'}, std::byte{'m'},
                                std::byte{1}, std::byte{0},   std::byte{0},   std::byte{0}};
  module.insert(module.end(), bytes.begin(), bytes.end());
  return module;
}

// A module with a data section that a linker makes: `size` bytes at address 0x10000.
std::vector<std::byte> module_with_data(std::string_view before, std::size_t size) {
  std::vector<std::byte> data, module = module_of(before);
  for (const std::byte one : bytes_of("\1\0\x41\x80\x80\4\x0b"sv)) data.push_back(one);
  sandbox::append_number(data, size);
  data.insert(data.end(), size, std::byte{'w'});
  module.push_back(std::byte{11});
  sandbox::append_number(module, data.size());
  module.insert(module.end(), data.begin(), data.end());
  return with_metadata(module, probe_metadata());
}

Expected<ModuleParts> apart(std::span<const std::byte> module) { return take_apart(module); }

}  // namespace

TEST_CASE("large data is kept apart from the code, small data is not") {
  const auto large = module_with_data("", 65536);
  const auto parts = apart(large);
  REQUIRE(parts);
  CHECK(parts->metadata == probe_metadata().dump());
  REQUIRE(parts->data.size() == 1);
  CHECK(parts->data[0].address == 0x10000);
  const auto contents = std::span(large).subspan(parts->data[0].offset, parts->data[0].size);
  CHECK(text_of(contents) == std::string(65536, 'w'));
  CHECK(parts->code == module_of("\x0b\x08\1\0\x41\x80\x80\4\x0b\0"sv));

  const auto small = module_with_data("", 65535);
  CHECK(apart(small)->data.empty());
  CHECK(apart(small)->code.size() > 65535);
}

TEST_CASE("the data of a module that starts by itself stays where it is") {
  const auto module = module_with_data("\x08\1\0"sv, 65536);
  const auto parts = apart(module);
  REQUIRE(parts);
  CHECK(parts->data.empty());
  CHECK(parts->code.size() > 65536);
}

TEST_CASE("data that goes on after its segments stays where it is") {
  std::vector<std::byte> data(65536 + 9, std::byte{0});
  std::ranges::copy(bytes_of("\1\0\x41\0\x0b\x80\x80\4"sv), data.begin());
  std::vector<std::byte> module = module_of("\x0b"sv);
  sandbox::append_number(module, data.size());
  module.insert(module.end(), data.begin(), data.end());
  const auto parts = apart(with_metadata(module, probe_metadata()));
  REQUIRE(parts);
  CHECK(parts->data.empty());
  CHECK(parts->code == module);
}

TEST_CASE("data over what comes before it stays where it is") {
  std::vector<std::byte> data;
  const auto add = [&](std::string_view begin, std::size_t size) {
    std::ranges::copy(bytes_of(begin), std::back_inserter(data));
    sandbox::append_number(data, size);
    data.insert(data.end(), size, std::byte{'w'});
  };
  add("\2\0\x41\0\x0b"sv, 65536);
  add("\0\x41\xff\xff\3\x0b"sv, 2);  // from the last byte of the first segment on
  std::vector<std::byte> module = module_of("\x0b"sv);
  sandbox::append_number(module, data.size());
  module.insert(module.end(), data.begin(), data.end());
  const auto parts = apart(with_metadata(module, probe_metadata()));
  REQUIRE(parts);
  CHECK(parts->data.empty());
  CHECK(parts->code == module);
}

TEST_CASE("numbers of more than 32 bits are none") {
  using sandbox::SectionReader;
  CHECK(SectionReader(bytes_of("\xff\xff\xff\xff\x0f"sv)).number() == 0xffffffff);
  CHECK(SectionReader(bytes_of("\x81\x80\x80\x80\0"sv)).number() == 1);
  CHECK_FALSE(SectionReader(bytes_of("\x80\x80\x80\x80\x10"sv)).number());
  CHECK_FALSE(SectionReader(bytes_of("\x80\x80\x80\x80\x80\0"sv)).number());
  CHECK(SectionReader(bytes_of("\x80\x80\x80\x80\x78"sv)).signed_number() == INT32_MIN);
  CHECK(SectionReader(bytes_of("\x7f"sv)).signed_number() == -1);
  CHECK_FALSE(SectionReader(bytes_of("\x80\x80\x80\x80\x08"sv)).signed_number());
}

TEST_CASE("relaxed instructions are followed by two negations, and constants are left alone") {
  // One function with two local variables: a constant that looks like an instruction, and relaxed_madd.
  const std::string constant = "\xfd\x0c\xfd\x85\2\0\0\0\0\0\0\0\0\0\0\0\0\0"s;
  const std::string begin = "\1\2\x7f"s + constant, end = "\x1a\x0b"s;
  const auto code = [&](const std::string& body) {
    const std::string section{'\x0a', static_cast<char>(body.size() + 2), '\1',
                              static_cast<char>(body.size())};
    return module_of(section + body);
  };
  CHECK_FALSE(sandbox::with_plain_relaxed_results(code(begin + end)));
  const auto changed = sandbox::with_plain_relaxed_results(code(begin + "\xfd\x85\2"s + end));
  REQUIRE(changed);
  CHECK(*changed == code(begin + "\xfd\x85\2\xfd\xa1\1\xfd\xa1\1"s + end));
}

TEST_CASE("a module with any one byte damaged or missing is taken apart or refused") {
  const auto module = with_metadata(probe_code(), probe_metadata());
  for (std::size_t i = 0; i < module.size(); i += i < 4096 ? 1 : 509) {
    std::vector<std::byte> damaged = module;
    for (const std::byte other : {std::byte{0xff}, std::byte{0x80}, std::byte{0}}) {
      damaged[i] = other;
      const auto parts = apart(damaged);
      if (parts) (void)sandbox::with_plain_relaxed_results(parts->code);
    }
    damaged.resize(i);
    (void)sandbox::with_plain_relaxed_results(damaged);
    CHECK_FALSE(apart(damaged));
  }
}

TEST_CASE("a file is taken apart as memory is, and refused once it was cut short") {
  const TemporaryDirectory dir;
  const auto module = module_with_data("", 65536);
  dir.write("module.wasm", text_of(module));
  const auto file = ByteSource::open(dir / "module.wasm");
  REQUIRE(file);
  const auto parts = take_apart(*file);
  REQUIRE(parts);
  CHECK(parts->code == apart(module)->code);
  CHECK(parts->metadata == probe_metadata().dump());
  for (std::size_t size = module.size() - 1; size > 0; size /= 2) {
    std::filesystem::resize_file(dir / "module.wasm", size);
    CHECK(error_of(take_apart(*file)).code == Errc::kRuntimeError);
  }
}

TEST_CASE("a sparse file with a huge section is refused before it is read") {
  const TemporaryDirectory dir;
  auto begin = with_metadata(module_of(""), probe_metadata());
  begin.push_back(std::byte{1});
  sandbox::append_number(begin, std::size_t{3} << 30);
  dir.write("module.wasm", text_of(begin));
  std::filesystem::resize_file(dir / "module.wasm", begin.size() + (std::uintmax_t{3} << 30));
  const auto file = ByteSource::open(dir / "module.wasm");
  REQUIRE(file);
  CHECK(error_of(take_apart(*file)).code == Errc::kTooLarge);
}
