#include <levin/datamodules/tables/murmur.h>

#include <bit>
#include <cstddef>

namespace levin::tables {
namespace {

uint32_t scrambled(uint32_t word) { return std::rotl(word * 0xcc9e2d51U, 15) * 0x1b873593U; }

/// The `count` bytes at `at`, at most 4, least significant byte first.
uint32_t little_word(std::string_view text, size_t at, size_t count) {
  uint32_t word = 0;
  for (size_t i = 0; i < count; ++i) {
    word |= static_cast<uint32_t>(static_cast<unsigned char>(text[at + i])) << (8 * i);
  }
  return word;
}

}  // namespace

uint32_t murmur3_32(std::string_view text, uint32_t seed) {
  uint32_t hash = seed;
  const size_t whole = text.size() / 4 * 4;
  for (size_t at = 0; at < whole; at += 4) {
    hash = std::rotl(hash ^ scrambled(little_word(text, at, 4)), 13) * 5 + 0xe6546b64U;
  }
  if (whole < text.size()) hash ^= scrambled(little_word(text, whole, text.size() - whole));
  hash ^= static_cast<uint32_t>(text.size());
  hash = (hash ^ (hash >> 16)) * 0x85ebca6bU;
  hash = (hash ^ (hash >> 13)) * 0xc2b2ae35U;
  return hash ^ (hash >> 16);
}

int64_t hashed_place(std::string_view text, int64_t columns) {
  const int64_t hash = static_cast<int32_t>(murmur3_32(text));
  return (hash < 0 ? -hash : hash) % columns;
}

}  // namespace levin::tables
