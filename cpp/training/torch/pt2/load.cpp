// The order of the checks: which records there are, then the JSON's shape, then every name, operator and
// argument while the graph is built.
#include "wasmgrad/training/torch/pt2/load.hpp"

#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/passes/dead_code_elimination.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "wasmgrad/training/torch/pt2/graph_builder.hpp"
#include "wasmgrad/training/torch/pt2/json.hpp"
#include "wasmgrad/training/torch/pt2/outputs.hpp"
#include "wasmgrad/training/torch/pt2/recorded_mode.hpp"
#include "wasmgrad/training/torch/pt2/state.hpp"
#include "wasmgrad/training/torch/pt2/tensors.hpp"
#include "wasmgrad/training/torch/vet/operators.hpp"

namespace wasmgrad::training::pt2 {
namespace {

constexpr std::uint64_t kMaxJsonBytes = std::uint64_t{16} << 20;
constexpr std::int64_t kSchemaMajor = 8;  ///< of torch.export's serialised form

std::string read_text(const vet::Archive& archive, const std::string& name, std::uint64_t max_bytes) {
  const vet::Record* record = archive.find(name);
  if (record == nullptr) refuse_malformed("archive: record " + in_quotes(name) + " is missing");
  auto text = vet::Archive::read(*record, max_bytes);
  if (!text) throw Refusal(text.error().code, text.error().message);
  return std::move(text).value();
}

/// Records that torch.export.save writes; returns the one that holds the program.
std::string check_records(const vet::Archive& archive) {
  std::string program;
  for (const vet::Record& record : archive.records()) {
    const std::string_view name = record.name;
    const bool model = name.starts_with("models/") && name.ends_with(".json");
    const bool known = name == "archive_format" || name == "archive_version" || name == "byteorder" ||
                       name == ".data/version" || name == ".data/serialization_id" ||
                       name.starts_with("data/weights/") || name.starts_with("data/constants/") ||
                       name.starts_with("data/sample_inputs/") || name.starts_with("extra/");
    if (!model && !known) {
      throw Refusal(Errc::kSecurity,
                    "archive: record " + in_quotes(name) + " is not one that torch.export.save writes");
    }
    if (model && !program.empty()) refuse_malformed("archive: it holds several programs, expected one");
    if (model) program = name;
  }
  if (program.empty()) refuse_malformed("archive: it holds no program (models/*.json)");
  if (archive.find("byteorder") != nullptr && read_text(archive, "byteorder", 16) != "little")
    refuse_malformed("archive: its byte order is not 'little'");
  return program;
}

/// Training batches vary in size, so the first dimension of an input must be open.
void check_batch(const Json& graph, const std::string& name) {
  const Json& sizes = array_member(member(member(graph, "tensor_values"), name.c_str()), "sizes");
  if (sizes.empty() || to_union(sizes[0]).first != "as_int") return;
  throw Refusal(Errc::kInvalidArgument,
                "its input " + in_quotes(name) + " was exported with the fixed batch size " +
                    std::to_string(to_int(to_union(sizes[0]).second)) +
                    "; export it with dynamic_shapes that make the first dimension a torch.export.Dim");
}

class Loader {
 public:
  Loader(const vet::Archive& archive, std::uint64_t max_bytes, ModelUse use)
      : use_(use),
        tensors_(archive, kMaxJsonBytes, max_bytes),
        program_(parse_json(read_text(archive, check_records(archive), kMaxJsonBytes), "the program")),
        module_(member(program_, "graph_module")),
        graph_json_(member(module_, "graph")),
        signature_(member(module_, "signature")),
        graph_(std::make_shared<torch::jit::Graph>()) {
    const std::int64_t major = to_int(member(member(program_, "schema_version"), "major"));
    if (major != kSchemaMajor) {
      throw Refusal(Errc::kUnsupportedOperation, "its format is version " + std::to_string(major) +
                                                     " of torch.export, expected version " +
                                                     std::to_string(kSchemaMajor));
    }
  }

  TorchModel::Storage run() {
    add_state();
    graph_->addInput()->setType(tree_.root().type());
    for (std::size_t i = 0; i < inputs_.size(); ++i) graph_->addInput()->setType(c10::TensorType::get());
    GraphBuilder builder(*graph_);
    define_inputs(builder);
    for (const Json& node : array_member(graph_json_, "nodes"))
      if (!passes_through(builder, node)) builder.add(node);
    finish(builder);
    torch::jit::EliminateDeadCode(graph_);
    check_operators(graph_->block());
    graph_->lint();
    const std::vector<std::string> arguments = arguments_of_forward();
    tree_.define_forward(graph_, arguments);
    TorchModel::Storage storage;
    storage.module = tree_.root();
    storage.names = {tree_.carried_names(), carried_arguments(arguments)};
    if (auto warning = warning_of_fixed_mode(array_member(graph_json_, "nodes")))
      storage.warnings.push_back(*std::move(warning));
    return storage;
  }

