#pragma once

// The two matrix products of a linear layer for a block of rows of bytes, on the matrix unit of x86
// processors (AMX). Its registers are tiles of 16 rows of 64 bytes; an instruction multiplies two
// of them and adds the products, in groups of four, to 16 x 16 integers. Only amx.cpp includes this
// file.
#include <levin/framework/kernels/cpu/digits.h>
#include <levin/framework/kernels/cpu/rows.h>

namespace levin::kernels {
namespace {

// The sizes of a pass over rows of bytes.
struct ByteShape {
  int64_t classes;
  int64_t features;
  int64_t stride;  // from one row of logits, or of their gradient, to the next, in floats

  int64_t groups() const { return class_groups(classes); }
  int64_t count_of(int64_t group) const {
    return smaller(kClassesOfGroup, classes - group * kClassesOfGroup);
  }
};

// Makes the tiles of this thread usable, all with 16 rows of 64 bytes, while it exists.
class Tiles {
 public:
  Tiles() {
    alignas(64) uint8_t form[64] = {1};  // the palette; then two reserved parts, widths and heights
    for (int tile = 0; tile < 8; ++tile) {
      form[16 + 2 * tile] = kTileBytes;
      form[48 + tile] = kTileRows;
    }
    written();
    _tile_loadconfig(form);
  }
  ~Tiles() { _tile_release(); }
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;

  // Makes what was written to memory visible to the loads of tiles, of which gcc 12 doesn't know
  // that they read it.
  static void written() { asm volatile("" ::: "memory"); }
};

// The memory that the products need.
struct ByteRoom {
  uint8_t* rows;         // kRowsOfProduct rows of byte_width(features)
  uint8_t* interleaved;  // 64 columns of a block
  int8_t* gradient;      // the tiles of the gradient of all groups
  int32_t* sums;         // four times two tiles of sums, and a vector behind them

