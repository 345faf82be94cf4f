#include "wasmgrad/training/options/overrides.hpp"

#include <type_traits>

#include "wasmgrad/training/options/option_table.hpp"

namespace wasmgrad::training {

TrainerOptions Overrides::apply(TrainerOptions options) const {
  visit_options([&](const OptionInfo&, auto field, auto own) {
    auto& target = field(options);
    const auto& value = own(*this);
    if (!value) return;
    if constexpr (std::is_same_v<decltype(target), std::remove_cvref_t<decltype(value)>&>) {
      target = value;  // optional there, too
    } else {
      target = *value;
    }
  });
  if (loss) {
    options.losses.clear();
    options.model_loss = false;
  }
  if (input_scale || input_offset) options.inputs.clear();
  return options;
}

}  // namespace wasmgrad::training
