#include "wasmgrad/graph/metadata.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>

#include "wasmgrad/base/strict_json.hpp"
#include "wasmgrad/base/utf8.hpp"

namespace wasmgrad::graph {

namespace {

using Json = nlohmann::json;

constexpr std::uint64_t kAddressSpace = std::uint64_t{1} << 32;
constexpr std::uint64_t kMaxSide = (1 << 15) - 1;
// Every integer up to it is one to all readers of JSON, also where numbers are f64.
constexpr std::uint64_t kMaxCount = (std::uint64_t{1} << 53) - 1;
constexpr std::size_t kMaxRank = 64;
constexpr std::uint64_t kMaxBatch = (std::uint64_t{1} << 31) - 1;
constexpr std::size_t kMaxPlans = 1024;
constexpr std::size_t kMaxJsonBytes = std::size_t{64} << 20;

constexpr std::pair<std::string_view, std::uint64_t> kItemBytes[] = {
    {"bool", 1},  {"int8", 1},   {"uint8", 1},   {"int16", 2}, {"uint16", 2}, {"float16", 2}, {"bfloat16", 2},
    {"int32", 4}, {"uint32", 4}, {"float32", 4}, {"int64", 8}, {"uint64", 8}, {"float64", 8}};

constexpr std::pair<std::string_view, Interpolation> kInterpolations[] = {
    {"nearest", Interpolation::kNearest},
    {"bilinear", Interpolation::kBilinear},
    {"bicubic", Interpolation::kBicubic},
    {"lanczos", Interpolation::kLanczos}};

// Carries an Error out of nested readers; it never leaves this file.
struct Refused : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A value and its place in the document.
class Node {
 public:
  Node(const Json& json, std::string place) : json_(&json), place_(std::move(place)) {}

  [[noreturn]] void refuse(const std::string& expected) const {
    std::string shown = json_->dump(-1, ' ', false, Json::error_handler_t::replace);
    constexpr std::size_t kMaxShown = 60;
    if (shown.size() > kMaxShown) shown = shown.substr(0, kMaxShown) + "...";
    throw Refused(place_ + " is " + shown + "; expected " + expected);
  }

  // A key that is absent reads as null.
  [[nodiscard]] Node operator[](const std::string& key) const {
    static const Json kNull;
    if (!json_->is_object()) refuse("an object");
    const auto found = json_->find(key);
    return {found == json_->end() ? kNull : *found, place_ + "." + key};
  }

  [[nodiscard]] std::vector<Node> items() const {
    if (!json_->is_array()) refuse("an array");
    std::vector<Node> nodes;
    for (const Json& item : *json_)
      nodes.emplace_back(item, place_ + "[" + std::to_string(nodes.size()) + "]");
    return nodes;
  }

  [[nodiscard]] bool is_null() const { return json_->is_null(); }
  [[nodiscard]] bool is_array() const { return json_->is_array(); }

  [[nodiscard]] std::string text() const {
    if (!json_->is_string()) refuse("a string");
    return json_->get<std::string>();
  }

  // However it is written: 2.0 is 2, as it is in JavaScript.
  [[nodiscard]] std::uint64_t count(std::uint64_t max = kMaxCount) const {
    const double value = json_->is_number() ? json_->get<double>() : -1;
    if (value >= 0 && value <= static_cast<double>(max) && value == std::floor(value)) {
      return static_cast<std::uint64_t>(value);
    }
    refuse("an integer from 0 to " + std::to_string(max));
  }

  [[nodiscard]] std::vector<std::pair<std::string, std::uint64_t>> counts() const {
    if (!json_->is_object()) refuse("an object");
    std::vector<std::pair<std::string, std::uint64_t>> found;
    for (const auto& [key, value] : json_->items()) {
      found.emplace_back(key, Node(value, place_ + "." + printable(key)).count());
    }
    return found;
  }

  [[nodiscard]] bool flag() const {
    if (!json_->is_boolean()) refuse("true or false");
    return json_->get<bool>();
  }

