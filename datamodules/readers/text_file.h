#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include <levin/datamodules/readers/gzip.h>
#include <levin/datamodules/readers/mapped_file.h>

namespace levin::readers {

/// Some lines of a text file, about 1 MiB of them: few enough bytes that what is made of them stays
/// in the processor's cache.
struct TextStretch {
  /// Valid as long as this object and the file exist.
  std::string_view text = {};
  /// The bytes of `text` if the file is compressed. Their memory is used again.
  Bytes unpacked = {};
};

/// A text file that is read once, from front to end, in stretches that end where a line does. It
/// may be compressed by gzip, which is told by its bytes, and is then unpacked stretch by stretch,
/// so that a file of any size takes the memory of the stretches that are held. The stretches are
/// those of the uncompressed text. A byte order mark is left out.
///
///     TextFile file("train.svm.gz");
///     for (TextStretch stretch; !file.has_ended();) {
///       file.next(stretch);
///       parse(stretch.text);
///       file.release(stretch);
///     }
///     file.check_unchanged();
class TextFile {
 public:
  /// Opens the file. Throws DataError if it can't be read, or if it begins as a gzip file does and
  /// its first bytes are damaged.
  explicit TextFile(const std::filesystem::path& path);

  /// What errors call the file: its path as it was given.
  const std::string& name() const { return file_.name(); }
  /// Whether no text is left; true at once for an empty file.
  bool has_ended() const;
  /// Puts the next stretch into `stretch`; its text is empty if none is left. Throws
  /// DataError::corrupt for compressed data that is truncated or damaged, or followed by something
  /// else. Calls must come from one thread at a time.
  void next(TextStretch& stretch);
  /// Gives up the pages of a stretch that was parsed, so that the file takes little memory.
  void release(const TextStretch& stretch) const;
  /// Throws DataError::unreadable if the file was changed since it was opened.
  void check_unchanged() const { file_.check_unchanged(); }

 private:
  size_t unpack_to_line_end(Bytes& bytes, size_t size, size_t& end);

  MappedFile file_;
  std::string_view rest_ = {};  // of a file that isn't compressed
  std::optional<Gunzip> unpacker_;
  Bytes ahead_;  // unpacked, but behind the last stretch
};

/// The first line of a text file, without its line end.
std::string first_line(const std::filesystem::path& path);

}  // namespace levin::readers
