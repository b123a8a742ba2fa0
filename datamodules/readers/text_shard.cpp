#include <levin/datamodules/readers/text_shard.h>

#include <algorithm>
#include <cstring>

#include <levin/datamodules/readers/bytes.h>
#include <levin/datamodules/readers/target_type.h>
#include <levin/framework/core/error.h>

namespace levin::readers {
namespace {

/// The distance in bytes between two marks of the index: to find a row, at most this much text is
/// skipped.
constexpr uint64_t kStretch = uint64_t{32} << 10;

}  // namespace

void LineFormat::Summary::add_target(double target, int64_t line) {
  has_minus_one = has_minus_one || target == -1.0;
  has_zero = has_zero || target == 0.0;
  if (fraction_line == 0 && !is_whole(target)) fraction_line = line;
}

void LineFormat::read_record(std::string_view text, size_t offset, int64_t /*line*/,
                             TextRecord& record) const {
  read_line(text, offset, record);
}

/// Goes from one record that holds a row to the next.
class TextShard::Lines {
 public:
  Lines(std::string_view text, const LineFormat& format, size_t offset, int64_t line)
      : text_(text), format_(format), next_(offset), next_number_(line) {}

  /// Returns false if no row is left.
  bool next() {
    while (next_ < text_.size()) {
      start_ = next_;
      number_ = next_number_;
      format_.read_record(text_, start_, number_, record_);
      next_ = record_.next;
      next_number_ += record_.lines;
      if (!format_.is_blank(record_)) return true;
    }
    return false;
  }

  const TextRecord& record() const { return record_; }
  /// The number of the record's first line, from 1.
  int64_t number() const { return number_; }
  size_t offset() const { return start_; }

 private:
  std::string_view text_;
  const LineFormat& format_;
  size_t next_;
  size_t start_ = 0;
  int64_t number_ = 0;
  int64_t next_number_;
  TextRecord record_;
};

TextShard::TextShard(MappedFile file, std::unique_ptr<LineFormat> format,
                     const ShardOptions& options)
    : file_(std::move(file)), format_(std::move(format)) {
  name_ = file_.name();
  index(options.while_reading);
  set_columns(options.target_type);
}

void TextShard::index(const std::function<void()>& while_reading) {
  const std::string_view text = file_.text();
  const auto start = format_->start(text);
  uint64_t released = 0;
  for (Lines lines(text, *format_, start.offset, start.line); lines.next(); ++rows_) {
    format_->scan(lines.record(), lines.number(), summary_);
    const uint64_t offset = lines.offset();
    if (!marks_.empty() && offset < marks_.back().offset + kStretch) continue;
    marks_.push_back({rows_, lines.number(), offset});
    if (while_reading) while_reading();
    if (offset - released > kStretch * 1024) {
      file_.release(released, offset - released);
      released = offset;
    }
  }
  file_.release(released, file_.size() - released);
  if (rows_ == 0) throw format_->no_rows();
}

void TextShard::set_columns(TargetType type) {
  columns_.push_back({"input", DType::float32, {format_->width(summary_)}});
  if (!format_->has_target()) return;
  const bool has_fractions = summary_.fraction_line > 0;
  if (type == TargetType::classes && has_fractions) {
    throw DataError(name_ + ", line " + std::to_string(summary_.fraction_line) +
                    ": the target isn't a whole number from -2^53 to 2^53, which a class must be; "
                    "if targets aren't classes, set target_type = value");
  }
  const bool classes =
      type == TargetType::classes || (type == TargetType::automatic && !has_fractions);
  columns_.push_back({"target", classes ? DType::int64 : DType::float32, {}});
  has_signs_ = classes && format_->is_sparse() && summary_.has_minus_one && !summary_.has_zero;
}

void TextShard::use_values() {
  if (columns_.size() > 1) columns_[1].dtype = DType::float32;
  has_signs_ = false;
}

TextShard::Lines TextShard::lines_at(int64_t row) const {
  const auto after = std::upper_bound(marks_.begin(), marks_.end(), row,
                                      [](int64_t r, const Mark& mark) { return r < mark.row; });
  const Mark& mark = *std::prev(after);
  Lines lines(file_.text(), *format_, static_cast<size_t>(mark.offset), mark.line);
  for (int64_t at = mark.row; lines.next() && at < row; ++at) {
  }
  return lines;
}

void TextShard::parse_row(const Lines& lines, std::byte* features, std::byte* target) const {
  const auto width = static_cast<size_t>(format_->width(summary_));
  auto* const values = reinterpret_cast<float*>(features);
  double value = 0.0;
  format_->parse(lines.record(), lines.number(), {values, width}, value);
  std::fill(values + width, values + columns_.front().values(), 0.0F);  // widened
  if (target == nullptr) return;
  if (columns_[1].dtype == DType::float32) {
    const auto number = static_cast<float>(value);
    std::memcpy(target, &number, sizeof(number));
  } else {
    const int64_t label = has_signs_ && value == -1.0 ? 0 : static_cast<int64_t>(value);
    std::memcpy(target, &label, sizeof(label));
  }
}

size_t TextShard::row_bytes() const {
  size_t bytes = 0;
  for (const auto& column : columns_) bytes += column.bytes();
  return bytes;
}

void TextShard::load(int64_t first, int64_t count, bool /*direct*/, BlockBuffer& buffer,
                     std::span<RowsInMemory> views) const {
  file_.check_unchanged();
  const bool has_target = columns_.size() > 1;
  const size_t row = columns_.front().bytes();
  const size_t item = has_target ? columns_[1].bytes() : 0;
  const auto rows = static_cast<size_t>(count);
  // Targets come first; rounded up to 64 bytes, they leave the features aligned.
  const size_t targets = rounded_up(rows * item, 64);
  std::byte* const start = buffer.reserve(targets + rows * row);
  std::byte* const features = start + targets;
  Lines lines = lines_at(first);
  const size_t begin = lines.offset();
  for (size_t i = 0; i < rows; ++i) {
    if (i > 0) lines.next();
    parse_row(lines, features + i * row, has_target ? start + i * item : nullptr);
  }
  file_.release(begin, lines.offset() - begin);
  views[0] = {features, row};
  if (has_target) views[1] = {start, item};
}

void TextShard::read_row(int64_t row, std::span<std::byte* const> out) const {
  // Callers' memory needn't be aligned for floats.
  thread_local std::vector<float> values;
  values.resize(columns_.front().values());
  parse_row(lines_at(row), reinterpret_cast<std::byte*>(values.data()),
            out.size() > 1 ? out[1] : nullptr);
  std::memcpy(out[0], values.data(), columns_.front().bytes());
}

}  // namespace levin::readers