  [[nodiscard]] std::string digest() const {
    std::string digits = text();
    const bool hexadecimal =
        std::ranges::all_of(digits, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
    if (digits.size() != 64 || !hexadecimal) refuse("64 hexadecimal digits in lower case");
    return digits;
  }

  [[nodiscard]] double number() const {
    constexpr double kMax = 1e30;
    if (json_->is_number() && std::abs(json_->get<double>()) <= kMax) return json_->get<double>();
    refuse("a number of at most 1e30");
  }

  // What the table has under this text.
  template <class T, std::size_t N>
  [[nodiscard]] T choice(const std::pair<std::string_view, T> (&table)[N]) const {
    std::string names;
    for (const auto& [name, value] : table) {
      if (json_->is_string() && json_->get_ref<const std::string&>() == name) return value;
      names += (names.empty() ? "" : ", ") + std::string(name);
    }
    refuse("one of " + names);
  }

 private:
  const Json* json_;
  std::string place_;
};

TensorInfo read_tensor(const Node& node, std::uint64_t memory_bytes) {
  TensorInfo tensor{.name = node["name"].text(), .dtype = node["dtype"].text(), .shape = {}, .bytes = 0};
  if (tensor.name.empty()) node["name"].refuse("a name");
  tensor.bytes = node["dtype"].choice(kItemBytes);
  const std::vector<Node> shape = node["shape"].items();
  if (shape.size() > kMaxRank) node["shape"].refuse("at most 64 dimensions");
  for (const Node& dimension : shape) {
    // Both factors are at most 2^32, so that the product does not wrap.
    tensor.shape.push_back(dimension.count(kAddressSpace - 1));
    tensor.bytes *= tensor.shape.back();
    if (tensor.bytes >= kAddressSpace) node["shape"].refuse("a tensor of less than 4 GiB");
  }
  if (tensor.bytes > memory_bytes) {
    node["shape"].refuse("a tensor within the " + std::to_string(memory_bytes) + " bytes of the memory");
  }
  return tensor;
}

std::optional<Batch> read_batch(const Node& node) {
  if (node.is_null()) return std::nullopt;  // also where an older compiler knew of none
  const std::uint64_t most = node["most"].count(kMaxBatch);
  const std::uint64_t least = node["least"].count(most);
  if (least == 0) node["least"].refuse("1 or more");
  return Batch{least, most};
}

void read_batched(const Node& node, const std::optional<Batch>& batch, TensorInfo& tensor) {
  if (node.is_null()) return;
  for (const Node& item : node.items()) {
    if (!batch) item.refuse("no axis: the plan has no batch");
    if (tensor.shape.empty()) item.refuse("no axis: the tensor is a scalar");
    const std::uint64_t axis = item.count(tensor.shape.size() - 1);
    if (!tensor.batched.empty() && axis <= tensor.batched.back()) item.refuse("axes in ascending order");
    if (tensor.shape[axis] % batch->most != 0) item.refuse("an axis that is a multiple of the largest batch");
    tensor.batched.push_back(axis);
  }
}

std::vector<TensorInfo> read_tensors(const Node& node, const std::optional<Batch>& batch,
                                     std::uint64_t memory_bytes) {
  std::vector<TensorInfo> tensors;
  std::set<std::string> names;
  for (const Node& item : node.items()) {
    tensors.push_back(read_tensor(item, memory_bytes));
    read_batched(item["batched"], batch, tensors.back());
    if (!names.insert(tensors.back().name).second) item["name"].refuse("a name that no other one has");
  }
  return tensors;
}

// The whole of the metadata is its first plan, too.
Plan read_plan(const Node& node, std::uint64_t memory_bytes) {
  Plan plan;
  if (const Node entry = node["entry"]; !entry.is_null()) {
    plan.entry = entry.text();
    if (plan.entry.empty()) entry.refuse("a name");
  }
  plan.batch = read_batch(node["batch"]);
  plan.inputs = read_tensors(node["inputs"], plan.batch, memory_bytes);
  plan.outputs = read_tensors(node["outputs"], plan.batch, memory_bytes);
  plan.flops = node["flops"].count();
  for (const Node& item : node["plan"].items()) {
    plan.calls.push_back(
        {item["name"].text(), item["kernel"].text(), item["flops"].count(), item["bytes"].count()});
  }
  return plan;
}

std::vector<Plan> read_plans(const Node& root, std::uint64_t memory_bytes) {
  std::vector<Plan> plans = {read_plan(root, memory_bytes)};
  const Node further = root["further"];
  if (further.is_null()) return plans;
  const std::vector<Node> items = further.items();
  if (items.size() >= kMaxPlans) further.refuse("at most 1023 plans");
  for (const Node& item : items) plans.push_back(read_plan(item, memory_bytes));
  return plans;
}

std::vector<StateInfo> read_states(const Node& node, const std::vector<Plan>& plans,
                                   std::uint64_t memory_bytes) {
  std::vector<StateInfo> states;
  if (node.is_null()) return states;  // an older compiler knew of none
  std::set<std::string> names;
  for (const Plan& plan : plans) {
    for (const TensorInfo& input : plan.inputs) names.insert(input.name);
  }
  for (const Node& item : node.items()) {
    states.push_back({read_tensor(item, memory_bytes), item["output"].text()});
    if (!names.insert(states.back().name).second) {
      item["name"].refuse("a name that no input and no other state has");
    }
    if (states.back().output.empty()) item["output"].refuse("a name");
  }
  return states;
}

std::vector<double> read_channels(const Node& node, std::size_t channels) {
  std::vector<double> values;
  for (const Node& item : node.items()) values.push_back(item.number());
  if (values.size() != channels) node.refuse("one number for each channel");
  return values;
}

Preprocess read_preprocess(const Node& node) {
  static constexpr std::pair<std::string_view, std::size_t> kColors[] = {{"RGB", 3}, {"BGR", 3}, {"L", 1}};
  static constexpr std::pair<std::string_view, bool> kLayouts[] = {{"NCHW", false}, {"NHWC", true}};
  static constexpr std::pair<std::string_view, bool> kKinds[] = {{"image", true}};
  Preprocess made;
  (void)node["kind"].choice(kKinds);
  const Node crop = node["crop"];
  const std::vector<Node> sides = crop.is_array() ? crop.items() : std::vector<Node>{crop, crop};
  if (sides.size() != 2) crop.refuse("one or two sides");
  made.height = static_cast<std::uint32_t>(sides[0].count(kMaxSide));
  made.width = static_cast<std::uint32_t>(sides[1].count(kMaxSide));
  if (made.height == 0 || made.width == 0) crop.refuse("sides of at least 1 pixel");
  if (const Node resize = node["resize"]; !resize.is_null()) {
    made.resize = static_cast<std::uint32_t>(resize.count(kMaxSide));
    if (*made.resize < std::max(made.height, made.width)) resize.refuse("at least the side of the crop");
  }
  made.interpolation = node["interpolation"].choice(kInterpolations);
  made.channels_last = node["layout"].choice(kLayouts);
  made.color = node["color"].text();
  made.scale = node["scale"].number();
  const std::size_t channels = node["color"].choice(kColors);
  made.mean = read_channels(node["mean"], channels);
  made.std = read_channels(node["std"], channels);
  if (std::ranges::find(made.std, 0.0) != made.std.end()) node["std"].refuse("numbers other than 0");
  return made;
}

Model read_model(const Node& node) {
  const Node opset = node["opset"];
  return {node["name"].text(), node["format"].text(), node["sha256"].text(),
          opset.is_null() ? std::nullopt : std::optional(opset.count())};
}

Memory read_memory(const Node& node) {
  const std::uint64_t whole = node["bytes"].count(kAddressSpace);
  const Memory memory{whole, node["weights"].count(whole), node["workspace"].count(whole)};
  if (memory.weights + memory.workspace > whole) node.refuse("weights and workspace within the memory");
  return memory;
}

Options read_options(const Node& node) {
  static constexpr std::pair<std::string_view, bool> kSimd[] = {
      {"128", true},       {"relaxed", true},   {"off", true},           {"baseline", true},
      {"x86-64-v3", true}, {"x86-64-v4", true}, {"x86-64-v4-vnni", true}};
  (void)node["simd"].choice(kSimd);
  const Node threads = node["threads"];
  const std::uint64_t count = threads.is_null() ? 1 : threads.count(kMostThreads);
  if (count == 0) threads.refuse("1 or more");
  return {node["simd"].text(), node["opt_level"].count(), count};
}

Weights read_weights(const Node& node, std::uint64_t memory_bytes) {
  static constexpr std::pair<std::string_view, bool> kModes[] = {{"embed", false}, {"file", true}};
  return {node["mode"].choice(kModes), node["bytes"].count(memory_bytes), node["sha256"].digest()};
}

bool has(const std::vector<TensorInfo>& tensors, std::string_view name, std::string_view dtype) {
  return std::ranges::any_of(tensors, [&](const TensorInfo& tensor) {
    return tensor.name == name && tensor.dtype == dtype && (name == "target" || tensor.shape.empty());
  });
}

// A step takes a target and how many rows count, and tells of them; a prediction takes neither.
void check_entries(const Node& node, const std::vector<Plan>& plans) {
  for (const std::string_view entry : {"step", "evaluate", "predict"}) {
    const auto plan = std::ranges::find(plans, entry, &Plan::entry);
    if (plan == plans.end()) node.refuse("the entries step, evaluate and predict");
    if (entry == "predict") continue;
    const auto is_target = [](const TensorInfo& tensor) { return tensor.name == "target"; };
    bool good = std::ranges::any_of(plan->inputs, is_target) && has(plan->inputs, "rows", "int64") &&
                has(plan->outputs, "loss", "float64") && has(plan->outputs, "status", "int32");
    for (const std::string_view count : {"ranked", "correct", "in_top_k"})
      good = good && has(plan->outputs, count, "int64");
    if (!good) node.refuse("entries with a target, rows, loss, counts and status");
  }
}

Training read_training(const Node& node, const std::vector<Plan>& plans) {
  Training made;
  made.loss = node["loss"].text();
  made.optimizer = node["optimizer"].text();
  made.batch = node["batch"].count(kMaxBatch);
  made.least = node["least"].count(made.batch);
  if (made.least == 0) node["least"].refuse("1 or more");
  made.partial = node["partial"].flag();
  made.top_k = node["top_k"].count();
  made.classes = node["classes"].count();
  for (const Node& item : node["fixed"].items())
    made.fixed.push_back({item["name"].text(), item["sha256"].digest()});
  check_entries(node, plans);
  for (const Plan& plan : plans) {
    for (const TensorInfo& input : plan.inputs) {
      if (input.name != "rows" && (input.shape.empty() || input.shape[0] != made.batch))
        node["batch"].refuse("the rows of every input");
    }
  }
  return made;
}

Expected<Metadata> read_metadata(const Node& root) {
  const std::uint64_t abi = root["abi"].count(UINT32_MAX);
  if (abi == 0) root["abi"].refuse("1 or more");
  if (abi > kAbi) {
    return Error{Errc::kUnsupportedOperation, "the module has graph ABI " + std::to_string(abi) +
                                                  "; this version of wasmgrad runs ABI " +
                                                  std::to_string(kAbi)};
  }
  Metadata made;
  made.abi = abi;
  made.producer = root["producer"].text();
  made.model = read_model(root["model"]);
  made.memory = read_memory(root["memory"]);
  made.plans = read_plans(root, made.memory.bytes);
  made.states = read_states(root["states"], made.plans, made.memory.bytes);
  made.operators = root["operators"].counts();
  std::ranges::stable_sort(made.operators, std::ranges::greater(),
                           &std::pair<std::string, std::uint64_t>::second);
  made.parameters = root["parameters"].count();
  made.weights = read_weights(root["weights"], made.memory.weights);
  made.options = read_options(root["options"]);
  if (const Node preprocess = root["preprocess"]; !preprocess.is_null()) {
    made.preprocess = read_preprocess(preprocess);
  }
  if (const Node labels = root["labels"]; !labels.is_null()) {
    made.labels.emplace();
    for (const Node& label : labels.items()) made.labels->push_back(label.text());
  }
  if (const Node training = root["training"]; !training.is_null())
    made.training = read_training(training, made.plans);
  return made;
}

// What `read` makes of a document, whose root is called `name` in errors.
template <class T, class Read>
Expected<T> read_document(std::string_view json, const char* name, Read read) {
  if (json.size() > kMaxJsonBytes) {
    return Error{Errc::kInvalidEncoding, std::string(name) + " of " + std::to_string(json.size()) +
                                             " bytes; expected at most " + std::to_string(kMaxJsonBytes)};
  }
  constexpr int kMaxDepth = 64;
  auto parsed = parse_strict_json(json, name, kMaxDepth);
  if (!parsed) return Error{Errc::kInvalidEncoding, parsed.error().message};
  try {
    return read(Node(*parsed, name));
  } catch (const std::exception& error) {
    return Error{Errc::kInvalidEncoding, error.what()};
  }
}

}  // namespace

Expected<Metadata> Metadata::from_json(std::string_view json) {
  return read_document<Metadata>(json, "metadata", read_metadata);
}

Expected<Preprocess> Preprocess::from_json(std::string_view json) {
  return read_document<Preprocess>(json, "preprocess", read_preprocess);
}

std::optional<std::uint64_t> Plan::batch_of(std::span<const std::vector<std::uint64_t>> shapes) const {
  std::optional<std::uint64_t> found;
  if (shapes.size() != inputs.size()) return std::nullopt;
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    const TensorInfo& input = inputs[i];
    if (shapes[i].size() != input.shape.size()) return std::nullopt;
    for (std::size_t axis = 0; axis < input.shape.size(); ++axis) {
      const std::uint64_t extent = shapes[i][axis], most = input.shape[axis];
      if (!batch || std::ranges::find(input.batched, axis) == input.batched.end()) {
        if (extent != most) return std::nullopt;
        continue;
      }
      const std::uint64_t each = most / batch->most;
      if (each == 0 || extent % each != 0) return std::nullopt;
      if (found && *found != extent / each) return std::nullopt;
      found = extent / each;
    }
  }
  if (!batch) return 0;
  if (!found) return batch->most;
  return *found >= batch->least && *found <= batch->most ? found : std::nullopt;
}

TensorInfo Plan::sized(const TensorInfo& tensor, std::uint64_t samples) const {
  TensorInfo made = tensor;
  if (!batch || samples == 0) return made;
  for (const std::size_t axis : made.batched) {
    if (made.shape[axis] == 0) continue;  // and then there are no bytes
    made.bytes = made.bytes / batch->most * samples;
    made.shape[axis] = made.shape[axis] / batch->most * samples;
  }
  return made;
}

std::string_view name_of(Interpolation interpolation) {
  return std::ranges::find(kInterpolations, interpolation, [](const auto& row) { return row.second; })->first;
}

}  // namespace wasmgrad::graph
