// A directory of files that can be made again, kept from growing without limit: the last access of a file
// says how recently it was of use. Several processes may do this at once. Private to sandbox/.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

namespace wasmgrad::sandbox {

/// Sets the last access to now, whatever the file system is told about access times.
void mark_used(const std::filesystem::path& file) noexcept;

/// Removes files whose names end in `suffix`, those that have not been used for longest, until the others
/// have at most `max_bytes` together. What cannot be removed stays.
void keep_recent(const std::filesystem::path& directory, std::string_view suffix, std::uint64_t max_bytes);

}  // namespace wasmgrad::sandbox
