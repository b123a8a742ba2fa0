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
#include <levin/framework/core/small_letters.h>

namespace levin::readers {
namespace {

constexpr int kGzipFormat = 15 + 16;

[[noreturn]] void refuse_gzip(std::string_view name, const std::string& reason) {
  throw DataError::corrupt(name, reason + "; copy or download the file again");
}

}  // namespace

/// zlib's stream over the members of a file.
class Gunzip::Inflater {
 public:
  Inflater(std::span<const std::byte> input, std::string_view name) : rest_(input), name_(name) {
    if (inflateInit2(&stream_, kGzipFormat) != Z_OK) throw std::bad_alloc();
  }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  ~Inflater() { inflateEnd(&stream_); }

  /// Fills `out` as far as the members go and returns the bytes written.
  size_t fill(std::span<std::byte> out) {
    size_t written = 0;
    while (written < out.size() && !has_ended_) written += inflate_some(out.subspan(written));
    return written;
  }
  bool has_ended() const { return has_ended_; }
  size_t rest() const { return rest_.size(); }

 private:
  /// Makes one call of zlib, which counts in 32 bits.
  size_t inflate_some(std::span<std::byte> out) {
    constexpr size_t kStep = std::numeric_limits<uInt>::max() / 2;
    const size_t in = std::min(rest_.size(), kStep);
    const size_t room = std::min(out.size(), kStep);
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(rest_.data()));
    stream_.avail_in = static_cast<uInt>(in);
    stream_.next_out = reinterpret_cast<Bytef*>(out.data());
    stream_.avail_out = static_cast<uInt>(room);
    const int status = ::inflate(&stream_, Z_NO_FLUSH);
    rest_ = rest_.subspan(in - stream_.avail_in);
    if (status == Z_MEM_ERROR) throw std::bad_alloc();
    if (status == Z_BUF_ERROR) refuse_gzip(name_, "its compressed data is truncated");
    if (status != Z_OK && status != Z_STREAM_END) {
      refuse_gzip(name_, "its compressed data is damaged" +
                             (stream_.msg ? " (" + std::string(stream_.msg) + ")" : ""));
    }
    if (status == Z_STREAM_END) end_member();
    return room - stream_.avail_out;
  }
  void end_member() {
    has_ended_ = std::all_of(rest_.begin(), rest_.end(),
                             [](std::byte byte) { return byte == std::byte{0}; });
    if (has_ended_) return;
    if (!is_gzip(rest_)) {
      refuse_gzip(name_, "its compressed data ends " + counted(rest_.size(), "byte") +
                             " before the file does");
    }
    inflateReset(&stream_);
  }

  z_stream stream_ = {};
  std::span<const std::byte> rest_;
  std::string name_;
  bool has_ended_ = false;
};

Gunzip::Gunzip(std::span<const std::byte> bytes, std::string_view name) {
  if (!is_gzip(bytes)) {
    throw DataError::corrupt(name,
                             "it isn't a gzip file, which starts with the bytes 1f 8b; check that "
                             "it is the right file");
  }
  inflater_ = std::make_unique<Inflater>(bytes, name);
}

Gunzip::~Gunzip() = default;

size_t Gunzip::read(std::span<std::byte> out) { return inflater_->fill(out); }

size_t Gunzip::rest() const { return inflater_->rest(); }

bool Gunzip::has_ended() const { return inflater_->has_ended(); }

bool is_gzip(std::span<const std::byte> bytes) {
  return bytes.size() >= 2 && bytes[0] == std::byte{0x1f} && bytes[1] == std::byte{0x8b};
}

std::filesystem::path without_gz(const std::filesystem::path& path) {
  const auto ending = to_small_letters(path.extension().string());
  return ending == ".gz" ? std::filesystem::path(path).replace_extension() : path;
}

Bytes gunzip(std::span<const std::byte> bytes, std::string_view name) {
  Gunzip text(bytes, name);
  // The last four bytes hold the size of the last member: right for most files, a hint for others.
  const uint64_t hint = bytes.size() < 18 ? 0 : load_little(bytes, bytes.size() - 4, 4);
  const uint64_t likely = hint <= bytes.size() * kMostInflated ? hint : 0;
  Bytes out;
  grow(out, std::max<uint64_t>({likely, bytes.size(), 64}) + 1, name);  // + 1 shows the end
  size_t size = 0;
  while (true) {
    size += text.read(std::span(out).subspan(size));
    if (text.has_ended()) break;
    const uint64_t twice = std::min<uint64_t>(out.size() * 2, physical_memory());
    grow(out, std::max<uint64_t>(out.size() + 1, twice), name);
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
