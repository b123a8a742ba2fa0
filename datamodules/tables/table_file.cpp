#include <levin/datamodules/tables/table_file.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include <levin/datamodules/readers/csv_header.h>
#include <levin/framework/core/error.h>

namespace levin::tables {
namespace {

/// The distance in bytes between two marks: to find a row, at most this much text is skipped.
constexpr uint64_t kMarkBytes = uint64_t{64} << 10;

/// How much text is given up at a time. The system maps pages around one that is touched, so that
/// as much in front of it is given up again.
constexpr uint64_t kReleaseBytes = uint64_t{1} << 20;

void release_up_to(const readers::MappedFile& file, uint64_t& released, uint64_t end) {
  const uint64_t from = released - std::min(released, kReleaseBytes);
  file.release(from, end - from);
  released = end;
}

}  // namespace

TableFile::TableFile(const std::filesystem::path& path)
    : file_(path),
      csv_(file_.text(), file_.name(), {.header = readers::CsvHeader::present},
           readers::DType::float64) {
  find_rows();
}

void TableFile::find_rows() {
  const auto text = file_.text();
  int64_t line = csv_.first_line();
  uint64_t released = 0;
  readers::TextRecord record;
  for (size_t at = csv_.begin(); at < text.size(); at = record.next, line += record.lines) {
    csv_.read_record(text, at, line, record);
    if (csv_.is_blank(record)) continue;
    csv_.for_each_cell(record, line, [](std::string_view, size_t) {});  // checks how many
    if (marks_.empty() || at >= marks_.back().offset + kMarkBytes) {
      marks_.push_back({rows_, line, at});
    }
    ++rows_;
    if (at >= released + kReleaseBytes) release_up_to(file_, released, at);
  }
  if (rows_ == 0) throw csv_.no_rows();
  file_.check_unchanged();
}

TextTable TableFile::header() const { return {file_.name(), csv_.columns()}; }

TableRows::TableRows(std::shared_ptr<const TableFile> file, Choice choice)
    : file_(std::move(file)), choice_(std::move(choice)), rows_(file_->rows()) {
  if (!choice_) return;
  rows_ = 0;
  const auto& marks = file_->marks_;
  for (size_t i = 0; i < marks.size(); ++i) {
    before_.push_back(rows_);
    const int64_t end = i + 1 < marks.size() ? marks[i + 1].row : file_->rows();
    for (int64_t row = marks[i].row; row < end; ++row) rows_ += choice_(row) ? 1 : 0;
  }
}

TableCursor::TableCursor(const TableRows& rows, int64_t first) : rows_(rows) {
  const auto& marks = rows.file_->marks_;
  size_t at = 0;
  int64_t skipped = first;  // behind the mark
  if (rows.before_.empty()) {
    const auto after =
        std::upper_bound(marks.begin(), marks.end(), first,
                         [](int64_t row, const TableFile::Mark& mark) { return row < mark.row; });
    at = static_cast<size_t>(after - marks.begin()) - 1;
    skipped -= marks[at].row;
  } else {
    const auto after = std::upper_bound(rows.before_.begin(), rows.before_.end(), first);
    at = static_cast<size_t>(after - rows.before_.begin()) - 1;
    skipped -= rows.before_[at];
  }
  rows.file_->file_.check_unchanged();
  offset_ = released_ = marks[at].offset;
  line_ = marks[at].line;
  row_ = marks[at].row;
  while (skipped > 0 && offset_ < rows.file_->bytes()) skipped -= step() ? 1 : 0;
}

TableCursor::~TableCursor() { release(); }

void TableCursor::release() { release_up_to(rows_.file_->file_, released_, offset_); }

bool TableCursor::step() {
  const auto& file = *rows_.file_;
  row_line_ = line_;
  file.csv_.read_record(file.file_.text(), offset_, line_, record_);
  offset_ = record_.next;
  line_ += record_.lines;
  return !file.csv_.is_blank(record_) && rows_.has(row_++);
}

bool TableCursor::next(int64_t count, TextTable& table) {
  table.clear();
  if (offset_ >= released_ + kReleaseBytes) release();
  const auto& file = *rows_.file_;
  while (table.rows() < count && offset_ < file.bytes()) {
    if (step()) table.add_row(file.csv_, record_, row_line_);
  }
  return table.rows() > 0;
}

}  // namespace levin::tables
