#include <levin/datamodules/tables/text_table.h>

#include <algorithm>
#include <functional>
#include <utility>

#include <fmt/format.h>

#include <levin/datamodules/readers/bytes.h>
#include <levin/datamodules/readers/csv_format.h>
#include <levin/framework/core/error.h>

namespace levin::tables {

TextTable TextTable::read(const std::filesystem::path& path) {
  return TextTable(readers::read_file(path), path.string());
}

TextTable TextTable::parse(std::string_view text, std::string name) {
  const auto bytes = readers::bytes_of(text);
  return TextTable(readers::Bytes(bytes.begin(), bytes.end()), std::move(name));
}

TextTable::TextTable(readers::Bytes bytes, std::string name)
    : file_(std::move(name)), text_(std::move(bytes)) {
  const std::string_view text(reinterpret_cast<const char*>(text_.data()), text_.size());
  const readers::CsvFormat csv(text, file_, {.header = readers::CsvHeader::present},
                               readers::DType::float64);
  columns_ = csv.columns();
  int64_t line = csv.first_line();
  readers::TextRecord record;
  for (size_t at = csv.begin(); at < text.size(); at = record.next, line += record.lines) {
    csv.read_record(text, at, line, record);
    if (!csv.is_blank(record)) add_row(csv, record, line);
  }
  if (lines_.empty()) throw csv.no_rows();
}

void TextTable::add_row(const readers::CsvFormat& csv, const readers::TextRecord& record,
                        int64_t line) {
  const auto is_part_of_text = [text = record.text](std::string_view cell) {
    const std::less_equal<const char*> before;
    return before(text.data(), cell.data()) &&
           before(cell.data() + cell.size(), text.data() + text.size());
  };
  lines_.push_back(line);
  csv.for_each_cell(record, line, [&](std::string_view cell, size_t) {
    if (!is_part_of_text(cell)) cell = unescaped_.emplace_back(cell);
    cells_.push_back(readers::trimmed(cell));
  });
}

void TextTable::clear() {
  lines_.clear();
  cells_.clear();
  unescaped_.clear();
}

bool TextTable::has(std::string_view name) const {
  return std::find(columns_.begin(), columns_.end(), name) != columns_.end();
}

size_t TextTable::column(std::string_view name, std::string_view what) const {
  const auto found = std::find(columns_.begin(), columns_.end(), name);
  if (found == columns_.end()) {
    const auto near = nearest_name(std::string(name), columns_);
    throw DataError(fmt::format(
        "{} has no column {} ({}); its columns are {}. {}", file_, readers::in_quotes(name), what,
        readers::listed(columns_),
        near.empty() ? "The first line of the file must name the columns as the settings, or the "
                       "training data, call them."
                     : fmt::format("Did you mean {}?", readers::in_quotes(near))));
  }
  if (std::find(found + 1, columns_.end(), name) != columns_.end()) {
    throw DataError(fmt::format("{} has two columns {} ({}); give each column a name of its own",
                                file_, readers::in_quotes(name), what));
  }
  return static_cast<size_t>(found - columns_.begin());
}

std::string TextTable::place(int64_t row, size_t column) const {
  return fmt::format("{}, line {}, column {} ({})", file_, lines_[static_cast<size_t>(row)],
                     column + 1, columns_[column]);
}

}  // namespace levin::tables
