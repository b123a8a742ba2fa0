#include <levin/datamodules/readers/murmur_hash.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <string>

#include <levin/framework/core/error.h>

namespace levin::readers {
namespace {

uint32_t mixed_block(uint32_t block) { return std::rotl(block * 0xcc9e2d51U, 15) * 0x1b873593U; }

uint32_t checked_mask(int64_t bits) {
  if (bits >= 1 && bits <= 30) return (uint32_t{1} << bits) - 1;
  throw ConfigError::invalid_value("bits", std::to_string(bits), "must be from 1 to 30");
}

}  // namespace

uint32_t murmur_hash(std::string_view text, uint32_t seed) {
  uint32_t hash = seed;
  const size_t whole = text.size() / 4 * 4;
  for (size_t at = 0; at < whole; at += 4) {
    uint32_t block = 0;
    std::memcpy(&block, text.data() + at, 4);
    hash = std::rotl(hash ^ mixed_block(block), 13) * 5 + 0xe6546b64U;
  }
  uint32_t rest = 0;
  for (size_t at = text.size(); at > whole; --at) {
    rest = rest << 8 | static_cast<unsigned char>(text[at - 1]);
  }
  if (whole < text.size()) hash ^= mixed_block(rest);
  hash ^= static_cast<uint32_t>(text.size());
  hash = (hash ^ hash >> 16) * 0x85ebca6bU;
  hash = (hash ^ hash >> 13) * 0xc2b2ae35U;
  return hash ^ hash >> 16;
}

FeatureHash::FeatureHash(int64_t bits, uint32_t seed, bool hash_all)
    : mask_(checked_mask(bits)), seed_(seed), hash_all_(hash_all) {}

uint32_t FeatureHash::hash(std::string_view name, uint32_t seed) const {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  if (hash_all_ || !std::all_of(name.begin(), name.end(), is_digit)) {
    return murmur_hash(name, seed);
  }
  uint32_t number = 0;
  for (const char c : name) number = number * 10 + static_cast<uint32_t>(c - '0');
  return number + seed;
}

}  // namespace levin::readers
