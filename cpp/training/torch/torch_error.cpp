#include "wasmgrad/training/torch/torch_error.hpp"

#include <c10/util/Exception.h>

#include <new>

namespace wasmgrad::training {

namespace {

/// What a user can do something about, in our words; else the text as it is.
std::string in_our_words(std::string_view text) {
  constexpr std::string_view kOneValue =
      "Expected more than 1 value per channel when training, got input size ";
  constexpr std::string_view kOneElement =
      "Expected more than 1 spatial element when training, got input size ";
  constexpr std::string_view kUndetermined = " does not have a deterministic implementation";
  if (text.starts_with(kOneValue)) {
    return "batch norm cannot train on a single value a channel, and its input has shape " +
           std::string(text.substr(kOneValue.size())) +
           "; a batch needs more rows (the option drop_last leaves out a smaller last batch, another "
           "batch_size makes it larger)";
  }
  if (text.starts_with(kOneElement)) {
    return "instance norm cannot train on a single value a channel, and its input has shape " +
           std::string(text.substr(kOneElement.size())) + "; it needs larger inputs";
  }
  if (const auto end = text.find(kUndetermined); end != std::string_view::npos) {
    return "the operator '" + std::string(text.substr(0, end)) +
           "' gives other results every time, and training is deterministic here; the model needs another "
           "one";
  }
  return std::string(text);
}

/// Torch's interpreter reports a traceback whose last "...Error: " line is the reason; other errors start
/// with the reason.
std::string reason(std::string_view text) {
  constexpr std::string_view kMark = "Error: ";
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  if (const auto mark = text.rfind(kMark); mark != std::string_view::npos)
    text.remove_prefix(mark + kMark.size());
  return in_our_words(text.substr(0, text.find('\n')));
}

/// Torch's allocator has no exception of its own for memory that the system refuses.
bool ran_out_of_memory(std::string_view text) {
  return text.find("can't allocate memory") != std::string_view::npos;
}

}  // namespace

Error current_error(std::string_view where) {
  const std::string prefix = std::string(where) + ": ";
  try {
    throw;
  } catch (const c10::OutOfMemoryError& error) {
    return {Errc::kTooLarge, prefix + reason(error.what_without_backtrace())};
  } catch (const c10::Error& error) {
    if (ran_out_of_memory(error.what_without_backtrace()))
      return {Errc::kTooLarge, prefix + "the host has not enough memory"};
    return {Errc::kRuntimeError, prefix + reason(error.what_without_backtrace())};
  } catch (const std::bad_alloc&) {
    return {Errc::kTooLarge, prefix + "the host has not enough memory"};
  } catch (const std::exception& error) {
    if (ran_out_of_memory(error.what())) return {Errc::kTooLarge, prefix + "the host has not enough memory"};
    return {Errc::kRuntimeError, prefix + reason(error.what())};
  } catch (...) {
    return {Errc::kUnknown, prefix + "an unknown exception was thrown"};
  }
}

Error current_refusal(std::string_view where) {
  Error error = current_error(where);
  if (error.code != Errc::kTooLarge) error.code = Errc::kInvalidArgument;
  return error;
}

}  // namespace wasmgrad::training
