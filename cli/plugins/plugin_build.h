#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace levin {

/// Says with what a plugin, or Levin itself, was built. A plugin contains one, which is compared
/// with Levin's own before any code of the plugin runs: classes of other versions may lie in memory
/// in another way.
struct PluginBuild {
  /// Marks the beginning of the record in a file.
  std::array<char, 24> mark{};
  /// The versions of Levin and LibTorch, "0.1.0", and the C++ standard library, each ended by a 0.
  std::array<char, 16> levin{};
  std::array<char, 24> torch{};
  std::array<char, 24> standard_library{};
  /// The sizes of the classes that plugins derive from, in bytes.
  std::array<uint32_t, 10> sizes{};

  bool operator==(const PluginBuild&) const = default;
};

/// The bytes with which every `PluginBuild` begins.
inline constexpr std::string_view kPluginMark = "\x7fLevin plugin build\x01";

/// The C++ standard library that this file is compiled with, and its kind of strings.
#if defined(_LIBCPP_VERSION)
inline constexpr std::string_view kStandardLibrary = "libc++";
#elif defined(_GLIBCXX_USE_CXX11_ABI) && _GLIBCXX_USE_CXX11_ABI
inline constexpr std::string_view kStandardLibrary = "libstdc++";
#else
inline constexpr std::string_view kStandardLibrary = "libstdc++, old strings";
#endif

/// Copies a text that is cut if it is too long, so that the last byte stays 0.
template <size_t N>
constexpr std::array<char, N> plugin_text(std::string_view text) {
  std::array<char, N> bytes{};
  std::copy_n(text.begin(), std::min(text.size(), N - 1), bytes.begin());
  return bytes;
}

constexpr PluginBuild make_plugin_build(std::string_view levin, std::string_view torch,
                                        std::array<uint32_t, 10> sizes) {
  return {plugin_text<24>(kPluginMark), plugin_text<16>(levin), plugin_text<24>(torch),
          plugin_text<24>(kStandardLibrary), sizes};
}

/// Returns "Levin 0.1.0, LibTorch 2.9.0, libstdc++".
std::string to_string(const PluginBuild& build);

}  // namespace levin
