#include "wasmgrad/training/torch/model/adapters.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <string_view>
#include <utility>

#include "wasmgrad/base/utf8.hpp"
#include "wasmgrad/training/data/philox.hpp"
#include "wasmgrad/training/loop/glob.hpp"
#include "wasmgrad/training/torch/lowering/low_rank.hpp"

namespace wasmgrad::training {

namespace {

constexpr std::string_view kAttention = "in_proj_weight";  ///< of torch.nn.MultiheadAttention

/// The name without its last part, and that part.
std::pair<std::string, std::string> split_name(const std::string& name) {
  const std::size_t dot = name.rfind('.');
  if (dot == std::string::npos) return {"", name};
  return {name.substr(0, dot), name.substr(dot + 1)};
}

/// Draws A: uniform in ±1 / sqrt(in), as torch.nn.Linear and PEFT start it.
at::Tensor drawn(std::int64_t rank, std::int64_t in, std::uint64_t seed, std::size_t number) {
  at::Tensor a = at::empty({rank, in}, at::kFloat);
  const float bound = 1 / std::sqrt(static_cast<float>(in));
  auto* values = a.mutable_data_ptr<float>();
  for (std::int64_t i = 0; i < a.numel(); ++i) {
    // The last two words set these numbers apart from those of dropout and of the order.
    const PhiloxCounter words =
        philox4x32_10({static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(i >> 32),
                       static_cast<std::uint32_t>(number), 0xFFFFFFFEU},
                      philox_key(seed));
    constexpr float kUnit = 0x1p-24F;
    values[i] = bound * (2 * static_cast<float>(words[0] >> 8) * kUnit - 1);
  }
  return a;
}

class Builder {
 public:
  Builder(const TorchModel::Storage& model, std::uint64_t seed)
      : seed_(seed), uses_(lowering::weight_uses(model.module)) {}

  /// Errors: kInvalidArgument when the rank is too high for it.
  Status add(const NamedTensor& weight, const LowRank& wanted) {
    const auto used = uses_.find(weight.tensor.unsafeGetTensorImpl());
    if (used == uses_.end() || weight.tensor.dim() != 2 || weight.tensor.scalar_type() != at::kFloat)
      return {};
    const auto [module, parameter] = split_name(weight.name);
    const auto [straight, transposes, others] = used->second;
    const bool attention = parameter == kAttention && transposes == 0;
    // Evaluation hands all of an attention's weights to one operator.
    const bool of_attention = attentions_.contains(split_name(module).first);
    const bool linear =
        parameter == "weight" && (others == 0 || of_attention) && (straight == 0) != (transposes == 0);
    if (!attention && !linear) return {};
    const bool transposed = transposes > 0;
    const std::int64_t in = weight.tensor.size(transposed ? 0 : 1);
    const std::int64_t out = weight.tensor.size(transposed ? 1 : 0);
    if (wanted.rank > std::min(in, out)) {
      return invalid("lora: the rank " + std::to_string(wanted.rank) + " is more than '" +
                     printable(weight.name) + "' has, which is [" + std::to_string(weight.tensor.size(0)) +
                     ", " + std::to_string(weight.tensor.size(1)) + "]");
    }
    adapters_.push_back({branch_name(module, attention), weight.tensor,
                         drawn(wanted.rank, in, seed_, adapters_.size()).set_requires_grad(true),
                         at::zeros({out, wanted.rank}, at::kFloat).set_requires_grad(true),
                         wanted.alpha / static_cast<double>(wanted.rank), transposed});
    return {};
  }

  [[nodiscard]] std::size_t count() const { return adapters_.size(); }
  std::vector<Adapter> take() { return std::move(adapters_); }

 private:
  /// As PEFT has it: what stands below an attention with a branch of its own is in its `base_layer`.
  std::string branch_name(const std::string& module, bool attention) {
    if (attention) attentions_.insert(module);
    const auto [above, last] = split_name(module);
    return attentions_.contains(above) ? (above.empty() ? "" : above + ".") + "base_layer." + last : module;
  }

  std::uint64_t seed_;
  lowering::WeightUses uses_;
  std::set<std::string> attentions_;
  std::vector<Adapter> adapters_;
};

}  // namespace

Status add_adapters(TorchModel::Storage& model, const std::vector<LowRank>& wanted, std::uint64_t seed) {
  if (wanted.empty() || (!model.adapters.empty() && wanted == model.low_rank)) return {};
  if (!model.adapters.empty())
    return invalid("lora: the model has other low-rank branches from an earlier trainer; load it again");
  Builder builder(model, seed);
  std::vector<std::size_t> taken(wanted.size());
  for (const NamedTensor& entry : model.tensors()) {
    const auto found = std::ranges::find_if(
        wanted, [&](const LowRank& each) { return glob_matches(each.weights, entry.name); });
    if (found == wanted.end()) continue;
    const std::size_t before = builder.count();
    WASMGRAD_CHECK(builder.add(entry, *found));
    taken[static_cast<std::size_t>(found - wanted.begin())] += builder.count() - before;
  }
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (taken[i] == 0) {
      return invalid(
          "lora: '" + printable(wanted[i].weights) +
          "' matches no weight [out, in] that only linear layers or attention use; the pattern is for names "
          "of weights, such as '*.attn.*'");
    }
  }
  std::set<std::string> names;
  for (const NamedTensor& entry : model.tensors()) names.insert(entry.name);
  model.adapters = builder.take();
  model.low_rank = wanted;
  for (const NamedTensor& entry : model.branches()) {
    if (names.insert(entry.name).second) continue;
    remove_adapters(model);
    return invalid("lora: the model has a tensor '" + printable(entry.name) +
                   "' already, as the new branch would be called");
  }
  return {};
}

void remove_adapters(TorchModel::Storage& model) {
  model.adapters.clear();
  model.low_rank.clear();
}

MergedWeights::MergedWeights(const TorchModel::Storage& model) : adapters_(model.adapters) {
  const c10::NoGradGuard no_grad;
  std::vector<at::Tensor> merged;  // all of them, before the first is put in: memory may run out
  for (const Adapter& adapter : adapters_) {
    before_.push_back(adapter.weight.detach());
    at::Tensor change = at::matmul(adapter.b, adapter.a);
    if (adapter.transposed) change = change.t();
    merged.push_back(before_.back() + change * adapter.scale);
  }
  for (std::size_t i = 0; i < merged.size(); ++i) adapters_[i].weight.set_data(merged[i]);
}

MergedWeights::~MergedWeights() {
  for (std::size_t i = 0; i < before_.size(); ++i) adapters_[i].weight.set_data(before_[i]);
}

}  // namespace wasmgrad::training
