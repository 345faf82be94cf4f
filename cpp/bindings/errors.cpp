#include "wasmgrad/bindings/errors.hpp"

#include <nanobind/nanobind.h>

namespace nb = nanobind;

namespace wasmgrad::bindings {

void check(const Status& status) {
  if (!status) throw Raised{status.error()};
}

void register_errors() {
  // At exit torch may still hold a module, and through it whoever uses that module: told in development only.
  nb::set_leak_warnings(nb::cast<bool>(nb::module_::import_("sys").attr("flags").attr("dev_mode")));
  nb::register_exception_translator([](const std::exception_ptr& pointer, void*) {
    try {
      std::rethrow_exception(pointer);
    } catch (const Raised& raised) {
      const std::string_view kind = errc_name(raised.error.code);
      const std::string& message = raised.error.message;
      // A message may quote bytes of a guest or a file that are no UTF-8.
      nb::object text =
          nb::steal(PyUnicode_DecodeUTF8(message.data(), static_cast<Py_ssize_t>(message.size()), "replace"));
      nb::object exception = nb::module_::import_("wasmgrad._errors")
                                 .attr("error_of_kind")(nb::str(kind.data(), kind.size()), text);
      PyErr_SetObject(exception.type().ptr(), exception.ptr());
    }
  });
}

}  // namespace wasmgrad::bindings
