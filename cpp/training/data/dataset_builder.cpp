// Grows a dataset block by block, in memory that the dataset then takes over.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <utility>

#include "wasmgrad/base/memory_error.hpp"
#include "wasmgrad/base/utf8.hpp"
#include "wasmgrad/training/data/dataset_rows.hpp"

namespace wasmgrad::training {

namespace {

/// Bytes that grow at their end. What realloc moves is at most doubled for that moment; pages that were not
/// written yet take no memory.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        capacity_(std::exchange(other.capacity_, 0)) {}
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { std::free(data_); }

  /// Makes room for `count` more bytes: exactly so many at first, then at least half as much again. Throws
  /// std::bad_alloc.
  void reserve(std::size_t count) {
    if (count <= capacity_ - size_) return;
    resize_to(std::max(size_ + count, size_ + size_ / 2));
  }
  void append(std::span<const std::byte> bytes) noexcept {
    std::memcpy(data_ + size_, bytes.data(), bytes.size());
    size_ += bytes.size();
  }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  /// The bytes, without what was reserved beyond them.
  std::shared_ptr<std::byte> release() {
    if (capacity_ > size_) resize_to(size_);
    size_ = capacity_ = 0;
    return {std::exchange(data_, nullptr), &std::free};
  }

 private:
  void resize_to(std::size_t capacity) {
    auto* moved = static_cast<std::byte*>(std::realloc(data_, capacity));
    if (moved == nullptr) throw std::bad_alloc();
    data_ = moved;
    capacity_ = capacity;
  }

  std::byte* data_ = nullptr;
  std::size_t size_ = 0, capacity_ = 0;
};

struct GrowingColumn {
  std::string name;
  DType dtype;
  std::vector<std::int64_t> row_shape;
  Buffer buffer;

  [[nodiscard]] bool fits(const TensorView& view) const {
    return view.name() == name && view.dtype() == dtype &&
           std::equal(row_shape.begin(), row_shape.end(), view.shape().begin() + 1, view.shape().end());
  }

  Expected<Column> take(std::int64_t rows) {
    std::vector<std::int64_t> shape{rows};
    shape.insert(shape.end(), row_shape.begin(), row_shape.end());
    const std::size_t bytes = buffer.size();
    std::shared_ptr<std::byte> memory = buffer.release();
    WASMGRAD_ASSIGN(TensorView view,
                    TensorView::create(name, dtype, std::move(shape), {memory.get(), bytes}));
    return Column{std::move(view), std::move(memory)};
  }
};

std::string described(const std::string& name, DType dtype, std::span<const std::int64_t> row_shape) {
  return quoted(name, "unnamed") + " with rows of " + std::string(dtype_name(dtype)) + " " +
         format_shape(row_shape);
}

/// One block's tensors with how errors call them: their names, or "inputs", "input 1", ...
struct Block {
  std::vector<const TensorView*> views;
  std::vector<std::string> names;
  std::uint64_t bytes = 0;

  void add(std::span<const TensorView> list, const char* one, const char* many) {
    for (std::size_t i = 0; i < list.size(); ++i) {
      views.push_back(&list[i]);
      names.push_back(quoted(list[i].name(), list.size() == 1 ? many : one + (" " + std::to_string(i))));
      bytes += list[i].data().size();
    }
  }

  [[nodiscard]] Status check() const {
    for (std::size_t i = 0; i < views.size(); ++i) {
      if (views[i]->shape().empty())
        return invalid(names[i] + " is a scalar; a dataset needs one row a sample");
    }
    const std::int64_t samples = views[0]->shape()[0];
    for (std::size_t i = 1; i < views.size(); ++i) {
      if (views[i]->shape()[0] != samples) {
        return invalid(names[0] + " has " + std::to_string(samples) + " samples and " + names[i] + " has " +
                       std::to_string(views[i]->shape()[0]) + "; both must have as many");
      }
    }
    for (std::size_t i = 0; i < views.size(); ++i) {
      if (views[i]->numel() == 0) {
        return invalid(names[i] + " of shape " + format_shape(views[i]->shape()) +
                       " is empty; at least one sample is needed");
      }
    }
    return {};
  }

