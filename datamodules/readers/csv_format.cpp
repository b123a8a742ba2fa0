#include <levin/datamodules/readers/csv_format.h>

#include <limits>

#include <levin/datamodules/readers/bytes.h>
#include <levin/framework/core/counted.h>
#include <levin/framework/core/number_in.h>

namespace levin::readers {
namespace {

constexpr std::string_view kTextTargets =
    " Only ArrayDataModule takes texts, the names of classes, for targets, and only if all are "
    "texts.";

/// What precedes the first record: a byte order mark, and lines without anything but spaces.
TextRecord before_first_record(std::string_view text) {
  TextRecord skipped = {{}, text.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0, 0, false};
  while (skipped.next < text.size()) {
    TextRecord line;
    read_line(text, skipped.next, line);
    if (line.text.find_first_not_of(' ') != line.text.npos) break;
    skipped.next = line.next;
    skipped.lines += line.lines;
  }
  return skipped;
}

}  // namespace

CsvFormat::CsvFormat(std::string_view text, std::string_view name, const CsvOptions& options,
                     DType dtype)
    : name_(name),
      dtype_(dtype),
      largest_(dtype == DType::float32 ? std::numeric_limits<float>::max()
                                       : std::numeric_limits<double>::max()),
      delimiter_(options.delimiter),
      delimiter_is_given_(options.delimiter != 0) {
  const TextRecord skipped = before_first_record(text);
  begin_ = skipped.next;
  first_line_ += skipped.lines;
  end_ = text.find_last_not_of(" \t\r\n") + 1;
  if (begin_ >= text.size()) throw DataError::empty(name_, "add at least one row");
  if (!delimiter_is_given_) delimiter_ = detect_delimiter(text.substr(begin_));

  TextRecord first;
  read_record(text, begin_, first_line_, first);
  columns_ = cells_of(first, first_line_);
  has_header_ = options.header == CsvHeader::present ||
                (options.header == CsvHeader::detect && detect_header(text, first, options));
  if (has_header_) {
    begin_ = first.next;
    first_line_ += first.lines;
  } else {
    for (size_t i = 0; i < columns_.size(); ++i) columns_[i] = "column_" + std::to_string(i);
  }
  set_places(options);
}

CsvLayout CsvFormat::expected(const CsvOptions& options) const {
  CsvLayout first = *options.like;
  const auto& wanted = options.target_column;
  const bool is_number = is_column_number(wanted);
  const bool is_named = std::find(columns_.begin(), columns_.end(), wanted) != columns_.end();
  const bool has_own = wanted != "none" && (is_number ? !first.target : is_named);
  if (!has_own || first.is_target_alone()) return first;
  const std::string& own = columns_[*find_target(wanted)];
  if (std::find(first.names.begin(), first.names.end(), own) != first.names.end()) return first;
  if (!first.target) {
    first.target = first.names.size();
    first.names.emplace_back();
  }
  first.names[*first.target] = own;
  return first;
}

void CsvFormat::set_places(const CsvOptions& options) {
  const bool has_like = options.like && !options.like->names.empty();
  if (has_like && has_header_) {
    const auto target = options.like->is_target_alone() ? find_target(options.target_column)
                                                        : std::optional<size_t>();
    places_ = places_by_name({name_, columns_, target}, expected(options),
                             options.ignore_extra_columns, options.target_optional);
  } else if (has_like && options.like->names.size() == columns_.size()) {
    places_ = places_in_order(columns_, options.like->target);
  } else if (has_like && options.target_optional && options.like->target &&
             options.like->names.size() == columns_.size() + 1) {
    places_ = places_in_order(columns_, {});
  } else {
    places_ = places_in_order(columns_, find_target(options.target_column));
  }
  skips_target_ = options.skip_target;
  if (skips_target_ && places_.target) places_.places[*places_.target] = ColumnPlaces::kUnused;
}

CsvLayout CsvFormat::layout() const {
  return {name_, has_header_ ? columns_ : std::vector<std::string>(), places_.target};
}

std::vector<std::string> CsvFormat::cells_of(const TextRecord& record, int64_t line) const {
  std::vector<std::string> cells;
  std::string unescaped;
  for (size_t at = 0;; ++at) {
    cells.emplace_back(trimmed(take_cell(record.text, at, unescaped, line, cells.size())));
    if (at == record.text.size()) return cells;
  }
}

bool CsvFormat::detect_header(std::string_view text, const TextRecord& first,
                              const CsvOptions& options) {
  const auto finding = find_header({.file = name_,
                                    .line = first_line_,
                                    .first = columns_,
                                    .second = second_row(text, first),
                                    .target_column = options.target_column,
                                    .like = options.like ? &*options.like : nullptr});
  if (finding.is_open && options.rows) {
    const int64_t records = count_rows(text);
    if (records == *options.rows) return false;
    if (records == *options.rows + 1) return true;
  }
  if (finding.is_refused) throw DataError(finding.message);
  note_ = finding.message;
  return finding.names_columns;
}

std::vector<std::string> CsvFormat::second_row(std::string_view text,
                                               const TextRecord& first) const {
  TextRecord record;
  int64_t line = first_line_ + first.lines;
  try {
    for (size_t at = first.next; at < text.size(); at = record.next, line += record.lines) {
      read_record(text, at, line, record);
      if (!is_blank(record)) return cells_of(record, line);
    }
  } catch (const DataError&) {  // reading the row will say so, with the names of the columns
  }
  return {};
}

int64_t CsvFormat::count_rows(std::string_view text) const {
  int64_t rows = 0;
  int64_t line = first_line_;
  TextRecord record;
  for (size_t at = begin_; at < text.size(); at = record.next, line += record.lines) {
    read_record(text, at, line, record);
    if (!is_blank(record)) ++rows;
  }
  return rows;
}

std::optional<size_t> CsvFormat::find_target(const std::string& wanted) const {
  if (wanted == "none") return {};
  const auto count = std::count(columns_.begin(), columns_.end(), wanted);
  if (count > 1) {
    throw DataError(name_ + ": target_column is " + in_quotes(wanted) + ", but " +
                    std::to_string(count) +
                    " columns have that name; give the number of the one you mean, from 0");
  }
  const auto width = static_cast<int64_t>(columns_.size());
  int64_t column = std::find(columns_.begin(), columns_.end(), wanted) - columns_.begin();
  if (count == 0) {
    const auto number = number_in<int64_t>(wanted);
    if (!number || *number >= width || *number < -width) fail_target(wanted);
    column = *number < 0 ? *number + width : *number;
  }
  return static_cast<size_t>(column);
}

void CsvFormat::extend_over_quotes(std::string_view text, size_t start, int64_t line,
                                   TextRecord& record) const {
  std::string unescaped;
  size_t at = start;
  for (size_t column = 0;; ++at, ++column) {
    take_cell(text, at, unescaped, line, column);
    if (at == text.size() || text[at] != delimiter_) break;
  }
  int64_t lines = 1;
  for (; record.next <= at && record.next < text.size(); ++lines) {
    read_line(text, record.next, record);
  }
  record.text = text.substr(start, at - start);
  record.lines = lines;
  record.may_have_quotes = true;
}

std::string_view CsvFormat::take_cell(std::string_view text, size_t& at, std::string& unescaped,
                                      int64_t line, size_t column) const {
  const size_t before = at;
  while (at < text.size() && is_space(text[at])) ++at;
  if (at == text.size() || text[at] != '"') {
    while (at < text.size() && !ends_cell(text[at])) ++at;
    return text.substr(before, at - before);
  }
  size_t start = ++at;
  bool doubled = false;
  unescaped.clear();
  while (true) {
    const size_t quote = text.find('"', at);
    if (quote == text.npos) fail_quotes("the cell's opening quote is never closed", line, column);
    at = quote + 1;
    if (at == text.size() || text[at] != '"') break;
    doubled = true;
    unescaped.append(text, start, at - start);
    start = ++at;
  }
  const auto last = text.substr(start, at - 1 - start);
  while (at < text.size() && is_space(text[at])) ++at;
  if (at < text.size() && !ends_cell(text[at])) {
    fail_quotes("text follows the cell's closing quote", line, column);
  }
  if (!doubled) return last;
  return unescaped.append(last);
}

DataError CsvFormat::no_rows() const {
  return has_header_ ? DataError(name_ + " has a header, but no rows; add at least one row")
                     : DataError::empty(name_, "add at least one row");
}

void CsvFormat::fail_quotes(std::string_view problem, int64_t line, size_t column) const {
  throw DataError(place(line, column) + ": " + std::string(problem) +
                  "; write a quoted cell as \"...\", with every quote inside it doubled");
}

void CsvFormat::fail_width(std::string_view record, int64_t line) const {
  std::string unescaped;
  size_t count = 0;
  for (size_t at = 0;; ++at) {
    take_cell(record, at, unescaped, line, count++);
    if (at == record.size()) break;
  }
  throw DataError(name_ + ", line " + std::to_string(line) + ": the row has " +
                  counted(count, "cell") + ", but the first line has " +
                  std::to_string(columns_.size()) + "; every row must have as many. " +
                  (count < columns_.size() ? "Fill in the missing cells."
                                           : "Put cells that contain the delimiter in quotes.") +
                  delimiter_hint(count == 1 ? record : std::string_view()));
}

std::string CsvFormat::delimiter_hint(std::string_view text) const {
  if (trimmed(text).find_first_of(",;|\t ") == text.npos) return {};
  const char* const name = delimiter_ == '\t'  ? "tabs"
                           : delimiter_ == ';' ? "semicolons"
                           : delimiter_ == ',' ? "commas"
                                               : "the given delimiter";
  return std::string(" Cells are taken to be separated by ") + name +
         (delimiter_is_given_ ? "." : ", as the first line shows.");
}

void CsvFormat::fail_number(std::string_view cell, int64_t line, size_t column) const {
  if (trimmed(cell).empty()) {
    throw DataError(place(line, column) +
                    ": the cell is empty; every cell must be a number. Fill in the missing value.");
  }
  throw DataError::bad_value(
      "the cell", in_quotes(cell), place(line, column),
      "every cell must be a finite number that a " + std::string(dtype_name(dtype_)) +
          " can hold. Write such a number instead." +
          (column == places_.target ? std::string(kTextTargets) : delimiter_hint(cell)));
}

void CsvFormat::fail_target(const std::string& wanted) const {
  throw DataError(name_ + " has no column " + in_quotes(wanted) +
                  " (target_column); its columns are " + listed(columns_) +
                  "; give the name of one, or its number, from -" +
                  std::to_string(columns_.size()) + " to " + std::to_string(columns_.size() - 1));
}

std::string CsvFormat::place(int64_t line, size_t column) const {
  const std::string column_name = column < columns_.size() ? " (" + columns_[column] + ")" : "";
  return name_ + ", line " + std::to_string(line) + ", column " + std::to_string(column + 1) +
         column_name;
}

}  // namespace levin::readers
