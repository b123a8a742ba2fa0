#include <levin/datamodules/readers/csv.h>

#include <algorithm>
#include <functional>
#include <map>
#include <utility>

#include <levin/datamodules/readers/bytes.h>

namespace levin::readers {
namespace {

/// Collects the rows of a text in a table.
class TableReader {
 public:
  TableReader(std::string_view text, std::string_view name, const CsvOptions& options)
      : text_(text), options_(options), format_(text, name, options, DType::float64) {
    table_.columns = format_.features();
    table_.layout = format_.layout();
    table_.note = format_.note();
    if (format_.target()) table_.target_name = format_.columns()[*format_.target()];
  }

  CsvTable read() {
    int64_t line = format_.first_line();
    TextRecord record;
    for (size_t at = format_.begin(); at < text_.size(); at = record.next, line += record.lines) {
      format_.read_record(text_, at, line, record);
      if (!format_.is_blank(record)) add_row(record, line);
    }
    if (table_.rows == 0) throw format_.no_rows();
    if (options_.sort_classes) sort_classes();
    return std::move(table_);
  }

 private:
  void add_row(const TextRecord& record, int64_t line) {
    const size_t start = table_.values.size();
    table_.values.resize(start + table_.columns.size());
    format_.for_each_cell(record, line, [&](std::string_view cell, size_t column) {
      const int64_t place = format_.place_of(column);
      if (place == ColumnPlaces::kTarget) {
        table_.targets.push_back(target(cell, line, column));
      } else if (place != ColumnPlaces::kUnused) {
        table_.values[start + static_cast<size_t>(place)] = format_.number(cell, line, column);
      }
    });
    ++table_.rows;
  }

  /// The first cell of the target column says whether it holds numbers or names.
  double target(std::string_view cell, int64_t line, size_t column) {
    double ignored = 0.0;
    if (trimmed(cell).empty()) return format_.number(cell, line, column);  // throws: it is missing
    if (table_.rows == 0) has_names_ = options_.text_targets || !parse_number(cell, ignored);
    if (!has_names_) return format_.number(cell, line, column);
    cell = trimmed(cell);
    auto found = numbers_.find(cell);
    if (found == numbers_.end()) {
      found = numbers_.emplace(cell, static_cast<double>(numbers_.size())).first;
      table_.classes.emplace_back(cell);
    }
    return found->second;
  }

  void sort_classes() {
    if (table_.classes.empty()) return;
    std::sort(table_.classes.begin(), table_.classes.end());
    std::vector<double> sorted(table_.classes.size());
    for (size_t i = 0; i < sorted.size(); ++i) {
      sorted[static_cast<size_t>(numbers_.at(table_.classes[i]))] = static_cast<double>(i);
    }
    for (double& value : table_.targets) value = sorted[static_cast<size_t>(value)];
  }

  std::string_view text_;
  const CsvOptions& options_;
  CsvFormat format_;
  CsvTable table_;
  bool has_names_ = false;
  std::map<std::string, double, std::less<>> numbers_;
};

}  // namespace

CsvTable read_csv(const std::filesystem::path& path, const CsvOptions& options) {
  const Bytes bytes = read_file(path);
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  return parse_csv(text, path.string(), options);
}

CsvTable parse_csv(std::string_view text, std::string_view name, const CsvOptions& options) {
  return TableReader(text, name, options).read();
}

}  // namespace levin::readers
