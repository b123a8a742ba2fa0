#include <levin/framework/formats/tfrecord.h>

#include <array>
#include <cstring>

#include <levin/framework/formats/protobuf.h>

namespace levin::tfrecord {
namespace {

constexpr uint32_t kCastagnoli = 0x82F63B78;  // the polynomial, its bits in reverse
constexpr size_t kHeader = 12;                // the length and its checksum
constexpr size_t kFooter = 4;

constexpr std::array<uint32_t, 256> make_crc_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t value = byte;
    for (int bit = 0; bit < 8; ++bit) value = value >> 1 ^ (value % 2 != 0 ? kCastagnoli : 0);
    table[byte] = value;
  }
  return table;
}

constexpr auto kCrcTable = make_crc_table();

/// The checksum as files hold it: a checksum of data that hold checksums would be weak.
uint32_t masked_crc(std::string_view data) {
  const uint32_t crc = crc32c(data);
  return (crc >> 15 | crc << 17) + 0xA282EAD8;
}

}  // namespace

uint32_t crc32c(std::string_view data) {
  uint32_t crc = ~uint32_t{0};
  for (const char c : data) crc = crc >> 8 ^ kCrcTable[(crc ^ static_cast<uint8_t>(c)) & 0xFF];
  return ~crc;
}

void append(std::string& out, std::string_view data) {
  const size_t start = out.size();
  protobuf::raw(out, static_cast<uint64_t>(data.size()));
  protobuf::raw(out, masked_crc(std::string_view(out).substr(start)));
  out += data;
  protobuf::raw(out, masked_crc(data));
}

size_t end_of_records(std::string_view file, size_t limit) {
  const size_t size = limit < file.size() ? limit : file.size();
  size_t end = 0;
  while (size - end >= kHeader + kFooter) {
    uint64_t length = 0;
    uint32_t crc = 0;
    std::memcpy(&length, file.data() + end, sizeof(length));
    std::memcpy(&crc, file.data() + end + sizeof(length), sizeof(crc));
    if (crc != masked_crc(file.substr(end, sizeof(length)))) break;
    if (length > size - end - kHeader - kFooter) break;
    end += kHeader + static_cast<size_t>(length) + kFooter;
  }
  return end;
}

}  // namespace levin::tfrecord
