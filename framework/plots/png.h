#pragma once

#include <filesystem>
#include <string_view>

namespace levin {

/// Writes a drawing as a PNG that is twice as wide, in its light colours. The program rsvg-convert
/// of librsvg, which has to be in PATH, draws it; it is called without a shell. Throws ConfigError
/// if there is no such program, naming the package, and CheckpointError if it fails.
void write_png(const std::filesystem::path& path, std::string_view svg);

}  // namespace levin
