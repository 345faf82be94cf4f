// How deep torch recurses when it compiles a unit and, from within it, the units that it names.
#include <algorithm>
#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "wasmgrad/training/torch/vet/source.hpp"

namespace wasmgrad::training::vet {
namespace {

/// For each unit, the other units that it names. A name may go on behind a unit
/// ("module.function.attribute").
Expected<std::vector<std::vector<std::size_t>>> resolve(const std::vector<CodeUnit>& units) {
  std::map<std::string_view, std::size_t> index;
  for (std::size_t i = 0; i < units.size(); ++i) {
    if (!index.emplace(units[i].name, i).second) {
      return Error{Errc::kInvalidEncoding, "code: '" + units[i].name + "' is defined twice"};
    }
  }
  std::vector<std::vector<std::size_t>> edges(units.size());
  for (std::size_t i = 0; i < units.size(); ++i) {
    for (const std::string& reference : units[i].references) {
      std::string_view name = reference;
      auto found = index.find(name);
      while (found == index.end()) {
        const std::size_t dot = name.rfind('.');
        if (dot == std::string_view::npos) {
          return Error{Errc::kInvalidEncoding, "code: '" + units[i].name + "' names '" + reference +
                                                   "', which the archive does not define"};
        }
        name = name.substr(0, dot);
        found = index.find(name);
      }
      if (found->second != i) edges[i].push_back(found->second);
    }
    std::ranges::sort(edges[i]);
    const auto repeated = std::ranges::unique(edges[i]);
    edges[i].erase(repeated.begin(), repeated.end());
  }
  return edges;
}

}  // namespace

Status check_references(const std::vector<CodeUnit>& units, std::uint64_t max_depth) {
  WASMGRAD_ASSIGN(const auto edges, resolve(units));
  // Peel off units whose references are all measured: what is left over at the end refers to itself in a
  // circle.
  std::vector<std::vector<std::size_t>> users(units.size());
  std::vector<std::size_t> open(units.size());
  std::vector<std::uint64_t> depth(units.size(), 1);
  std::vector<std::size_t> ready;
  for (std::size_t i = 0; i < units.size(); ++i) {
    open[i] = edges[i].size();
    if (open[i] == 0) ready.push_back(i);
    for (const std::size_t used : edges[i]) users[used].push_back(i);
  }
  for (std::size_t done = 0; done < ready.size(); ++done) {
    const std::size_t unit = ready[done];
    if (depth[unit] > max_depth) {
      return Error{Errc::kTooLarge, "code: '" + units[unit].name +
                                        "' names other definitions through more than " +
                                        std::to_string(max_depth) + " steps"};
    }
    for (const std::size_t user : users[unit]) {
      depth[user] = std::max(depth[user], depth[unit] + 1);
      if (--open[user] == 0) ready.push_back(user);
    }
  }
  if (ready.size() == units.size()) return {};
  const auto circular = std::ranges::find_if(open, [](std::size_t count) { return count != 0; });
  return Error{Errc::kInvalidEncoding, "code: '" +
                                           units[static_cast<std::size_t>(circular - open.begin())].name +
                                           "' is part of a circle of definitions that name each other"};
}

}  // namespace wasmgrad::training::vet
