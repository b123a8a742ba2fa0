#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <levin/datamodules/readers/array.h>
#include <levin/framework/core/error.h>

#include "framework/temporary_folder.h"

namespace levin::test {

inline void write_text(const std::filesystem::path& path, std::string_view text) {
  std::ofstream(path, std::ios::binary) << text;
}

inline readers::Bytes to_bytes(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text.data(), text.size()));
  return {bytes.begin(), bytes.end()};
}

inline std::string to_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

inline std::string to_hex(std::span<const std::byte> bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  for (std::byte byte : bytes) {
    hex += kDigits[std::to_integer<unsigned>(byte) >> 4];
    hex += kDigits[std::to_integer<unsigned>(byte) & 15];
  }
  return hex;
}

inline readers::Bytes from_hex(const std::string& hex) {
  readers::Bytes bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<std::byte>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

/// tests/baselines/readers.json: files that Python wrote and what they hold.
inline const nlohmann::json& reader_baselines() {
  static const nlohmann::json json =
      nlohmann::json::parse(read_file(LEVIN_SOURCE_DIR "/tests/baselines/readers.json"));
  return json;
}

inline readers::Bytes file_of(const nlohmann::json& baseline) {
  return from_hex(baseline["file"].get<std::string>());
}

/// The baseline with this name; its absence fails the test.
inline const nlohmann::json& baseline(const std::string& group, const std::string& name) {
  for (const auto& item : reader_baselines()[group]) {
    if (item["name"] == name) return item;
  }
  throw std::runtime_error("no baseline " + group + "/" + name);
}

inline void expect_equal(const readers::Array& array, const nlohmann::json& expected) {
  EXPECT_EQ(readers::dtype_name(array.dtype), expected["dtype"].get<std::string>());
  EXPECT_EQ(array.shape, expected["shape"].get<std::vector<int64_t>>());
  EXPECT_EQ(to_hex(array.bytes), expected["elements"].get<std::string>());
}

/// Expects a DataError whose message has `part`.
inline void expect_data_error(const std::function<void()>& action, std::string_view part) {
  try {
    action();
    ADD_FAILURE() << "no error; expected one with: " << part;
  } catch (const DataError& error) {
    EXPECT_NE(std::string_view(error.what()).find(part), std::string_view::npos)
        << "message: " << error.what() << "\nexpected: " << part;
  }
}

/// Calls `parse` with every change of one byte and every cut of `file`. `parse` returns whether the
/// result is acceptable, or throws DataError; anything else fails. Returns how many were refused.
inline size_t refused_mutations(
    const readers::Bytes& file,
    const std::function<bool(const readers::Bytes& changed, const std::string& how)>& parse) {
  size_t refused = 0;
  const auto attempt = [&](const readers::Bytes& changed, const std::string& how) {
    try {
      EXPECT_TRUE(parse(changed, how)) << how;
    } catch (const DataError&) {
      ++refused;
    } catch (const std::exception& error) {
      ADD_FAILURE() << how << ": " << error.what();
    }
  };
  for (size_t at = 0; at < file.size(); ++at) {
    readers::Bytes changed = file;
    for (unsigned flip : {0x01u, 0x02u, 0x04u, 0x08u, 0x10u, 0x20u, 0x40u, 0x80u, 0xffu}) {
      changed[at] = file[at] ^ static_cast<std::byte>(flip);
      attempt(changed, "byte " + std::to_string(at) + " xor " + std::to_string(flip));
    }
    attempt({file.begin(), file.begin() + static_cast<std::ptrdiff_t>(at)},
            "cut after " + std::to_string(at) + " bytes");
  }
  return refused;
}

}  // namespace levin::test
