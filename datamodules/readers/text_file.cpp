#include <levin/datamodules/readers/text_file.h>

#include <algorithm>
#include <cstring>
#include <span>

#include <levin/datamodules/readers/bytes.h>
#include <levin/datamodules/readers/text.h>

namespace levin::readers {
namespace {

/// A stretch ends with the line that has this byte.
constexpr size_t kStretchBytes = size_t{1} << 20;
/// What is unpacked at a time; a stretch may end anywhere in it.
constexpr size_t kUnpackedAtOnce = size_t{64} << 10;

std::string_view text_of_bytes(const Bytes& bytes, size_t size) {
  return {reinterpret_cast<const char*>(bytes.data()), size};
}

}  // namespace

TextFile::TextFile(const std::filesystem::path& path) : file_(path) {
  if (is_gzip(file_.bytes())) {
    unpacker_.emplace(file_.bytes(), file_.name());
    ahead_.resize(kUnpackedAtOnce);
    ahead_.resize(unpacker_->read(ahead_));
    if (!text_of_bytes(ahead_, ahead_.size()).starts_with(kByteOrderMark)) return;
    ahead_.erase(ahead_.begin(), ahead_.begin() + kByteOrderMark.size());
    return;
  }
  rest_ = file_.text();
  if (rest_.starts_with(kByteOrderMark)) rest_.remove_prefix(kByteOrderMark.size());
}

bool TextFile::has_ended() const {
  return unpacker_ ? unpacker_->has_ended() && ahead_.empty() : rest_.empty();
}

void TextFile::next(TextStretch& stretch) {
  if (unpacker_) {
    const size_t before = unpacker_->rest();
    Bytes& bytes = stretch.unpacked;
    if (bytes.size() < kStretchBytes + kUnpackedAtOnce) {
      grow(bytes, kStretchBytes + kUnpackedAtOnce, name());
    }
    std::copy(ahead_.begin(), ahead_.end(), bytes.begin());
    size_t end = 0;
    const size_t size = unpack_to_line_end(bytes, ahead_.size(), end);
    stretch.text = text_of_bytes(bytes, end);
    ahead_.assign(bytes.begin() + static_cast<std::ptrdiff_t>(end),
                  bytes.begin() + static_cast<std::ptrdiff_t>(size));
    if (ahead_.empty() && !unpacker_->has_ended()) {  // so that `has_ended` needn't guess
      ahead_.resize(kUnpackedAtOnce);
      ahead_.resize(unpacker_->read(ahead_));
    }
    const size_t page = std::min(MappedFile::kPage, file_.bytes().size() - before);
    file_.release(file_.bytes().size() - before - page, before - unpacker_->rest() + page);
    return;
  }
  size_t end = rest_.size();
  if (end > kStretchBytes) end = std::min(end, rest_.find('\n', kStretchBytes - 1) + 1);
  if (end == 0) end = rest_.size();  // no line ends
  stretch.text = rest_.substr(0, end);
  rest_.remove_prefix(end);
}

/// Unpacks bytes behind the first `size` ones until the line with the last byte of a stretch is
/// whole. `end` becomes where that line ends. Returns how many bytes there are.
size_t TextFile::unpack_to_line_end(Bytes& bytes, size_t size, size_t& end) {
  for (size_t from = kStretchBytes - 1;;) {
    if (size > from) {
      const size_t found = text_of_bytes(bytes, size).find('\n', from);
      end = found == std::string_view::npos ? size : found + 1;
      if (found != std::string_view::npos) return size;
      from = size;
    }
    end = size;
    if (unpacker_->has_ended()) return size;
    if (bytes.size() < size + kUnpackedAtOnce) grow(bytes, size + size / 2, name());
    size += unpacker_->read(std::span(bytes).subspan(size, kUnpackedAtOnce));
  }
}

void TextFile::release(const TextStretch& stretch) const {
  if (unpacker_ || stretch.text.empty()) return;
  const auto begin = static_cast<uint64_t>(stretch.text.data() - file_.text().data());
  // The system maps pages around one that is touched, so that some before it are mapped again.
  const uint64_t from = begin - std::min<uint64_t>(begin, kStretchBytes);
  file_.release(from, begin + stretch.text.size() - from);
}

std::string first_line(const std::filesystem::path& path) {
  TextFile file(path);
  TextStretch stretch;
  file.next(stretch);
  TextRecord line;
  read_line(stretch.text, 0, line);
  return std::string(line.text);
}

}  // namespace levin::readers
