#include <levin/datamodules/readers/tar.h>

#include <algorithm>
#include <cstdint>

#include <fmt/format.h>

#include <levin/datamodules/readers/bytes.h>
#include <levin/framework/core/error.h>

namespace levin::readers {
namespace {

constexpr size_t kTarBlock = 512;
/// Paths and records of pax headers that are longer than this aren't those of any real archive.
constexpr uint64_t kMostTarText = 1 << 20;

using TarBlock = std::span<const std::byte>;

/// The text of a field, which ends at its first zero or at its end.
std::string tar_text(TarBlock block, size_t offset, size_t width) {
  std::string text;
  for (const std::byte byte : block.subspan(offset, width)) {
    if (byte == std::byte{0}) break;
    text += static_cast<char>(byte);
  }
  return text;
}

/// The number of a field: octal digits among spaces, or, if the first bit is set, a number of
/// base 256. Nothing if it is neither.
std::optional<uint64_t> tar_number(TarBlock block, size_t offset, size_t width) {
  const auto field = block.subspan(offset, width);
  if (std::to_integer<unsigned>(field[0]) == 0x80U) return load_big(field, width - 8, 8);
  uint64_t value = 0;
  bool has_ended = false;
  for (const std::byte byte : field) {
    const char c = static_cast<char>(byte);
    if (c == ' ' && value == 0) continue;
    if (c == '\0' || c == ' ') {
      has_ended = true;
    } else if (c < '0' || c > '7' || has_ended) {
      return {};
    } else {
      value = value * 8 + static_cast<uint64_t>(c - '0');
    }
  }
  return value;
}

bool has_tar_checksum(TarBlock block) {
  constexpr size_t kOffset = 148;
  constexpr size_t kWidth = 8;
  uint64_t sum = 0;
  for (size_t i = 0; i < kTarBlock; ++i) {
    const bool is_checksum = i >= kOffset && i < kOffset + kWidth;
    sum += is_checksum ? uint64_t{' '} : std::to_integer<uint64_t>(block[i]);
  }
  return tar_number(block, kOffset, kWidth) == sum;
}

std::string tar_path(TarBlock block) {
  const std::string name = tar_text(block, 0, 100);
  const std::string prefix = tar_text(block, 257, 5) == "ustar" ? tar_text(block, 345, 155) : "";
  return prefix.empty() ? name : prefix + "/" + name;
}

/// The path that a pax header gives the member after it; empty if it gives none. Its records are
/// "LENGTH path=VALUE\n".
std::string pax_path(std::string_view records) {
  std::string path;
  while (!records.empty()) {
    size_t length = 0;
    size_t digits = 0;
    while (digits < records.size() && digits < 7 && records[digits] >= '0' &&
           records[digits] <= '9') {
      length = length * 10 + static_cast<size_t>(records[digits++] - '0');
    }
    if (length <= digits + 1 || length > records.size()) break;
    const auto record = records.substr(digits + 1, length - digits - 2);
    if (record.starts_with("path=")) path = record.substr(5);
    records.remove_prefix(length);
  }
  return path;
}

}  // namespace

std::vector<TarEntry> tar_entries(std::span<const std::byte> bytes, std::string_view name) {
  const auto corrupt = [&](size_t at, std::string_view fault) {
    return DataError::corrupt(std::string(name), fmt::format("{} at byte {}", fault, at));
  };
  std::vector<TarEntry> entries;
  std::string long_path;  // of the next member
  size_t at = 0;
  while (at < bytes.size()) {
    if (bytes.size() - at < kTarBlock) throw corrupt(at, "the tar archive ends within a header");
    const auto block = bytes.subspan(at, kTarBlock);
    const bool is_end =
        std::all_of(block.begin(), block.end(), [](std::byte b) { return b == std::byte{0}; });
    if (is_end) break;
    if (!has_tar_checksum(block)) {
      throw corrupt(at, "the header of a tar archive's member has a wrong checksum");
    }
    const auto size = tar_number(block, 124, 12);
    at += kTarBlock;
    if (!size || *size > bytes.size() - at) {
      throw corrupt(at - kTarBlock, "the tar archive ends within the member whose header is");
    }
    const auto content = bytes.subspan(at, *size);
    at += std::min(rounded_up(*size, kTarBlock), bytes.size() - at);
    const char type = static_cast<char>(block[156]);
    if (type == 'L' || type == 'x') {
      if (*size > kMostTarText) throw corrupt(at, "a member's path is longer than 1 MiB");
      const std::string_view text(reinterpret_cast<const char*>(content.data()), content.size());
      long_path = type == 'L' ? std::string(text.substr(0, text.find('\0'))) : pax_path(text);
      continue;
    }
    auto path = long_path.empty() ? tar_path(block) : long_path;
    long_path.clear();
    if (type != '0' && type != '\0') continue;
    if (path.starts_with("./")) path.erase(0, 2);
    entries.push_back({std::move(path), content});
  }
  return entries;
}

}  // namespace levin::readers
