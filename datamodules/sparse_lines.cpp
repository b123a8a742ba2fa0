#include <levin/datamodules/sparse_lines.h>

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include <levin/framework/core/error.h>

namespace levin {

SparseLines::SparseLines(std::vector<std::filesystem::path> files, readers::MakeFormat make_format,
                         SparseLayout layout, int64_t threads,
                         std::optional<Standardization> standardization)
    : files_(std::move(files)),
      make_format_(std::move(make_format)),
      layout_(layout),
      threads_(threads),
      standardization_(std::move(standardization)) {
  start_again();
}

void SparseLines::start_again() const {
  text_ = nullptr;  // its threads end before others start
  text_ = std::make_unique<readers::SparseAhead>(files_, make_format_, threads_);
  pieces_.clear();
  end_ = 0;
  has_minus_one_ = has_zero_ = false;
}

void SparseLines::check_targets(const readers::ParsedRows& parsed) const {
  const auto& found = parsed.summary;
  if (!layout_.has_target || !layout_.classes) return;
  if (found.fraction_line > 0) {
    throw DataError(
        fmt::format("{}, line {}: the label isn't a whole number, but the labels of the first "
                    "lines are, so that labels are classes; correct it, or set target_type = value",
                    text_->file().string(), text_->lines_before() + found.fraction_line));
  }
  has_minus_one_ = has_minus_one_ || found.has_minus_one;
  has_zero_ = has_zero_ || found.has_zero;
  if (!has_minus_one_ || !has_zero_) return;
  throw DataError(fmt::format(
      "{}, behind line {}: there are both labels -1 and labels 0, but classes are either -1 and 1, "
      "or numbered from 0; write one of them as another number, or set target_type = value",
      text_->file().string(), text_->lines_before()));
}

/// Parses the next stretch; returns false at the end of the files.
bool SparseLines::pull() const {
  Piece piece;
  if (!spares_.empty()) {
    piece.parsed = std::move(spares_.back());
    spares_.pop_back();
  }
  if (!text_->next(piece.parsed)) return false;
  check_targets(piece.parsed);
  if (standardization_) standardization_->apply(piece.parsed.rows);
  piece.first = end_;
  end_ = piece.end();
  pieces_.push_back(std::move(piece));
  return true;
}

void SparseLines::get_batch(std::span<const int64_t> rows, Batch& out) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  const int64_t first = rows.empty() ? 0 : rows.front();
  const auto count = static_cast<int64_t>(rows.size());
  try {
    const int64_t kept = pieces_.empty() ? end_ : pieces_.front().first;
    if (first < kept) start_again();
    do {
      while (!pieces_.empty() && pieces_.front().end() <= first) {
        spares_.push_back(std::move(pieces_.front().parsed));
        pieces_.pop_front();
      }
    } while (end_ < first + count && pull());
  } catch (...) {
    start_again();
    throw;
  }
  fill(first, std::clamp<int64_t>(end_ - first, 0, count), out);
  out.row_ids().resize(static_cast<size_t>(out.rows()));
  std::copy_n(rows.begin(), out.row_ids().size(), out.row_ids().begin());
}

void SparseLines::fill(int64_t first, int64_t count, Batch& out) const {
  ranges_.clear();
  for (const auto& piece : pieces_) {
    const int64_t begin = std::max(first, piece.first);
    const int64_t end = std::min(first + count, piece.end());
    if (begin < end) ranges_.push_back({&piece.parsed.rows, begin - piece.first, end - begin});
  }
  fill_batch(ranges_, layout_, out);
}

}  // namespace levin
