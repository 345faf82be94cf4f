#include "wasmgrad/training/overrides.hpp"

#include "wasmgrad/training/option_table.hpp"

namespace wasmgrad::training {

TrainerOptions Overrides::apply(TrainerOptions options) const {
  visit_options([&](const OptionInfo&, auto field, auto own) {
    if (const auto& value = own(*this)) field(options) = *value;
  });
  if (loss) {
    options.losses.clear();
    options.model_loss = false;
  }
  if (input_scale || input_offset) options.inputs.clear();
  return options;
}

}  // namespace wasmgrad::training
