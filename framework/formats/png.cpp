#include <levin/framework/formats/png.h>

#include <string_view>

#include <zlib.h>

namespace levin {
namespace {

void append_big_endian(std::string& out, uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(value >> shift & 0xFF);
}

/// Appends a chunk: the length of its data, its type, the data, and a checksum of type and data.
void append_chunk(std::string& out, std::string_view type, std::string_view data) {
  append_big_endian(out, static_cast<uint32_t>(data.size()));
  const size_t start = out.size();
  out.append(type).append(data);
  const auto* checked = reinterpret_cast<const Bytef*>(out.data() + start);
  append_big_endian(out, static_cast<uint32_t>(crc32(crc32(0, nullptr, 0), checked,
                                                     static_cast<uInt>(out.size() - start))));
}

std::string deflated(const std::string& data) {
  uLongf size = compressBound(static_cast<uLong>(data.size()));
  std::string result(size, '\0');
  // It can't fail: the bound is enough, and memory that isn't there throws above.
  compress2(reinterpret_cast<Bytef*>(result.data()), &size,
            reinterpret_cast<const Bytef*>(data.data()), static_cast<uLong>(data.size()),
            Z_DEFAULT_COMPRESSION);
  result.resize(size);
  return result;
}

}  // namespace

std::string png_image(std::span<const uint8_t> pixels, uint32_t width, uint32_t height,
                      uint32_t channels) {
  std::string header;
  append_big_endian(header, width);
  append_big_endian(header, height);
  header += '\x08';  // bits a channel
  header += channels == 1 ? '\0' : channels == 3 ? '\x02' : '\x06';
  header.append(3, '\0');  // deflate; filters that each row names; not interlaced

  const size_t row_size = size_t{width} * channels;
  std::string rows;
  rows.reserve((row_size + 1) * height);
  for (size_t row = 0; row < height; ++row) {
    rows += '\0';  // no filter
    rows.append(reinterpret_cast<const char*>(pixels.data()) + row * row_size, row_size);
  }
  std::string png("\x89PNG\r\n\x1a\n");
  append_chunk(png, "IHDR", header);
  append_chunk(png, "IDAT", deflated(rows));
  append_chunk(png, "IEND", {});
  return png;
}

}  // namespace levin
