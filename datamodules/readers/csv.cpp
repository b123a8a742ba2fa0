#include <levin/datamodules/readers/csv.h>

#include <algorithm>
#include <charconv>
#include <deque>
#include <map>
#include <system_error>
#include <utility>

#include <levin/datamodules/readers/bytes.h>
#include <levin/datamodules/readers/text.h>
#include <levin/framework/core/error.h>

namespace levin::readers {
namespace {

constexpr size_t kNone = static_cast<size_t>(-1);

/// Splits text into records of cells.
class Records {
 public:
  Records(std::string_view text, char delimiter, std::string_view name)
      : delimiter_(delimiter), name_(name) {
    const size_t last = text.find_last_not_of("\r\n");
    text = text.substr(0, last + 1);  // none: npos + 1 is 0
    at_ = text.data();
    end_ = text.data() + text.size();
  }

  /// Reads one record; false where only empty lines are left.
  bool next() {
    line_ = next_line_;
    cells_.clear();
    unescaped_.clear();
    if (at_ == end_) return false;
    while (true) {
      cells_.push_back(at_ != end_ && *at_ == '"' ? quoted_cell() : plain_cell());
      if (at_ == end_) return true;
      if (*at_++ == delimiter_) continue;
      if (at_[-1] == '\r' && at_ != end_ && *at_ == '\n') ++at_;
      ++next_line_;
      return true;
    }
  }

  const std::vector<std::string_view>& cells() const { return cells_; }
  /// Where the record starts, from 1.
  int64_t line() const { return line_; }

 private:
  static bool ends_line(char c) { return c == '\n' || c == '\r'; }

  std::string_view plain_cell() {
    const char* const start = at_;
    while (at_ != end_ && *at_ != delimiter_ && !ends_line(*at_)) ++at_;
    return {start, static_cast<size_t>(at_ - start)};
  }

  std::string_view quoted_cell() {
    const char* start = ++at_;
    std::string* copy = nullptr;  // only where a quote is written twice
    while (true) {
      const char* const quote = std::find(at_, end_, '"');
      if (quote == end_) fail("a quote is opened, but not closed");
      next_line_ += std::count(at_, quote, '\n');
      at_ = quote + 1;
      if (at_ == end_ || *at_ != '"') break;
      if (copy == nullptr) copy = &unescaped_.emplace_back();
      copy->append(start, at_);
      start = ++at_;
    }
    if (at_ != end_ && *at_ != delimiter_ && !ends_line(*at_)) fail("text follows a closing quote");
    if (copy == nullptr) return {start, static_cast<size_t>(at_ - 1 - start)};
    return copy->append(start, at_ - 1);
  }

  [[noreturn]] void fail(const std::string& reason) const {
    throw DataError::corrupt(name_, "line " + std::to_string(line_) + ", column " +
                                        std::to_string(cells_.size() + 1) + ": " + reason);
  }

  const char* at_ = nullptr;
  const char* end_ = nullptr;
  char delimiter_;
  std::string_view name_;
  int64_t line_ = 1;
  int64_t next_line_ = 1;
  std::vector<std::string_view> cells_;
  std::deque<std::string> unescaped_;
};

/// Turns records into a table.
class TableReader {
 public:
  TableReader(std::string_view name, const CsvOptions& options) : name_(name), options_(options) {}

  CsvTable read(std::string_view text) {
    if (text.substr(0, kByteOrderMark.size()) == kByteOrderMark) {
      text.remove_prefix(kByteOrderMark.size());
    }
    const char delimiter = options_.delimiter ? options_.delimiter : detect_delimiter(text);
    Records records(text, delimiter, name_);
    if (!records.next()) throw DataError::empty(name_, "a file of at least one row is needed");
    bool pending = !take_header(records.cells());
    find_target();
    while (pending || records.next()) {
      pending = false;
      add_row(records.cells(), records.line());
    }
    if (table_.rows == 0) throw DataError::empty(name_, "it has a header, but no rows");
    finish();
    return std::move(table_);
  }

