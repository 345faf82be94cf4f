// Bytes that Python holds, in memory or in a file, without a copy.
#pragma once

#include <nanobind/nanobind.h>

#include <cstddef>
#include <optional>
#include <span>

#include "wasmgrad/base/byte_source.hpp"
#include "wasmgrad/bindings/errors.hpp"

namespace wasmgrad::bindings {

/// The contiguous bytes of any object with the buffer protocol, borrowed.
class Buffer {
 public:
  Buffer(nanobind::handle object, int flags) {
    if (PyObject_GetBuffer(object.ptr(), &view_, flags) != 0) nanobind::raise_python_error();
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { PyBuffer_Release(&view_); }

  [[nodiscard]] std::span<std::byte> bytes() const noexcept {
    return {static_cast<std::byte*>(view_.buf), static_cast<std::size_t>(view_.len)};
  }

 private:
  Py_buffer view_{};
};

/// A descriptor of an open file, or an object with the buffer protocol, which is kept in `kept`.
inline ByteSource source_of(nanobind::handle object, std::optional<Buffer>& kept) {
  if (int fd = 0; nanobind::try_cast(object, fd)) return value_of(ByteSource::of_file(fd));
  return std::span<const std::byte>(kept.emplace(object, PyBUF_SIMPLE).bytes());
}

}  // namespace wasmgrad::bindings
