#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>

#include <levin/datamodules/convert.h>

// How `convert` writes sparse rows.
namespace levin {

/// Throws ConfigError for options that can't go with `sparse`.
void check_sparse_conversion(const ConvertOptions& options);

/// Reads the inputs once, in stretches of about 1 MiB, and writes their rows as shards into
/// `folder`, in the memory of a few stretches. A shard is put together as soon as it is full and it
/// is known what its header and its targets are: how many columns there are (of libsvm text without
/// num_features, that takes all lines), and whether targets of -1 are classes. `progress` and
/// errors are those of `convert`.
Converted write_sparse_shards(const ConvertOptions& options, const std::filesystem::path& folder,
                              const std::function<void(int64_t, int64_t)>& progress);

}  // namespace levin
