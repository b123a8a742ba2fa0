#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <random>
#include <string>

#include <levin/framework/core/value.h>

namespace levin::test {

/// Equal to the bit, NaN included.
inline bool same(const Value& a, const Value& b) {
  if (a.is_double() && b.is_double()) {
    return std::bit_cast<uint64_t>(a.as_double()) == std::bit_cast<uint64_t>(b.as_double());
  }
  if (a.is_array() && b.is_array()) {
    return std::equal(a.as_array().begin(), a.as_array().end(), b.as_array().begin(),
                      b.as_array().end(), same);
  }
  if (a.is_object() && b.is_object()) {
    return std::equal(a.as_object().begin(), a.as_object().end(), b.as_object().begin(),
                      b.as_object().end(), [](const auto& x, const auto& y) {
                        return x.first == y.first && same(x.second, y.second);
                      });
  }
  return a == b;
}

inline double from_bits(uint64_t bits) { return std::bit_cast<double>(bits); }

inline std::string any_bytes(std::mt19937_64& random, size_t most) {
  std::string text(random() % (most + 1), '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

/// Text in UTF-8 of characters from anywhere below the surrogates.
inline std::string any_text(std::mt19937_64& random, size_t most) {
  std::string text;
  for (size_t left = random() % (most + 1); left > 0; --left) {
    const auto code = static_cast<unsigned>(random() % (random() % 2 == 0 ? 0x80 : 0xd800));
    const auto tail = [&](unsigned shift) {
      return static_cast<char>(0x80 | ((code >> shift) & 0x3f));
    };
    if (code < 0x80) {
      text += static_cast<char>(code);
    } else if (code < 0x800) {
      text += {static_cast<char>(0xc0 | (code >> 6)), tail(0)};
    } else {
      text += {static_cast<char>(0xe0 | (code >> 12)), tail(6), tail(0)};
    }
  }
  return text;
}

using MakeText = std::string (*)(std::mt19937_64&, size_t);

inline Value any_value(std::mt19937_64& random, int depth, MakeText text) {
  switch (random() % (depth > 0 ? 8 : 6)) {
    case 0:
      return {};
    case 1:
      return random() % 2 == 0;
    case 2:
      return static_cast<int64_t>(random());
    case 3:
      return from_bits(random());
    case 4:
      return static_cast<double>(random() % 1000) / 8;
    case 5:
      return text(random, 12);
    case 6: {
      Value::Array array;
      for (auto left = random() % 4; left > 0; --left) {
        array.push_back(any_value(random, depth - 1, text));
      }
      return array;
    }
    default: {
      Value::Object object;
      for (auto left = random() % 4; left > 0; --left) {
        object.emplace(text(random, 6), any_value(random, depth - 1, text));
      }
      return object;
    }
  }
}

}  // namespace levin::test
