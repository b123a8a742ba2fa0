#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace levin::readers {

/// A regular file in a tar archive.
struct TarEntry {
  /// The path as the archive has it, without a "./" at its start.
  std::string path;
  /// A view of the archive's bytes.
  std::span<const std::byte> bytes;
};

/// Lists the regular files of an archive that is in memory, uncompressed, in their order. Folders,
/// links and other members are left out. `name` is what errors call the archive. Throws
/// DataError::corrupt for a header with a wrong checksum or size, and if the archive ends within a
/// member. Source: POSIX.1-1988 (ustar), and GNU's and pax's long names.
///
///     const auto bytes = gunzip(read_file("cifar-10-binary.tar.gz"), "cifar-10-binary.tar.gz");
///     for (const auto& [path, file] : tar_entries(bytes, "cifar-10-binary.tar.gz")) use(file);
std::vector<TarEntry> tar_entries(std::span<const std::byte> bytes, std::string_view name);

}  // namespace levin::readers
