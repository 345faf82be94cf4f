#include "wasmgrad/training/torch/loop/replicas.hpp"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>

#include "wasmgrad/training/data/philox.hpp"

namespace wasmgrad::training {

namespace {

std::int64_t values_in(const std::vector<at::Tensor>& tensors) {
  std::int64_t values = 0;
  for (const at::Tensor& tensor : tensors) values += tensor.numel();
  return values;
}

/// The next `count` values, which `values` loses.
std::span<float> take(std::span<float>& values, std::int64_t count) {
  const auto taken = values.first(static_cast<std::size_t>(count));
  values = values.subspan(taken.size());
  return taken;
}

at::Tensor over(std::span<float> values) {
  return at::from_blob(values.data(), static_cast<std::int64_t>(values.size()), at::kFloat);
}

/// Values that count with a weight: without one, whatever they are, they do not.
void write_weighted(const at::Tensor& tensor, double weight, std::span<float> to) {
  if (weight == 0) {
    std::ranges::fill(to, 0.0F);
  } else {
    over(to).copy_(tensor.detach().reshape(-1));
    if (weight != 1) over(to).mul_(weight);
  }
}

void read_mean(const at::Tensor& tensor, double weight, std::span<float> from) {
  if (weight != 1) over(from).div_(weight);
  tensor.detach().copy_(over(from).view(tensor.sizes()));
}

/// A byte a value, which every wire carries exactly; the first process's alone.
void write_bytes(const at::Tensor& tensor, bool is_first, std::span<float> to) {
  std::ranges::fill(to, 0.0F);
  if (!is_first) return;
  const at::Tensor dense = tensor.detach().contiguous();
  const auto* bytes = static_cast<const std::uint8_t*>(dense.const_data_ptr());
  std::copy_n(bytes, to.size(), to.begin());
}

void read_bytes(const at::Tensor& tensor, std::span<const float> from) {
  const at::Tensor dense = at::empty(tensor.sizes(), tensor.options().requires_grad(false));
  auto* bytes = static_cast<std::uint8_t*>(dense.mutable_data_ptr());
  std::ranges::transform(from, bytes, [](float value) { return static_cast<std::uint8_t>(value); });
  tensor.detach().copy_(dense);
}

}  // namespace

/// What training writes besides parameters: the mean of running statistics, which is what they would be over
/// the mean of all processes' batches, and the first process's counters and the like.
struct Replicas::Written {
  explicit Written(const Learner& learner) {
    for (at::Tensor& tensor : learner.written())
      (tensor.scalar_type() == at::kFloat ? means : firsts).push_back(std::move(tensor));
  }

  [[nodiscard]] std::int64_t values() const {
    std::int64_t bytes = 0;
    for (const at::Tensor& tensor : firsts) bytes += static_cast<std::int64_t>(tensor.nbytes());
    return values_in(means) + bytes;
  }
  void write(std::span<float> to, double weight, bool is_first) const {
    for (const at::Tensor& tensor : means) write_weighted(tensor, weight, take(to, tensor.numel()));
    for (const at::Tensor& tensor : firsts)
      write_bytes(tensor, is_first, take(to, static_cast<std::int64_t>(tensor.nbytes())));
  }
  void read(std::span<float> from, double weight) const {
    for (const at::Tensor& tensor : means) read_mean(tensor, weight, take(from, tensor.numel()));
    for (const at::Tensor& tensor : firsts)
      read_bytes(tensor, take(from, static_cast<std::int64_t>(tensor.nbytes())));
  }