 private:
  /// Registers parameters and buffers, and collects the user's inputs.
  void add_state() {
    for (const Json& spec : array_member(signature_, "input_specs")) {
      const auto [kind, content] = to_union(spec);
      if (kind == "parameter") {
        const std::string& name = text_member(content, "parameter_name");
        at::Tensor tensor = tensors_.state(name);
        if (tensors_.requires_grad(name)) {
          if (!tensor.is_floating_point()) {
            throw Refusal(Errc::kInvalidArgument, "the parameter " + in_quotes(name) +
                                                      " takes gradients, but is not of floating point");
          }
          tensor.requires_grad_(true);
        }
        tree_.add(name, tensor, /*is_parameter=*/true);
      } else if (kind == "buffer") {
        const std::string& name = text_member(content, "buffer_name");
        tree_.add(name, bool_member(content, "persistent") ? tensors_.state(name) : tensors_.constant(name),
                  /*is_parameter=*/false);
      } else if (kind == "user_input") {
        const auto [tag, argument] = to_union(member(content, "arg"));
        if (tag != "as_tensor") {
          throw Refusal(Errc::kUnsupportedOperation,
                        "an input is of the kind " + in_quotes(tag) + ", expected tensors only");
        }
        const std::string& name = text_member(argument, "name");
        if (name.empty()) refuse_malformed("an argument has no name");
        if (use_ == ModelUse::kTraining) check_batch(graph_json_, name);
        inputs_.push_back(name);
      } else if (kind != "tensor_constant" &&
                 kind != "constant_input") {  // the latter's value is in the graph
        throw Refusal(Errc::kUnsupportedOperation,
                      "an input of the kind " + in_quotes(kind) + " is not supported");
      }
    }
  }

  /// Gives all inputs of the exported graph their names in the new one.
  void define_inputs(GraphBuilder& builder) {
    for (std::size_t i = 0; i < inputs_.size(); ++i) builder.define(inputs_[i], graph_->inputs()[i + 1]);
    for (const Json& spec : array_member(signature_, "input_specs")) {
      const auto [kind, content] = to_union(spec);
      if (kind == "parameter" || kind == "buffer") {
        const std::string& name =
            text_member(content, kind == "parameter" ? "parameter_name" : "buffer_name");
        torch::jit::Value* value = tree_.read(*graph_, name);
        builder.define_state(text_member(member(content, "arg"), "name"), value,
                             tree_.read_mode(*graph_, name));
        state_[name] = value;
      } else if (kind == "tensor_constant") {
        const at::Tensor tensor = tensors_.constant(text_member(content, "tensor_constant_name"));
        builder.define_state(text_member(member(content, "arg"), "name"),
                             torch::jit::insertConstant(*graph_, tensor));
      }
    }
  }

  /// Losses begin with a broadcast of prediction and target, and torch.export gives its results for the
  /// prediction from there on. Where nothing is broadcast they are their inputs, and named so: the prediction
  /// must not seem to need the target.
  bool passes_through(GraphBuilder& builder, const Json& node) const {
    if (text_member(node, "target") != "torch.ops.aten.broadcast_tensors.default") return false;
    const Json& inputs = array_member(node, "inputs");
    const Json& outputs = array_member(node, "outputs");
    if (inputs.size() != 1 || outputs.size() != 1) return false;
    const auto [given_as, given] = to_union(member(inputs[0], "arg"));
    const auto [results_as, results] = to_union(outputs[0]);
    if (given_as != "as_tensors" || results_as != "as_tensors" || !given.is_array() ||
        given.size() != results.size())
      return false;
    const Json& shapes = member(graph_json_, "tensor_values");
    const auto sizes = [&shapes](const Json& tensor) -> const Json& {
      return array_member(member(shapes, text_member(tensor, "name").c_str()), "sizes");
    };
    for (std::size_t i = 0; i < given.size(); ++i)
      if (sizes(given[i]) != sizes(results[i])) return false;
    for (std::size_t i = 0; i < given.size(); ++i)
      builder.define(text_member(results[i], "name"), builder.tensor(text_member(given[i], "name")));
    return true;
  }

