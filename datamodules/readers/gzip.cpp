#include <levin/datamodules/readers/gzip.h>

#include <algorithm>
#include <limits>
#include <new>
#include <string>

#include <zlib.h>

#include <levin/datamodules/readers/bytes.h>
#include <levin/framework/core/counted.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/memory.h>

namespace levin::readers {
namespace {

constexpr int kGzipFormat = 15 + 16;

class Inflater {
 public:
  Inflater(std::span<const std::byte> input, std::string_view name) : rest_(input), name_(name) {
    if (inflateInit2(&stream_, kGzipFormat) != Z_OK) throw std::bad_alloc();
  }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  ~Inflater() { inflateEnd(&stream_); }

  /// Fills `out` as far as the stream goes and returns the bytes written.
  size_t fill(std::span<std::byte> out) {
    // zlib counts in 32 bits.
    constexpr size_t kStep = std::numeric_limits<uInt>::max() / 2;
    size_t written = 0;
    while (written < out.size() && !ended_) {
      const size_t in = std::min(rest_.size(), kStep);
      const size_t room = std::min(out.size() - written, kStep);
      stream_.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(rest_.data()));
      stream_.avail_in = static_cast<uInt>(in);
      stream_.next_out = reinterpret_cast<Bytef*>(out.data() + written);
      stream_.avail_out = static_cast<uInt>(room);
      const int status = ::inflate(&stream_, Z_NO_FLUSH);
      rest_ = rest_.subspan(in - stream_.avail_in);
      written += room - stream_.avail_out;
      ended_ = status == Z_STREAM_END;
      if (status == Z_MEM_ERROR) throw std::bad_alloc();
      if (status == Z_BUF_ERROR) {
        throw DataError::corrupt(
            name_, "its compressed data is truncated; copy or download the file again");
      }
      if (status != Z_OK && !ended_) {
        throw DataError::corrupt(name_,
                                 "its compressed data is damaged" +
                                     (stream_.msg ? " (" + std::string(stream_.msg) + ")" : "") +
                                     "; copy or download the file again");
      }
    }
    return written;
  }

  bool ended() const { return ended_; }
  std::span<const std::byte> rest() const { return rest_; }
  void next_member() {
    inflateReset(&stream_);
    ended_ = false;
  }

 private:
  z_stream stream_ = {};
  std::span<const std::byte> rest_;
  std::string_view name_;
  bool ended_ = false;
};

}  // namespace

bool is_gzip(std::span<const std::byte> bytes) {
  return bytes.size() >= 2 && bytes[0] == std::byte{0x1f} && bytes[1] == std::byte{0x8b};
}

Bytes gunzip(std::span<const std::byte> bytes, std::string_view name) {
  if (!is_gzip(bytes)) {
    throw DataError::corrupt(name,
                             "it isn't a gzip file, which starts with the bytes 1f 8b; check that "
                             "it is the right file");
  }
  // The last four bytes hold the size of the last member: right for most files, a hint for others.
  const uint64_t hint = bytes.size() < 18 ? 0 : load_little(bytes, bytes.size() - 4, 4);
  const uint64_t likely = hint <= bytes.size() * kMostInflated ? hint : 0;
  Bytes out;
  grow(out, std::max<uint64_t>({likely, bytes.size(), 64}) + 1, name);  // + 1 shows the end
  size_t size = 0;
  Inflater inflater(bytes, name);
  while (true) {
    if (size == out.size()) {
      const uint64_t twice = std::min<uint64_t>(out.size() * 2, physical_memory());
      grow(out, std::max<uint64_t>(out.size() + 1, twice), name);
    }
    size += inflater.fill(std::span(out).subspan(size));
    if (!inflater.ended()) continue;
    const auto rest = inflater.rest();
    const bool padding =
        std::all_of(rest.begin(), rest.end(), [](std::byte byte) { return byte == std::byte{0}; });
    if (padding) break;
    if (!is_gzip(rest)) {
      throw DataError::corrupt(name, "its compressed data ends " + counted(rest.size(), "byte") +
                                         " before the file does; copy or download the file again");
    }
    inflater.next_member();
  }
  out.resize(size);
  return out;
}

uint32_t crc32(std::span<const std::byte> bytes, uint32_t crc) {
  if (bytes.empty()) return crc;  // zlib takes a null pointer as a request for the start value
  return static_cast<uint32_t>(
      ::crc32_z(crc, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

}  // namespace levin::readers
