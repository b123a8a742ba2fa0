#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <levin/datamodules/readers/sparse_rows.h>
#include <levin/datamodules/readers/text_file.h>
#include <levin/datamodules/readers/text_shard.h>

namespace levin::readers {

/// What a SparseFormat has made of a stretch of text.
struct ParsedRows {
  SparseRows rows = {};
  /// What was found out about the targets of all rows.
  LineFormat::Summary summary = {};
  /// The lowest and the highest number of a feature, as the text has them.
  int64_t lowest = SparseRows::kMostColumns + int64_t{1};
  int64_t highest = -1;
  /// The lines that were parsed, blank ones included.
  int64_t lines = 0;

  /// Adds what was made of the stretch that follows.
  void append(const ParsedRows& next);
  void clear();
  /// Makes targets of -1 class 0 if all targets are whole numbers and none of them is 0.
  void settle_signs();
};

/// The syntax of a text of sparse rows, whose lines can be parsed apart from each other. To read
/// another format, derive from it and call `parse_file`.
class SparseFormat {
 public:
  virtual ~SparseFormat() = default;
  /// Parses a stretch of a file that ends where a line does, and adds its rows to `parsed`.
  /// `first_line` is the number of its first line. Throws DataError, with file and line, for text
  /// that breaks the syntax. Called from several threads at a time.
  virtual void parse(std::string_view text, int64_t first_line, ParsedRows& parsed) const = 0;
};

/// Calls `parse_line(line, number)` for each line of `text`, without its line end, and counts them
/// in `parsed`.
template <class ParseLine>
void for_each_line(std::string_view text, int64_t first_line, ParsedRows& parsed,
                   const ParseLine& parse_line) {
  const bool has_cr = text.find('\r') != text.npos;  // else lines end in LF, which is found faster
  TextRecord record;
  for (size_t at = 0; at < text.size(); at = record.next) {
    if (has_cr) {
      read_line(text, at, record);
    } else {
      const size_t end = std::min(text.find('\n', at), text.size());
      record.text = text.substr(at, end - at);
      record.next = end + 1;
    }
    parse_line(record.text, first_line + parsed.lines);
    ++parsed.lines;
  }
}

/// Parses a whole file in stretches and adds the rows to `parsed`. `threads` stretches are parsed
/// at a time; the result, and the error for a file with several faults, are the same for any
/// number. Text that was parsed is given up, so that the file takes little memory. `while_reading`,
/// if given, is called about every `threads` MiB on the calling thread; what it throws ends the
/// parsing.
void parse_file(TextFile& file, const SparseFormat& format, int64_t threads, ParsedRows& parsed,
                const std::function<void()>& while_reading = {});

/// Makes the format of a file; `name` is what errors call the file.
using MakeFormat = std::function<std::unique_ptr<SparseFormat>(const std::string& name)>;

/// Parses files, which may be compressed by gzip, one after another. Throws DataError, with a name,
/// for a file without rows, and if there are no files.
ParsedRows parse_files(const std::vector<std::filesystem::path>& files, int64_t threads,
                       const std::function<void()>& while_reading, const MakeFormat& make_format);

/// Throws ConfigError unless the number of threads is from 1 to 1024.
void check_threads(int64_t threads);

}  // namespace levin::readers
