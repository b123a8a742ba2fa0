#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

/// The wire format of Protocol Buffers, as far as writing a message takes it. Each function appends
/// one field to `out`; a message inside a message is built first and appended with `bytes`.
///
///     std::string event;
///     protobuf::fixed64(event, 1, wall_time);      // double wall_time = 1;
///     protobuf::varint(event, 2, step);            // int64 step = 2;
///     protobuf::bytes(event, 3, "brain.Event:2");  // string file_version = 3;
///
/// Source: https://protobuf.dev/programming-guides/encoding.
namespace levin::protobuf {

static_assert(std::endian::native == std::endian::little, "numbers are copied as they lie");

/// Appends a number in groups of 7 bits, without a field's number.
inline void raw_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>((value & 0x7F) | 0x80);
  out += static_cast<char>(value);
}

/// Appends a number's bytes as they lie in memory.
template <class T>
void raw(std::string& out, T value) {
  char buffer[sizeof(T)];
  std::memcpy(buffer, &value, sizeof(T));
  out.append(buffer, sizeof(T));
}

/// A field of type int64, uint64, bool or an enumeration.
inline void varint(std::string& out, uint32_t field, int64_t value) {
  raw_varint(out, uint64_t{field} << 3);
  raw_varint(out, static_cast<uint64_t>(value));
}
/// A field of type double.
inline void fixed64(std::string& out, uint32_t field, double value) {
  raw_varint(out, uint64_t{field} << 3 | 1);
  raw(out, value);
}
/// A field of type float.
inline void fixed32(std::string& out, uint32_t field, float value) {
  raw_varint(out, uint64_t{field} << 3 | 5);
  raw(out, value);
}
/// A field of type string, bytes, a message or packed numbers.
inline void bytes(std::string& out, uint32_t field, std::string_view value) {
  raw_varint(out, uint64_t{field} << 3 | 2);
  raw_varint(out, value.size());
  out += value;
}

}  // namespace levin::protobuf