 private:
  /// Names the columns; false where the first record is a row already.
  bool take_header(const std::vector<std::string_view>& cells) {
    const bool header = options_.header == CsvHeader::present ||
                        (options_.header == CsvHeader::detect &&
                         std::none_of(cells.begin(), cells.end(), [](auto cell) {
                           double ignored = 0.0;
                           return parse_number(cell, ignored);
                         }));
    for (size_t i = 0; i < cells.size(); ++i) {
      table_.columns.push_back(header ? std::string(trimmed(cells[i]))
                                      : "column_" + std::to_string(i));
    }
    width_ = cells.size();
    return header;
  }

  void find_target() {
    const std::string& wanted = options_.target_column;
    if (wanted.empty()) return;
    auto& columns = table_.columns;
    const auto count = std::count(columns.begin(), columns.end(), wanted);
    if (count > 1) refuse_target("that name comes " + std::to_string(count) + " times");
    int64_t place = std::find(columns.begin(), columns.end(), wanted) - columns.begin();
    if (count == 0) {
      const auto end = std::from_chars(wanted.data(), wanted.data() + wanted.size(), place);
      const auto width = static_cast<int64_t>(width_);
      if (end.ec != std::errc() || end.ptr != wanted.data() + wanted.size() || place >= width ||
          place < -width) {
        std::string known;
        for (const auto& column : columns) known += (known.empty() ? "" : ", ") + in_quotes(column);
        refuse_target("the file has " + std::to_string(width_) + " columns: " + known);
      }
      if (place < 0) place += width;
    }
    target_ = static_cast<size_t>(place);
    table_.target_name = columns[target_];
    columns.erase(columns.begin() + place);
  }

  [[noreturn]] void refuse_target(const std::string& hint) const {
    throw DataError::bad_value("the target column", in_quotes(options_.target_column), name_, hint);
  }

  void add_row(const std::vector<std::string_view>& cells, int64_t line) {
    if (cells.size() != width_) {
      throw DataError::corrupt(
          name_, "line " + std::to_string(line) + " has " + std::to_string(cells.size()) +
                     " cells, but the first line has " + std::to_string(width_));
    }
    for (size_t i = 0; i < cells.size(); ++i) {
      if (i == target_) {
        table_.targets.push_back(target(cells[i], line));
      } else {
        table_.values.push_back(required_number(cells[i], line, i));
      }
    }
    ++table_.rows;
  }

  /// Whether the target column holds numbers or names is told by its first cell.
  double target(std::string_view cell, int64_t line) {
    double value = 0.0;
    if (table_.rows == 0) names_ = !parse_number(cell, value);
    if (!names_) return required_number(cell, line, target_);
    cell = trimmed(cell);
    auto found = places_.find(cell);
    if (found == places_.end()) {
      found = places_.emplace(cell, static_cast<double>(places_.size())).first;
      table_.classes.emplace_back(cell);
    }
    return found->second;
  }

  double required_number(std::string_view cell, int64_t line, size_t column) const {
    double value = 0.0;
    if (parse_number(cell, value)) return value;
    std::string name = table_.target_name;
    if (column != target_) name = table_.columns[column - (column > target_ ? 1 : 0)];
    throw DataError::bad_value("a cell", in_quotes(cell),
                               std::string(name_) + ", line " + std::to_string(line) + ", column " +
                                   std::to_string(column + 1) + " (" + name + ")",
                               trimmed(cell).empty()
                                   ? "every cell must be a number: fill in the missing value"
                                   : "every cell must be a number that a double can hold");
  }

  void finish() {
    if (!options_.sort_classes || table_.classes.empty()) return;
    std::sort(table_.classes.begin(), table_.classes.end());
    std::vector<double> sorted(table_.classes.size());
    for (size_t i = 0; i < sorted.size(); ++i) {
      sorted[static_cast<size_t>(places_.at(table_.classes[i]))] = static_cast<double>(i);
    }
    for (double& value : table_.targets) value = sorted[static_cast<size_t>(value)];
  }

  std::string_view name_;
  const CsvOptions& options_;
  CsvTable table_;
  size_t width_ = 0;
  size_t target_ = kNone;
  bool names_ = false;
  std::map<std::string, double, std::less<>> places_;
};

}  // namespace

CsvTable read_csv(const std::filesystem::path& path, const CsvOptions& options) {
  const Bytes bytes = read_file(path);
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  return parse_csv(text, path.string(), options);
}

CsvTable parse_csv(std::string_view text, std::string_view name, const CsvOptions& options) {
  return TableReader(name, options).read(text);
}

}  // namespace levin::readers
