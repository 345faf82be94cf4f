#include "wasmgrad/bindings/events.hpp"

#include <cmath>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

namespace nb = nanobind;

namespace wasmgrad::bindings {
namespace {

using runner::Event;

// Bytes that are not UTF-8 are replaced; a path keeps them in Python's own way, so that it can be opened.
nb::object text(const std::string& value, bool is_path) {
  const auto size = static_cast<Py_ssize_t>(value.size());
  return nb::steal(is_path ? PyUnicode_DecodeFSDefaultAndSize(value.data(), size)
                           : PyUnicode_DecodeUTF8(value.data(), size, "replace"));
}

nb::dict dict_of(const Event& fields);

nb::object object_of(const Event& value, bool is_path = false) {
  switch (value.type()) {
    case Event::value_t::boolean:
      return nb::bool_(value.get<bool>());
    case Event::value_t::number_integer:
      return nb::int_(value.get<std::int64_t>());
    case Event::value_t::number_unsigned:
      return nb::int_(value.get<std::uint64_t>());
    case Event::value_t::number_float: {
      const auto number = value.get<double>();
      return std::isfinite(number) ? nb::object(nb::float_(number)) : nb::none();
    }
    case Event::value_t::string:
      return text(value.get_ref<const std::string&>(), is_path);
    case Event::value_t::array: {
      nb::list list;
      for (const Event& element : value) list.append(object_of(element));
      return list;
    }
    case Event::value_t::object:
      return dict_of(value);
    default:
      return nb::none();
  }
}

nb::dict dict_of(const Event& fields) {
  nb::dict out;
  for (const auto& [key, value] : fields.items()) out[key.c_str()] = object_of(value, key == "path");
  return out;
}

}  // namespace

nb::dict metrics_dict(const training::Metrics& metrics) { return dict_of(runner::to_json(metrics)); }
nb::dict epoch_dict(const training::EpochReport& report) { return dict_of(runner::to_json(report)); }
nb::dict report_dict(const training::FitReport& report) { return dict_of(runner::to_json(report)); }

PythonObserver::PythonObserver(nb::object callback, StopToken& stop)
    : callback_(std::move(callback)), stop_(stop) {}

void PythonObserver::on_event(const Event& event) {
  const nb::gil_scoped_acquire lock;
  if (raised_) return;
  try {
    if (callback_.is_valid() && !callback_.is_none()) callback_(dict_of(event));
    if (PyErr_CheckSignals() != 0) nb::raise_python_error();
  } catch (...) {
    raised_ = std::current_exception();
    stop_.request();
  }
}

void PythonObserver::rethrow() {
  if (raised_) std::rethrow_exception(std::exchange(raised_, nullptr));
}

}  // namespace wasmgrad::bindings
