#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "wasmgrad/sandbox/component/component.hpp"
#include "wasmgrad/sandbox/section_reader.hpp"

namespace wasmgrad::sandbox::component {

namespace {

constexpr std::array<std::byte, 4> kMagic{std::byte{0}, std::byte{'a'}, std::byte{'s'}, std::byte{'m'}};
constexpr std::array<std::byte, 4> kVersion{std::byte{0x0d}, std::byte{0}, std::byte{1}, std::byte{0}};
constexpr std::byte kLayer{1};
// Components and types that hold others; each level is a call of the reader.
constexpr int kMaxDepth = 32;

// Reads on after the first fault without effect; every value is 0 then. A loop over a count asks failed().
class Cursor {
 public:
  explicit Cursor(std::span<const std::byte> bytes) : reader_(bytes), begin_(bytes.data()) {}

  std::uint8_t byte() { return value(reader_.byte()); }
  std::uint32_t number() { return value(reader_.number()); }
  std::span<const std::byte> bytes() {
    const auto size = reader_.number();
    return value(reader_.take(size));
  }
  std::string text() {
    const auto read = bytes();
    return {reinterpret_cast<const char*>(read.data()), read.size()};
  }
  /// A number of any width that nobody asks for.
  void skip_number() {
    for (int i = 0; i < 10; ++i)
      if ((byte() & 0x80) == 0) return;
    fail("a number is too long");
  }
  /// The name of an import or an export.
  std::string name() {
    const std::uint8_t kind = byte();
    if (kind > 1) refuse("a kind of name that it does not know");
    return text();
  }

  void fail(std::string_view why) {
    if (!error_) error_ = Error{Errc::kInvalidEncoding, std::string(why) + at()};
  }
  void refuse(std::string_view what) {
    if (!error_)
      error_ = Error{Errc::kUnsupportedOperation,
                     "it uses " + std::string(what) + at() + ", which this host does not serve"};
  }
  [[nodiscard]] bool failed() const noexcept { return error_.has_value(); }
  [[nodiscard]] bool at_end() const noexcept { return failed() || reader_.rest().empty(); }
  [[nodiscard]] const std::optional<Error>& error() const noexcept { return error_; }

 private:
  template <class T>
  T value(const std::optional<T>& read) {
    if (!read) fail("it ends early or has a number that is no number");
    return failed() ? T{} : read.value_or(T{});
  }
  [[nodiscard]] std::string at() const {
    return " (byte " + std::to_string(reader_.rest().data() - begin_) + " of a section)";
  }