  /// Changes of buffers that a functional graph hands out, then the outputs.
  void finish(GraphBuilder& builder) {
    std::vector<torch::jit::Value*> outputs;
    for (const Json& spec : array_member(signature_, "output_specs")) {
      const auto [kind, content] = to_union(spec);
      if (kind == "buffer_mutation") {
        const auto buffer = state_.find(text_member(content, "buffer_name"));
        if (buffer == state_.end()) refuse_malformed("a buffer that does not exist is written to");
        builder.update(buffer->second, builder.tensor(text_member(member(content, "arg"), "name")));
        continue;
      }
      if (kind != "user_output") {
        throw Refusal(Errc::kUnsupportedOperation,
                      "an output of the kind " + in_quotes(kind) + " is not supported");
      }
      const auto [tag, argument] = to_union(member(content, "arg"));
      if (tag == "as_none") {
        outputs.push_back(nullptr);
        continue;
      }
      if (tag != "as_tensor") {
        throw Refusal(Errc::kUnsupportedOperation,
                      "an output is of the kind " + in_quotes(tag) + ", expected tensors only");
      }
      outputs.push_back(builder.tensor(text_member(argument, "name")));
    }
    if (use_ == ModelUse::kInference) {
      std::erase(outputs, nullptr);
      graph_->registerOutput(graph_->insertNode(graph_->createTuple(outputs))->output());
    } else {
      graph_->registerOutput(pack_outputs(*graph_, outputs, out_spec()));
    }
  }

  /// The user's inputs as the model calls them; the graph writes them in small letters.
  std::vector<std::string> arguments_of_forward() const {
    const Json& signature = member(outermost_call(), "signature");
    const auto found = signature.find("forward_arg_names");
    if (found == signature.end() || !found->is_array() || found->size() != inputs_.size()) return inputs_;
    std::vector<std::string> arguments;
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      std::string small = to_text((*found)[i]);
      arguments.push_back(small);
      std::ranges::transform(small, small.begin(), [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
      });
      if (small != inputs_[i]) return inputs_;
    }
    const std::set<std::string> distinct(arguments.begin(), arguments.end());
    return distinct.size() == arguments.size() ? arguments : inputs_;
  }

  static std::map<std::string, std::string> carried_arguments(const std::vector<std::string>& arguments) {
    std::map<std::string, std::string> carried;
    std::set<std::string> taken;
    for (const std::string& name : arguments)
      if (std::string argument = carried_argument(name, taken); argument != name)
        carried.emplace(std::move(argument), name);
    return carried;
  }

  /// How the model's results are packed, as its outermost call says.
  const std::string& out_spec() const {
    return text_member(member(outermost_call(), "signature"), "out_spec");
  }

  const Json& outermost_call() const {
    for (const Json& call : array_member(module_, "module_call_graph"))
      if (text_member(call, "fqn").empty()) return call;
    refuse_malformed("it does not say what its forward returns");
  }

  /// What TorchScript resolved is judged once more, whatever it was made from.
  static void check_operators(torch::jit::Block* block) {
    for (torch::jit::Node* node : block->nodes()) {
      const std::string name = node->kind().toQualString();
      const c10::FunctionSchema* schema = node->maybeSchema();
      if (!vet::operator_allowed(name) ||
          (schema != nullptr && !vet::overload_allowed(schema->overload_name())))
        throw Refusal(Errc::kSecurity, in_quotes(name) + " is not an operator that a model may use");
      for (torch::jit::Block* inner : node->blocks()) check_operators(inner);
    }
  }

  ModelUse use_;
  TensorRecords tensors_;
  Json program_;
  const Json& module_;
  const Json& graph_json_;
  const Json& signature_;
  ModuleTree tree_;
  std::shared_ptr<torch::jit::Graph> graph_;
  std::vector<std::string> inputs_;
  std::map<std::string, torch::jit::Value*> state_;  ///< by the names of parameters and buffers
};

}  // namespace

bool is_exported(const vet::Archive& archive) noexcept { return archive.find("archive_format") != nullptr; }

Expected<TorchModel::Storage> load_exported(const vet::Archive& archive, std::uint64_t max_bytes,
                                            ModelUse use) {
  try {
    return Loader(archive, max_bytes, use).run();
  } catch (const Refusal& refusal) {
    return refusal.error();
  }
}

}  // namespace wasmgrad::training::pt2
