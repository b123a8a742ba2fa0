#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <levin/datamodules/readers/csv_columns.h>

namespace levin::readers {

/// Whether the first record of a CSV file names the columns.
enum class CsvHeader {
  /// The text decides, see `find_header`.
  detect,
  present,
  absent
};

/// The meaning of an option `header`: "auto", "true" or "false". Throws ConfigError for any other
/// word.
CsvHeader parse_csv_header(std::string_view word);

/// What `find_header` decides by.
struct FirstRecords {
  /// What messages call the file, and the line of its first record.
  std::string_view file = {};
  int64_t line = 1;
  /// The cells of the first two records, without the blanks around them; `second` is empty if there
  /// is only one.
  std::vector<std::string> first = {};
  std::vector<std::string> second = {};
  /// The option `target_column`.
  std::string target_column = "none";
  /// The first of several files that are read together, if it isn't this one.
  const CsvLayout* like = nullptr;
};

/// What the first record is.
struct HeaderFinding {
  bool names_columns = false;
  /// Whether the records alone don't settle it. `names_columns` is then the likelier reading.
  bool is_open = false;
  /// Whether neither reading is likely enough to go on with it.
  bool is_refused = false;
  /// If it is open, or if something else is doubtful: what was found and what to do, in sentences
  /// that name file and line.
  std::string message = {};
};

/// Decides whether the first record of a CSV file names the columns.
///
/// It does if it holds the name of the target column, or the names of another file that is read
/// with this one, or no number at all, such as `length,width`. It doesn't if its numbers can't be
/// names, since one is negative or two are equal, or neither all are whole nor their order is that
/// of a scale. For everything else the answer is open:
///
/// - numbers that could be names, such as the years `2019,2020`, are taken for a row;
/// - numbers that count from 0, which pandas writes for columns without names, are refused;
/// - a text above a number is refused if it stands beside numbers, as in `id,2019`;
/// - one column of texts, such as classes, is taken to have a header.
///
/// A first column without a name whose first number is 0 looks like pandas' index, which `message`
/// says. If the first of several files was read, its decision holds for open ones of the others,
/// too.
HeaderFinding find_header(const FirstRecords& records);

}  // namespace levin::readers