  SectionReader reader_;
  const std::byte* begin_;
  std::optional<Error> error_;
};

// ---- references ----

Sort read_core_sort(Cursor& in) {
  switch (in.byte()) {
    case 0x00:
      return Sort::kCoreFunction;
    case 0x01:
      return Sort::kCoreTable;
    case 0x02:
      return Sort::kCoreMemory;
    case 0x03:
      return Sort::kCoreGlobal;
    case 0x04:
      return Sort::kCoreTag;
    case 0x10:
      return Sort::kCoreType;
    case 0x11:
      return Sort::kCoreModule;
    case 0x12:
      return Sort::kCoreInstance;
    default:
      in.fail("an unknown sort of core item");
      return Sort::kCoreType;
  }
}

Sort read_sort(Cursor& in) {
  switch (in.byte()) {
    case 0x00:
      return read_core_sort(in);
    case 0x01:
      return Sort::kFunction;
    case 0x02:
      return Sort::kValue;
    case 0x03:
      return Sort::kType;
    case 0x04:
      return Sort::kComponent;
    case 0x05:
      return Sort::kInstance;
    default:
      in.fail("an unknown sort of item");
      return Sort::kType;
  }
}

Reference read_reference(Cursor& in) {
  const Sort sort = read_sort(in);
  return {sort, in.number()};
}

template <class Read>
void read_each(Cursor& in, Read read) {
  for (std::uint32_t left = in.number(); left > 0 && !in.failed(); --left) read();
}

// ---- types, which are passed over ----

void skip_type(Cursor& in, int depth);
void skip_alias(Cursor& in) {
  read_sort(in);
  const std::uint8_t target = in.byte();
  in.number();
  if (target == 2) in.number();
  if (target < 2) in.bytes();
  if (target > 2) in.fail("an unknown kind of alias");
}

void skip_optional_value_type(Cursor& in) {
  if (in.byte() != 0) in.skip_number();
}

Sort read_description(Cursor& in) {
  const std::uint8_t kind = in.byte();
  switch (kind) {
    case 0x00:
      if (in.byte() != 0x11) in.fail("an unknown description of an item");
      in.number();
      return Sort::kCoreModule;
    case 0x01:
      in.number();
      return Sort::kFunction;
    case 0x02:
      in.byte();
      in.skip_number();
      return Sort::kValue;
    case 0x03:
      if (in.byte() == 0) in.number();
      return Sort::kType;
    case 0x04:
      in.number();
      return Sort::kComponent;
    case 0x05:
      in.number();
      return Sort::kInstance;
    default:
      in.fail("an unknown description of an item");
      return Sort::kType;
  }
}

void skip_declaration(Cursor& in, int depth) {
  switch (in.byte()) {
    case 0x00:
      return in.refuse("types of core modules");
    case 0x01:
      return skip_type(in, depth + 1);
    case 0x02:
      return skip_alias(in);
    case 0x03:
    case 0x04:
      in.name();
      read_description(in);
      return;
    default:
      return in.fail("an unknown declaration in a type");
  }
}

void skip_function_type(Cursor& in) {
  read_each(in, [&] {
    in.bytes();
    in.skip_number();
  });
  if (in.byte() == 0) return in.skip_number();
  if (in.byte() != 0) in.fail("a function type with several results");
}

// A type's first byte says what it is; types of one byte are the primitive ones.
void skip_type(Cursor& in, int depth) {
  if (depth > kMaxDepth) return in.fail("types are nested too deeply");
  switch (const std::uint8_t kind = in.byte()) {
    case 0x72:  // record
      return read_each(in, [&] {
        in.bytes();
        in.skip_number();
      });
    case 0x71:  // variant
      return read_each(in, [&] {
        in.bytes();
        skip_optional_value_type(in);
        in.byte();
      });
    case 0x70:  // list
    case 0x6b:  // option
    case 0x69:  // own
    case 0x68:  // borrow
      return in.skip_number();
    case 0x6f:  // tuple
      return read_each(in, [&] { in.skip_number(); });
    case 0x6e:  // flags
    case 0x6d:  // enum
      return read_each(in, [&] { in.bytes(); });
    case 0x6a:  // result
      skip_optional_value_type(in);
      return skip_optional_value_type(in);
    case 0x66:  // stream
    case 0x65:  // future
      return skip_optional_value_type(in);
    case 0x67:  // list of a fixed length
      in.skip_number();
      in.number();
      return;
    case 0x40:
    case 0x43:  // asynchronous
      return skip_function_type(in);
    case 0x41:
    case 0x42:
      return read_each(in, [&] { skip_declaration(in, depth); });
    case 0x3f:
      in.byte();
      if (in.byte() != 0) in.number();
      return;
    default:
      if ((kind < 0x73 || kind > 0x7f) && kind != 0x64) in.refuse("a type that it does not know");
  }
}

// ---- definitions ----

std::vector<Named> read_arguments(Cursor& in, bool core) {
  std::vector<Named> items;
  read_each(in, [&] {
    std::string name = in.text();
    const Sort sort = core ? read_core_sort(in) : read_sort(in);
    items.push_back({std::move(name), {sort, in.number()}});
  });
  return items;
}

CoreInstance read_core_instance(Cursor& in) {
  CoreInstance instance;
  const std::uint8_t kind = in.byte();
  if (kind == 0) instance.module = in.number();
  if (kind > 1) in.fail("an unknown kind of core instance");
  instance.items = read_arguments(in, true);
  return instance;
}

Instance read_instance(Cursor& in) {
  Instance instance;
  const std::uint8_t kind = in.byte();
  if (kind == 0) {
    instance.component = in.number();
    instance.items = read_arguments(in, false);
    return instance;
  }
  if (kind > 1) in.fail("an unknown kind of instance");
  read_each(in, [&] {
    std::string name = in.name();
    instance.items.push_back({std::move(name), read_reference(in)});
  });
  return instance;
}

Definition read_alias(Cursor& in) {
  const Sort sort = read_sort(in);
  const std::uint8_t target = in.byte();
  const std::uint32_t index = in.number();
  if (target == 2) return OuterAlias{sort, index, in.number()};
  if (target > 2) in.fail("an unknown kind of alias");
  return ExportAlias{sort, target == 1, index, in.text()};
}

Options read_options(Cursor& in) {
  Options options;
  read_each(in, [&] {
    switch (in.byte()) {
      case 0x00:
        break;
      case 0x01:
      case 0x02:
        options.is_utf8 = false;
        break;
      case 0x03:
        options.memory = in.number();
        break;
      case 0x04:
        options.realloc = in.number();
        break;
      case 0x05:
        options.post_return = in.number();
        break;
      case 0x06:
        options.is_plain = false;
        break;
      case 0x07:
        in.number();
        options.is_plain = false;
        break;
      default:
        in.refuse("an option of a canonical definition that it does not know");
    }
  });
  return options;
}

Definition read_canonical(Cursor& in) {
  switch (in.byte()) {
    case 0x00: {
      if (in.byte() != 0) in.fail("a malformed canon lift");
      const std::uint32_t function = in.number();
      Lift lift{function, read_options(in)};
      in.number();
      return lift;
    }
    case 0x01: {
      if (in.byte() != 0) in.fail("a malformed canon lower");
      const std::uint32_t function = in.number();
      return Lower{function, read_options(in)};
    }
    case 0x02:
      in.number();
      return UnservedCanonical{"resource.new"};
    case 0x03:
      return DropResource{in.number()};
    case 0x04:
      in.number();
      return UnservedCanonical{"resource.rep"};
    default:
      in.refuse("a canonical function of asynchronous or shared components");
      return UnservedCanonical{};
  }
}

Export read_export(Cursor& in) {
  std::string name = in.name();
  const Reference item = read_reference(in);
  if (in.byte() != 0) read_description(in);
  return {std::move(name), item};
}

Expected<std::shared_ptr<const Component>> read_nested(std::span<const std::byte> bytes, int depth);

// The definitions of one section, which `in` has whole.
Status read_section(std::uint8_t id, std::span<const std::byte> bytes, int depth,
                    std::vector<Definition>& out) {
  Cursor in(bytes);
  switch (id) {
    case 0:
      return {};
    case 1:
      out.emplace_back(CoreModule{bytes});
      return {};
    case 4: {
      WASMGRAD_ASSIGN(auto nested, read_nested(bytes, depth + 1));
      out.emplace_back(NestedComponent{std::move(nested)});
      return {};
    }
    case 2:
      read_each(in, [&] { out.emplace_back(read_core_instance(in)); });
      break;
    case 3:
      in.refuse("types of core modules");
      break;
    case 5:
      read_each(in, [&] { out.emplace_back(read_instance(in)); });
      break;
    case 6:
      read_each(in, [&] { out.emplace_back(read_alias(in)); });
      break;
    case 7:
      read_each(in, [&] {
        skip_type(in, 0);
        out.emplace_back(Types{Sort::kType, 1});
      });
      break;
    case 8:
      read_each(in, [&] { out.emplace_back(read_canonical(in)); });
      break;
    case 9:
      in.refuse("a start function of a component");
      break;
    case 10:
      read_each(in, [&] {
        std::string name = in.name();
        out.emplace_back(Import{std::move(name), read_description(in)});
      });
      break;
    case 11:
      read_each(in, [&] { out.emplace_back(read_export(in)); });
      break;
    default:
      in.fail("an unknown section");
  }
  if (!in.at_end()) in.fail("a section is longer than what it holds");
  return in.failed() ? Status(*in.error()) : Status();
}

Expected<std::shared_ptr<const Component>> read_nested(std::span<const std::byte> bytes, int depth) {
  if (depth > kMaxDepth) return Error{Errc::kInvalidEncoding, "components are nested too deeply"};
  if (!is_component(bytes)) return Error{Errc::kInvalidEncoding, "a nested component does not begin as one"};
  if (!std::ranges::equal(bytes.subspan(4, 4), kVersion)) {
    return Error{Errc::kUnsupportedOperation, "its binary format has version " +
                                                  std::to_string(std::to_integer<int>(bytes[4])) +
                                                  "; this host reads version 13"};
  }
  auto component = std::make_shared<Component>();
  Cursor in(bytes.subspan(kWasmHeaderBytes));
  while (!in.at_end()) {
    const std::uint8_t id = in.byte();
    const auto section = in.bytes();
    if (in.failed()) break;
    WASMGRAD_CHECK(read_section(id, section, depth, component->definitions));
  }
  if (in.failed()) return *in.error();
  return std::shared_ptr<const Component>(std::move(component));
}

}  // namespace

bool is_component(std::span<const std::byte> bytes) noexcept {
  return bytes.size() >= kWasmHeaderBytes && std::ranges::equal(bytes.first(4), kMagic) && bytes[6] == kLayer;
}

Expected<std::shared_ptr<const Component>> read_component(std::span<const std::byte> bytes) {
  return read_nested(bytes, 0);
}

}  // namespace wasmgrad::sandbox::component
