#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

/// What the readers of text formats share: lines and numbers.
namespace levin::readers {

/// The bytes that some programs put at the front of a UTF-8 file.
inline constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

/// The text of one row, most often a line.
struct TextRecord {
  /// Without its line end.
  std::string_view text = {};
  /// Where the next record starts, in bytes; the size of the whole text if this is the last one.
  size_t next = 0;
  /// The lines that the record takes; more than one only if quotes hold line ends.
  int64_t lines = 1;
  /// False only if there is no double quote in the text, so that it needn't be searched for one.
  bool may_have_quotes = false;
};

/// Reads the line that starts at byte `start` of `text`. A line ends in LF, CRLF or CR.
void read_line(std::string_view text, size_t start, TextRecord& line);

/// The text without the spaces and tabs around it.
std::string_view trimmed(std::string_view text);

/// The character between the cells of a CSV file: a tab if the first line has one outside quotes,
/// else a semicolon if it has one, else a comma.
char detect_delimiter(std::string_view text);

/// Stores the decimal number that `text` holds, spaces and tabs around it aside. Returns false if
/// the text is anything else, or a number too large for a double; one too small becomes 0. "nan"
/// and "inf" are numbers.
bool parse_number(std::string_view text, double& value);

}  // namespace levin::readers