  std::vector<at::Tensor> means, firsts;
};

Dealing Replicas::dealing() const noexcept {
  if (!several()) return {};
  return {how_.group->rank(), how_.group->size(), how_.shard};
}

double Replicas::weight(std::int64_t own_rows, std::int64_t all_rows) const noexcept {
  if (!several()) return 1;
  // Without shards all know how many rows a batch has, and each batch counts once, as it does alone.
  const auto rows = static_cast<double>(own_rows);
  return how_.shard ? rows : rows / static_cast<double>(all_rows);
}

std::uint64_t Replicas::dropout_seed(std::uint64_t seed) const noexcept {
  if (!several() || how_.group->rank() == 0) return seed;
  constexpr std::uint32_t kRankStream = 0x72616E6B;
  const auto rank = static_cast<std::uint32_t>(how_.group->rank());
  const PhiloxCounter drawn = philox4x32_10({rank, 0, 0, kRankStream}, philox_key(seed));
  return drawn[0] | (std::uint64_t{drawn[1]} << 32);
}

bool Replicas::stop_requested() const noexcept {
  if (several()) return how_.group->stop_agreed();
  return stop_ != nullptr && stop_->requested();
}

Expected<Agreement> Replicas::meet(const Meeting& meeting, Share mine, const Status& own) {
  mine.failed = !own.ok() && own.error().code != Errc::kInterrupted;
  mine.stop = stop_ != nullptr && stop_->requested();
  const auto agreed = how_.group->meet(meeting, mine);
  if (mine.failed && (agreed || agreed.error().code != Errc::kInterrupted)) return own.error();
  return agreed;
}

Status Replicas::copy_from_first(const std::vector<at::Tensor>& tensors) {
  const c10::NoGradGuard no_grad;
  for (const at::Tensor& tensor : tensors) {
    const at::Tensor dense = tensor.detach().contiguous();
    auto* bytes = static_cast<std::byte*>(dense.mutable_data_ptr());
    WASMGRAD_CHECK(how_.group->copy_from_first({bytes, dense.nbytes()}));
    if (!dense.is_alias_of(tensor)) tensor.detach().copy_(dense);
  }
  return {};
}

std::span<float> Replicas::room(std::int64_t values) {
  if (!flat_.defined() || flat_.numel() != values) flat_ = at::empty({values}, at::kFloat);
  return {flat_.mutable_data_ptr<float>(), static_cast<std::size_t>(values)};
}

Status Replicas::sum_gradients(Learner& learner, std::int64_t step, std::uint64_t facts, const Status& own,
                               MetricSum& sum) {
  const c10::NoGradGuard no_grad;
  const Written written(learner);
  const std::vector<at::Tensor>& parameters = learner.parameters();
  const std::int64_t gradients = values_in(parameters);
  const auto count = static_cast<std::int64_t>(parameters.size());
  const std::span<float> all = room(gradients + count + written.values());
  Share mine;
  mine.sum = sum;
  mine.weight = learner.pending_weight();
  WASMGRAD_ASSIGN(const Agreement agreed, meet({Operation::kStep, step, all.size_bytes(), facts}, mine, own));

  const std::vector<at::Tensor>& pending = learner.gradient_sums();
  std::span<float> rest = all;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const std::span<float> to = take(rest, parameters[i].numel());
    if (pending[i].defined()) {
      std::memcpy(to.data(), pending[i].const_data_ptr(), to.size_bytes());
    } else {
      std::ranges::fill(to, 0.0F);
    }
  }
  // A parameter that no process has a gradient of stays without one.
  const std::span<float> present = take(rest, count);
  std::ranges::transform(pending, present.begin(),
                         [](const at::Tensor& one) { return one.defined() ? 1.0F : 0.0F; });
  written.write(rest, mine.weight, how_.group->rank() == 0);

  if (how_.wire == Wire::kF32) {
    WASMGRAD_CHECK(how_.group->sum(all));
  } else {
    WASMGRAD_CHECK(how_.group->sum(all.first(static_cast<std::size_t>(gradients)), how_.wire));
    WASMGRAD_CHECK(how_.group->sum(all.subspan(static_cast<std::size_t>(gradients))));
  }
  std::vector<at::Tensor> sums(parameters.size());
  std::int64_t begin = 0;
  for (std::size_t i = 0; i < parameters.size(); begin += parameters[i++].numel()) {
    if (present[i] > 0) sums[i] = flat_.narrow(0, begin, parameters[i].numel()).view(parameters[i].sizes());
  }
  learner.set_sums(std::move(sums), agreed.weight);
  written.read(rest, agreed.weight);
  sum = agreed.sum;
  return {};
}

void Replicas::count(const MetricSum& sum, double weight) noexcept {
  if (sum.samples > 0) since_.add(sum);
  weight_since_ += weight;
  ++steps_since_;
}

Expected<MetricSum> Replicas::average(Learner& learner, std::int64_t step, std::uint64_t facts,
                                      const Status& own) {
  const c10::NoGradGuard no_grad;
  const Written written(learner);
  const std::vector<at::Tensor>& parameters = learner.parameters();
  const std::span<float> all = room(values_in(parameters) + written.values());
  Share mine;
  mine.sum = since_;
  mine.weight = weight_since_;
  WASMGRAD_ASSIGN(const Agreement agreed,
                  meet({Operation::kAverage, step, all.size_bytes(), facts}, mine, own));
  std::span<float> rest = all;
  for (const at::Tensor& parameter : parameters)
    write_weighted(parameter, mine.weight, take(rest, parameter.numel()));
  written.write(rest, mine.weight, how_.group->rank() == 0);
  WASMGRAD_CHECK(how_.group->sum(all));
  rest = all;
  for (const at::Tensor& parameter : parameters)
    read_mean(parameter, agreed.weight, take(rest, parameter.numel()));
  written.read(rest, agreed.weight);
  since_ = {};
  weight_since_ = 0;
  steps_since_ = 0;
  return agreed.sum;
}

}  // namespace wasmgrad::training
