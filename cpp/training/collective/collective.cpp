#include "wasmgrad/training/collective/collective.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

namespace wasmgrad::training {

namespace {

/// A share as it travels. The same layout on all hosts: they run one program, little-endian.
struct Record {
  std::int64_t operation, step;
  std::uint64_t bytes, facts;
  double loss, weight;
  std::int64_t metric_samples, ranked, correct, in_top_k, classes;
  std::int64_t samples, batches;
  std::uint32_t failed, stop;
};

Record record_of(const Meeting& meeting, const Share& share) {
  const MetricSum& sum = share.sum;
  return {.operation = static_cast<std::int64_t>(meeting.operation),
          .step = meeting.step,
          .bytes = meeting.bytes,
          .facts = meeting.facts,
          .loss = sum.loss,
          .weight = share.weight,
          .metric_samples = sum.samples,
          .ranked = sum.ranked,
          .correct = sum.correct,
          .in_top_k = sum.in_top_k,
          .classes = sum.classes,
          .samples = share.samples,
          .batches = share.batches,
          .failed = share.failed ? 1U : 0U,
          .stop = share.stop ? 1U : 0U};
}

/// In the order of ranks, so that all processes get the same bits.
Agreement agreement_of(std::span<const Record> records) {
  Agreement all;
  for (const Record& record : records) {
    MetricSum sum{record.loss,    record.metric_samples, record.ranked,
                  record.correct, record.in_top_k,       record.classes};
    sum.classes = std::max(sum.classes, all.sum.classes);
    all.sum.add(sum);
    all.weight += record.weight;
    all.samples += record.samples;
    all.batches = std::max(all.batches, record.batches);
  }
  return all;
}

const char* name_of(std::int64_t operation) {
  constexpr std::array names = {"resuming", "sharing the state", "the beginning of epochs",
                                "a step",   "averaging",         "an evaluation",
                                "its end"};
  const auto index = static_cast<std::size_t>(operation);
  return index < names.size() ? names[index] : "an exchange of another version";
}

std::string place_of(const Record& record) {
  return std::string(name_of(record.operation)) + " after step " + std::to_string(record.step);
}

/// Errors: kInvalidArgument when not all are at one place.
Status check_same_place(std::span<const Record> records, int rank) {
  const Record& mine = records[static_cast<std::size_t>(rank)];
  for (std::size_t other = 0; other < records.size(); ++other) {
    const Record& theirs = records[other];
    const std::string who = "process " + std::to_string(other);
    if (theirs.operation != mine.operation || theirs.step != mine.step) {
      return invalid("the processes took different ways: " + who + " is at " + place_of(theirs) +
                     ", this one, " + std::to_string(rank) + ", at " + place_of(mine) +
                     "; guests of one training make the same calls in the same order");
    }
    if (theirs.bytes != mine.bytes || theirs.facts != mine.facts) {
      return invalid("the processes differ at " + place_of(mine) + ": " + who +
                     " has another model, data set, "
                     "option or learning rate than this one, " +
                     std::to_string(rank) + "; all must be the same in all of them");
    }
  }
  return {};
}

}  // namespace

Facts& Facts::add(std::span<const std::byte> bytes) noexcept {
  for (const std::byte byte : bytes) hash_ = (hash_ ^ static_cast<std::uint64_t>(byte)) * 0x100000001B3;
  hash_ = (hash_ ^ bytes.size()) * 0x100000001B3;
  return *this;
}

Expected<Agreement> Collective::meet(const Meeting& meeting, const Share& mine) {
  last_ = meeting;
  std::vector<Record> records(static_cast<std::size_t>(size()));
  const Record own = record_of(meeting, mine);
  WASMGRAD_CHECK(
      lost(failure_ ? Status(Error{Errc::kRuntimeError, *failure_})
                    : gather(std::as_bytes(std::span(&own, 1)), std::as_writable_bytes(std::span(records)))));
  stop_agreed_ = std::ranges::any_of(records, [](const Record& record) { return record.stop != 0; });
  const auto failed = std::ranges::find_if(records, [](const Record& record) { return record.failed != 0; });
  if (failed != records.end() && !mine.failed) {
    return Error{Errc::kRuntimeError, "process " + std::to_string(failed - records.begin()) + " failed at " +
                                          place_of(*failed) + "; its own output says why"};
  }
  if (failed == records.end()) WASMGRAD_CHECK(check_same_place(records, rank()));
  return agreement_of(records);
}

Status Collective::sum(std::span<float> values, Wire wire) {
  return values.empty() ? Status() : lost(add_up(values, wire));
}

Status Collective::copy_from_first(std::span<std::byte> bytes) {
  return bytes.empty() ? Status() : lost(copy_first(bytes));
}

Status Collective::lost(const Status& status) {
  if (status) return {};
  if (!failure_) {
    failure_ = "process " + std::to_string(rank()) + " lost another of the " + std::to_string(size()) +
               " at " + name_of(static_cast<std::int64_t>(last_.operation)) + " after step " +
               std::to_string(last_.step) + ": " + status.error().message;
  }
  return Error{Errc::kInterrupted, *failure_};
}

}  // namespace wasmgrad::training
