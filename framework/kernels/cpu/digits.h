#pragma once

// Floats as integers of three digits, for the matrix unit of x86 processors (AMX), which multiplies
// bytes. Only amx.cpp and byte_products.h include this file.
//
// A float v is rounded to a whole number q of units, of which the largest float of its class has
// 8,355,000, so that q keeps the 24 bits that the largest float has. Then
//   q = digit 0 + 256 * digit 1 + 65,536 * digit 2
// with digits in [-128, 127]. Sums of products of digits and bytes are exact. Each class of a group
// has a lane in vectors, and three columns or rows in tiles, one for each digit: digit d of class c
// is number d * n + c of a group of n classes.
#include <levin/framework/kernels/cpu/layout.h>
#include <levin/framework/kernels/cpu/vectors.h>

namespace levin::kernels {
namespace {

// The intrinsics without a mask make gcc 12 warn about its own headers.
constexpr __mmask16 kAllLanes = 0xFFFF;
constexpr __mmask64 kAllBytes = ~__mmask64{0};

// A mask of the first `count` of 16 lanes, or of 64 bytes; of all if `count` is larger.
inline __mmask16 first_lanes(int64_t count) {
  return static_cast<__mmask16>(count >= 16 ? 0xFFFF : (1 << count) - 1);
}
inline __mmask64 first_bytes(int64_t count) {
  return count >= 64 ? kAllBytes : (__mmask64{1} << count) - 1;
}

inline Vector load(const float* from, __mmask16 lanes) {
  return (Vector)_mm512_maskz_loadu_ps(lanes, from);
}
inline void store(float* to, __mmask16 lanes, Vector value) {
  _mm512_mask_storeu_ps(to, lanes, (__m512)value);
}
inline Integers load_integers(const int32_t* from) {
  return (Integers)_mm512_maskz_loadu_epi32(kAllLanes, from);
}
inline void store_integers(int32_t* to, Integers value) {
  _mm512_mask_storeu_epi32(to, kAllLanes, (__m512i)value);
}

// The magnitudes of floats as integers, which are in the same order; NaN is above infinity.
inline Integers magnitudes(Vector values) { return (Integers)values & 0x7FFFFFFF; }
inline Integers larger(Integers a, Integers b) { return a < b ? b : a; }
constexpr int32_t kInfinity = 0x7F800000;

// In each lane, what a unit is, and how many of them make 1, if `largest` is the largest magnitude.
// Numbers below 1e-30 are taken as 0. Infinity and NaN make the unit such that every product is
// NaN.
struct Units {
  Vector unit;
  Vector per_unit;

  explicit Units(Integers largest) {
    constexpr float kMost = 8'355'000.0F;  // below 127 * (1 + 256 + 65,536)
    const auto numbers = (Vector)largest;
    unit = numbers / kMost;
    per_unit = numbers < 1e-30F ? Vector{} : kMost / numbers;
  }
};

// The digits of 16 floats, each in the lowest byte of a lane; what is above it is to be ignored.
struct Digits {
  Integers digit[3];

  Digits(Vector values, Vector per_unit) {
    const auto scaled = (__m512)(values * per_unit);
    digit[0] = (Integers)_mm512_maskz_cvtps_epi32(kAllLanes, scaled);  // to the nearest integer
    digit[1] = (digit[0] + 128) >> 8;
    digit[2] = (digit[1] + 128) >> 8;
  }
};

// The numbers, in units, whose three digits were multiplied separately.
inline Vector joined(Integers of_digit_0, Integers of_digit_1, Integers of_digit_2) {
  Vector sum = __builtin_convertvector(of_digit_2, Vector);
  sum = sum * 256.0F + __builtin_convertvector(of_digit_1, Vector);
  return sum * 256.0F + __builtin_convertvector(of_digit_0, Vector);
}

// Writes the digits of the weights of `count` classes, [count, features], as tiles for the right
// side of a product: for each 64 features two tiles, in which row i has features 4 i to 4 i + 3 of
// each column. Writes the units to lanes of `units`. Returns false if a weight is infinite or NaN.
bool write_weight_tiles(const float* weight, int64_t features, int64_t count, int8_t* tiles,
                        float* units) {
  for (int64_t i = 0; i < byte_width(features) * kColumnsOfGroup; ++i) tiles[i] = 0;
  bool is_finite = true;
  for (int64_t c = 0; c < count; ++c) {
    const float* row = weight + c * features;
    Integers most = {};
    for (int64_t i = 0; i < features; i += kLanes) {
      most = larger(most, magnitudes(load(row + i, first_lanes(features - i))));
    }
    int32_t largest = 0;
    for (int lane = 0; lane < kLanes; ++lane) largest = most[lane] > largest ? most[lane] : largest;
    is_finite = is_finite && largest < kInfinity;
    const Units of_class(Integers{} + largest);
    units[c] = of_class.unit[0];
    for (int64_t i = 0; i < features; i += kLanes) {
      const Digits digits(load(row + i, first_lanes(features - i)), of_class.per_unit);
      for (int64_t d = 0; d < 3; ++d) {
        int32_t fours[4];  // each has the digits of four features
        _mm_storeu_si128(reinterpret_cast<__m128i*>(fours),
                         _mm512_maskz_cvtepi32_epi8(kAllLanes, (__m512i)digits.digit[d]));
        const int64_t column = d * count + c;
        int8_t* to = tiles + i / kTileBytes * 2 * kTileSize + column / kTileRows * kTileSize +
                     i % kTileBytes / 4 * kTileBytes + column % kTileRows * 4;
        for (int64_t k = 0; k < 4; ++k) __builtin_memcpy(to + k * kTileBytes, fours + k, 4);
      }
    }
  }
  return is_finite;
}

// Writes the digits of the gradient of `count` classes, the first columns of [rows, stride], as
// tiles for the left side of a product: for each 64 rows two tiles, whose columns are rows of the
// gradient. The rows are filled up with zeros. Returns the units, a lane for each class.
Vector write_gradient_tiles(const float* gradient, int64_t rows, int64_t stride, int64_t count,
                            int8_t* tiles) {
  const __mmask16 lanes = first_lanes(count);
  Integers most = {};
  for (int64_t r = 0; r < rows; ++r) {
    most = larger(most, magnitudes(load(gradient + r * stride, lanes)));
  }
  const Units units(most);
  for (int64_t r = 0; r < tile_rows(rows); r += 4) {
    Integers fours[3] = {};  // of each digit; a lane has a class's digits of four rows
    for (int64_t k = 0; k < 4 && r + k < rows; ++k) {
      const Digits digits(load(gradient + (r + k) * stride, lanes), units.per_unit);
      for (int64_t d = 0; d < 3; ++d) fours[d] |= (digits.digit[d] & 255) << (8 * k);
    }
    int8_t* to = tiles + r / kTileBytes * 2 * kTileSize + r % kTileBytes;
    for (int64_t d = 0; d < 3; ++d) {
      int32_t of_classes[kLanes];
      store_integers(of_classes, fours[d]);
      for (int64_t c = 0; c < count; ++c) {
        __builtin_memcpy(to + (d * count + c) * kTileBytes, of_classes + c, 4);
      }
    }
  }
  return units.unit;
}

}  // namespace
}  // namespace levin::kernels