  ByteRoom(const ByteShape& shape, Scratch& scratch) {
    const auto bytes = [&](int64_t size) { return scratch.take(size / 4); };
    rows = reinterpret_cast<uint8_t*>(bytes(kRowsOfProduct * byte_width(shape.features)));
    interleaved = reinterpret_cast<uint8_t*>(bytes(kMostByteRows * kTileBytes));
    gradient = reinterpret_cast<int8_t*>(bytes(shape.groups() * kMostByteRows * kColumnsOfGroup));
    sums = reinterpret_cast<int32_t*>(scratch.take(kSumsOfProducts));
  }
};

inline __m512i load_bytes(const uint8_t* row, int64_t from, int64_t features) {
  return _mm512_maskz_loadu_epi8(first_bytes(features - from), row + from);
}

// Multiplies two tiles of rows, in tiles 4 and 5, with two tiles of columns, in 6 and 7, and adds
// the products to the tiles 0 to 3. kIsLeft says on which side the bytes without a sign are.
template <bool kIsLeft>
inline void multiply_tiles() {
  if constexpr (kIsLeft) {
    _tile_dpbusd(0, 4, 6);
    _tile_dpbusd(1, 4, 7);
    _tile_dpbusd(2, 5, 6);
    _tile_dpbusd(3, 5, 7);
  } else {
    _tile_dpbsud(0, 4, 6);
    _tile_dpbsud(1, 4, 7);
    _tile_dpbsud(2, 5, 6);
    _tile_dpbsud(3, 5, 7);
  }
}

inline void clear_sums() {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
}

// Writes the tiles 0 to 3: those of the first rows, 0 and 1, to the first 16 rows. `stride` and
// `next`: from one row to the next, and from the first columns to the second, in integers.
inline void store_sums(int32_t* sums, int64_t stride, int64_t next) {
  _tile_stored(0, sums, stride * 4);
  _tile_stored(1, sums + next, stride * 4);
  _tile_stored(2, sums + kTileRows * stride, stride * 4);
  _tile_stored(3, sums + kTileRows * stride + next, stride * 4);
}

// Writes the products of the rows with the weights, which are in tiles, of all classes to `z`.
void set_byte_logits(const uint8_t* const* x, int64_t rows, const int8_t* weight,
                     const float* units, const ByteShape& shape, const ByteRoom& room, float* z) {
  const int64_t width = byte_width(shape.features);
  for (int64_t first = 0; first < rows; first += kRowsOfProduct) {
    const int64_t count = smaller(kRowsOfProduct, rows - first);
    for (int64_t r = 0; r < count; ++r) {
      for (int64_t i = 0; i < width; i += kTileBytes) {
        _mm512_mask_storeu_epi8(room.rows + r * width + i, kAllBytes,
                                load_bytes(x[first + r], i, shape.features));
      }
    }
    Tiles::written();
    for (int64_t group = 0; group < shape.groups(); ++group) {
      const int64_t classes = shape.count_of(group);
      const int8_t* columns = weight + group * width * kColumnsOfGroup;
      clear_sums();
      for (int64_t i = 0; i < width; i += kTileBytes, columns += 2 * kTileSize) {
        _tile_loadd(4, room.rows + i, width);
        _tile_loadd(5, room.rows + kTileRows * width + i, width);
        _tile_loadd(6, columns, kTileBytes);
        _tile_loadd(7, columns + kTileSize, kTileBytes);
        multiply_tiles</*kIsLeft=*/true>();
      }
      store_sums(room.sums, kColumnsOfGroup, kTileRows);
      const Vector unit = load(units + group * kLanes);
      float* to = z + first * shape.stride + group * kClassesOfGroup;
      for (int64_t r = 0; r < count; ++r, to += shape.stride) {
        const int32_t* sums = room.sums + r * kColumnsOfGroup;
        const Vector logits = joined(load_integers(sums), load_integers(sums + classes),
                                     load_integers(sums + 2 * classes));
        store(to, first_lanes(classes), logits * unit);
      }
    }
  }
}

// Writes 64 columns of the rows, from column `at` on, as tiles for the right side of a product:
// four tiles for each 64 rows, in which row i has rows 4 i to 4 i + 3 of each column. Tile j has
// columns 16 k + 4 j to 16 k + 4 j + 3 for each k, as the instructions leave them. Columns and rows
// that are missing are 0.
void interleave(const uint8_t* const* x, int64_t rows, int64_t at, int64_t features, Ahead& ahead,
                uint8_t* tiles) {
  const int64_t all = tile_rows(rows);
  for (int64_t r = 0; r < all; r += 4) {
    ahead.fetch_lines();
    __m512i row[4];
#pragma GCC unroll 4
    for (int64_t k = 0; k < 4; ++k) {
      row[k] = r + k < rows ? load_bytes(x[r + k], at, features) : (__m512i)Integers{};
    }
    const __m512i low_01 = _mm512_maskz_unpacklo_epi8(kAllBytes, row[0], row[1]);
    const __m512i high_01 = _mm512_maskz_unpackhi_epi8(kAllBytes, row[0], row[1]);
    const __m512i low_23 = _mm512_maskz_unpacklo_epi8(kAllBytes, row[2], row[3]);
    const __m512i high_23 = _mm512_maskz_unpackhi_epi8(kAllBytes, row[2], row[3]);
    constexpr __mmask32 kAllPairs = ~__mmask32{0};
    const __m512i tile_rows_of[4] = {_mm512_maskz_unpacklo_epi16(kAllPairs, low_01, low_23),
                                     _mm512_maskz_unpackhi_epi16(kAllPairs, low_01, low_23),
                                     _mm512_maskz_unpacklo_epi16(kAllPairs, high_01, high_23),
                                     _mm512_maskz_unpackhi_epi16(kAllPairs, high_01, high_23)};
#pragma GCC unroll 4
    for (int64_t j = 0; j < 4; ++j) {
      _mm512_mask_storeu_epi8(tiles + j * all * kTileRows + r * kTileRows, kAllBytes,
                              tile_rows_of[j]);
    }
  }
}

// Adds a class's sums for 64 columns, from column `at` on, to its gradient, each times `unit`.
// `sums` has the class's digit 0 for tile 0 of `interleave`; `next_digit` and `next_tile` lead to
// the others.
inline void add_columns(const int32_t* sums, int64_t next_digit, int64_t next_tile, float unit,
                        int64_t columns, float* gradient) {
  __m512 of_tile[4];
#pragma GCC unroll 4
  for (int64_t j = 0; j < 4; ++j) {
    const int32_t* digits = sums + j * next_tile;
    of_tile[j] = (__m512)(joined(load_integers(digits), load_integers(digits + next_digit),
                                 load_integers(digits + 2 * next_digit)) *
                          unit);
  }
  // Moves the fours of columns to their places.
  const __m512 a = _mm512_maskz_shuffle_f32x4(kAllLanes, of_tile[0], of_tile[1], 0x44);
  const __m512 b = _mm512_maskz_shuffle_f32x4(kAllLanes, of_tile[0], of_tile[1], 0xEE);
  const __m512 c = _mm512_maskz_shuffle_f32x4(kAllLanes, of_tile[2], of_tile[3], 0x44);
  const __m512 d = _mm512_maskz_shuffle_f32x4(kAllLanes, of_tile[2], of_tile[3], 0xEE);
  const __m512 in_order[4] = {_mm512_maskz_shuffle_f32x4(kAllLanes, a, c, 0x88),
                              _mm512_maskz_shuffle_f32x4(kAllLanes, a, c, 0xDD),
                              _mm512_maskz_shuffle_f32x4(kAllLanes, b, d, 0x88),
                              _mm512_maskz_shuffle_f32x4(kAllLanes, b, d, 0xDD)};
#pragma GCC unroll 4
  for (int64_t j = 0; j < 4; ++j) {
    const int64_t left = columns - j * kLanes;
    if (left <= 0) break;
    float* to = gradient + j * kLanes;
    store(to, first_lanes(left), load(to, first_lanes(left)) + (Vector)in_order[j]);
  }
}

// Adds `scale` times the gradient of all classes, of which `g` [rows, stride] is that of the
// logits, to `gradient` [classes, features].
void add_byte_gradient(const uint8_t* const* x, int64_t rows, const float* g, float scale,
                       const ByteShape& shape, const ByteRoom& room, Ahead& ahead,
                       float* gradient) {
  const int64_t all = tile_rows(rows);
  constexpr int64_t kTileOfSums = kColumnsOfGroup * kLanes;  // three digits of all classes
  float units[kMostByteGroups][kLanes];
  for (int64_t group = 0; group < shape.groups(); ++group) {
    const Vector unit =
        write_gradient_tiles(g + group * kClassesOfGroup, rows, shape.stride, shape.count_of(group),
                             room.gradient + group * all * kColumnsOfGroup);
    store(units[group], unit * scale);
  }
  for (int64_t at = 0; at < shape.features; at += kTileBytes) {
    interleave(x, rows, at, shape.features, ahead, room.interleaved);
    Tiles::written();
    for (int64_t group = 0; group < shape.groups(); ++group) {
      const int8_t* of_group = room.gradient + group * all * kColumnsOfGroup;
      for (int64_t j = 0; j < 4; j += 2) {
        clear_sums();
        for (int64_t r = 0; r < all; r += kTileBytes) {
          const uint8_t* columns = room.interleaved + (j * all + r) * kTileRows;
          _tile_loadd(4, of_group + r * kColumnsOfGroup, kTileBytes);
          _tile_loadd(5, of_group + r * kColumnsOfGroup + kTileSize, kTileBytes);
          _tile_loadd(6, columns, kTileBytes);
          _tile_loadd(7, columns + all * kTileRows, kTileBytes);
          multiply_tiles</*kIsLeft=*/false>();
        }
        store_sums(room.sums + j * kTileOfSums, kLanes, kTileOfSums);
      }
      const int64_t classes = shape.count_of(group);
      for (int64_t c = 0; c < classes; ++c) {
        float* to = gradient + (group * kClassesOfGroup + c) * shape.features + at;
        add_columns(room.sums + c * kLanes, classes * kLanes, kTileOfSums, units[group][c],
                    shape.features - at, to);
      }
    }
  }
}

}  // namespace
}  // namespace levin::kernels
