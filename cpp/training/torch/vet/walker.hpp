// Compiles a model's code without unpickling it, and walks everything that could run.
//
// Public to vet/ only; torch's types stay in the .cpp files through CompiledCode.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "wasmgrad/base/status.hpp"
#include "wasmgrad/training/torch/vet/pickle.hpp"
#include "wasmgrad/training/torch/vet/source.hpp"

namespace wasmgrad::training::vet {

/// The source text of a dotted path, or null when the archive has none.
using SourceText = std::function<const std::string*(const std::string& qualifier)>;

/// Classes by qualified name, compiled from source, every method and hook of them walked.
class CompiledCode {
 public:
  CompiledCode();
  ~CompiledCode();
  CompiledCode(CompiledCode&&) noexcept;
  CompiledCode& operator=(CompiledCode&&) noexcept;

  struct State;
  [[nodiscard]] State& state() const noexcept { return *state_; }

 private:
  std::unique_ptr<State> state_;
};

/// Compiles all classes among `units` and checks every operator, call, attribute type and nested block that
/// they hold. `constants` is the value of constants.pkl; only its kinds matter here. `version` is the
/// archive's. Errors: kSecurity (what is not allowed, and where), kInvalidEncoding (code that does not
/// compile).
Expected<CompiledCode> compile_and_walk(const std::vector<CodeUnit>& units, const SourceText& source,
                                        const Pickle& constants, std::uint64_t version);

/// Checks that the pickled model is an object of a compiled module class with a `forward`, and that every
/// attribute in it has the type that its class declares: the interpreter reads attributes by position and
/// trusts the declared type. Errors: kInvalidEncoding, kInvalidArgument (no forward).
Status check_conformance(const CompiledCode& code, const Pickle& model);

}  // namespace wasmgrad::training::vet
