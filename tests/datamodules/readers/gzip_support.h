#pragma once

#include <malloc.h>
#include <zlib.h>

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

namespace levin::test {

/// A gzip file of one member with this text.
inline std::string gzipped(std::string_view text) {
  z_stream stream = {};
  if (deflateInit2(&stream, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
    throw std::runtime_error("zlib has no memory");
  }
  std::string out(deflateBound(&stream, static_cast<uLong>(text.size())), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int status = deflate(&stream, Z_FINISH);
  out.resize(out.size() - stream.avail_out);
  deflateEnd(&stream);
  if (status != Z_STREAM_END) throw std::runtime_error("zlib didn't compress the text");
  return out;
}

/// The same with a member for each `member_bytes` of the text, as pigz and bgzip write them, an
/// empty one at the end, as bgzip does, and zeros behind it, as on tapes.
inline std::string gzipped_in_members(std::string_view text, size_t member_bytes) {
  std::string out;
  for (size_t at = 0; at < text.size(); at += member_bytes) {
    out += gzipped(text.substr(at, member_bytes));
  }
  return out + gzipped("") + std::string(100, '\0');
}

/// The bytes that this process has allocated and not freed; 0 under a sanitizer, which has an
/// allocator of its own.
inline int64_t bytes_alive() {
  const auto info = mallinfo2();
  return static_cast<int64_t>(info.uordblks) + static_cast<int64_t>(info.hblkhd);
}

}  // namespace levin::test