  /// "'images' and 'labels'"
  [[nodiscard]] std::string listed() const {
    std::string text = names[0];
    for (std::size_t i = 1; i < names.size(); ++i)
      text += (i + 1 == names.size() ? " and " : ", ") + names[i];
    return text;
  }
};

}  // namespace

struct DatasetBuilder::State {
  std::vector<GrowingColumn> columns;  ///< inputs, then targets
  std::size_t inputs = 0;
  std::int64_t rows = 0;
  std::uint64_t bytes = 0;

  [[nodiscard]] Status check_columns(const Block& block, std::size_t block_inputs) const {
    if (block_inputs != inputs || block.views.size() != columns.size()) {
      return invalid("the block has " + std::to_string(block_inputs) + " inputs and " +
                     std::to_string(block.views.size() - block_inputs) + " targets; the first block has " +
                     std::to_string(inputs) + " and " + std::to_string(columns.size() - inputs));
    }
    for (std::size_t i = 0; i < columns.size(); ++i) {
      const TensorView& view = *block.views[i];
      if (columns[i].fits(view)) continue;
      return invalid((i < inputs ? "input " + std::to_string(i) : "target " + std::to_string(i - inputs)) +
                     " is " + described(view.name(), view.dtype(), std::span(view.shape()).subspan(1)) +
                     "; the first block's is " +
                     described(columns[i].name, columns[i].dtype, columns[i].row_shape));
    }
    return {};
  }
};

DatasetBuilder::DatasetBuilder() : state_(std::make_unique<State>()) {}
DatasetBuilder::DatasetBuilder(DatasetBuilder&&) noexcept = default;
DatasetBuilder& DatasetBuilder::operator=(DatasetBuilder&&) noexcept = default;
DatasetBuilder::~DatasetBuilder() = default;

Status DatasetBuilder::append(std::span<const TensorView> inputs, std::span<const TensorView> targets,
                              std::uint64_t max_bytes) {
  State& state = *state_;
  return within_memory("dataset", [&]() -> Status {
    if (inputs.empty()) return invalid("a dataset needs at least one input");
    Block block;
    block.add(inputs, "input", "inputs");
    block.add(targets, "target", "targets");
    WASMGRAD_CHECK(block.check());
    if (state.rows > 0) WASMGRAD_CHECK(state.check_columns(block, inputs.size()));
    if (block.bytes > max_bytes || state.bytes > max_bytes - block.bytes) {
      return Error{Errc::kTooLarge, block.listed() + " take " + std::to_string(state.bytes + block.bytes) +
                                        " bytes on the host; " + std::to_string(max_bytes) + " are allowed"};
    }
    std::vector<GrowingColumn> first;
    if (state.rows == 0) {
      for (const TensorView* view : block.views)
        first.push_back({view->name(), view->dtype(), {view->shape().begin() + 1, view->shape().end()}, {}});
    }
    std::vector<GrowingColumn>& columns = state.rows == 0 ? first : state.columns;
    // Nothing throws once all have room.
    for (std::size_t i = 0; i < columns.size(); ++i) columns[i].buffer.reserve(block.views[i]->data().size());
    for (std::size_t i = 0; i < columns.size(); ++i) columns[i].buffer.append(block.views[i]->data());
    if (state.rows == 0) {
      state.columns = std::move(first);
      state.inputs = inputs.size();
    }
    state.rows += block.views[0]->shape()[0];
    state.bytes += block.bytes;
    return {};
  });
}

std::int64_t DatasetBuilder::size() const noexcept { return state_->rows; }
std::uint64_t DatasetBuilder::bytes() const noexcept { return state_->bytes; }

Expected<Dataset> DatasetBuilder::build() {
  return within_memory("dataset", [&]() -> Expected<Dataset> {
    if (state_->rows == 0) return invalid("the dataset has no rows");
    auto rows = std::make_shared<Dataset::Rows>();
    for (std::size_t i = 0; i < state_->columns.size(); ++i) {
      WASMGRAD_ASSIGN(Column column, state_->columns[i].take(state_->rows));
      (i < state_->inputs ? rows->inputs : rows->targets).push_back(std::move(column));
    }
    rows->size = state_->rows;
    *state_ = {};
    return Dataset(std::move(rows));
  });
}

}  // namespace wasmgrad::training
