#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

namespace levin::readers {

/// The digits at the front of a text: how many there are, at most 8, and the number they form.
struct DigitRun {
  uint32_t number = 0;
  unsigned count = 0;
};

/// Reads the digits at `at`, of which 8 bytes must be readable, all at a time. If there are 8, more
/// may follow.
inline DigitRun digit_run(const char* at) {
  if constexpr (std::endian::native != std::endian::little) {
    DigitRun run;
    for (; run.count < 8; ++run.count) {
      const auto digit = static_cast<uint32_t>(static_cast<unsigned char>(at[run.count])) - '0';
      if (digit > 9) break;
      run.number = run.number * 10 + digit;
    }
    return run;
  }
  uint64_t bytes = 0;
  std::memcpy(&bytes, at, sizeof(bytes));
  bytes ^= 0x3030303030303030U;  // a digit becomes its number, other bytes become more than 9
  // The highest bit of the first byte above 9, and of none before it.
  const uint64_t others = ((bytes + 0x7676767676767676U) | bytes) & 0x8080808080808080U;
  unsigned count = 8;
  if (others != 0) {
    count = static_cast<unsigned>(std::countr_zero(others)) / 8;
    bytes = bytes << 8 << (56 - 8 * count);  // what follows falls out; zeros come in front
  }
  bytes = bytes * 10 + (bytes >> 8);  // pairs of digits, in every second byte
  constexpr uint64_t kPairs = 0x000000FF000000FFU;
  const uint64_t number = (bytes & kPairs) * (100 + (uint64_t{1000000} << 32)) +
                          (bytes >> 16 & kPairs) * (1 + (uint64_t{10000} << 32));
  return {static_cast<uint32_t>(number >> 32), count};
}

}  // namespace levin::readers
